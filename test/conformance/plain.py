"""
Plain ONNX Runtime: its Python module, in a process of its own, because the
Python that has it need not be the one that the rest runs on.

    plain.py version LIBRARY    prints the version of the C library
    plain.py CORPUS             prints a line "NAME<tab>what is wrong" for each
                                case, with nothing after the tab if all is well
"""
import ctypes
import os
import sys

import cases

# It would otherwise tell its makers that it runs.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def library_version(path):
    """By the one function that the library exports: it returns a struct of
    two functions, of which the second returns the version."""
    library = ctypes.CDLL(path)
    library.OrtGetApiBase.restype = ctypes.POINTER(ctypes.c_void_p * 2)
    version = ctypes.CFUNCTYPE(ctypes.c_char_p)(
        library.OrtGetApiBase().contents[1])
    return version().decode()


def run(case):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        expected = case.outputs()
        session = onnxruntime.InferenceSession(
            case.model, options, providers=["CPUExecutionProvider"])
        found = session.run(list(expected), case.inputs())
    except Exception as e:      # the module has dozens
        return "%s: %s" % (type(e).__name__, " ".join(str(e).split()))
    return cases.difference(expected, dict(zip(expected, found)))


def run_all(corpus):
    for case in cases.read_cases(corpus):
        print("%s\t%s" % (case.name, run(case)[:300]), flush=True)


def main(arguments):
    if arguments[0] == "version":
        print(library_version(arguments[1]))
    else:
        run_all(arguments[0])


if __name__ == "__main__":
    main(sys.argv[1:])
