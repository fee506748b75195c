"""
Computes with ONNX models:

    onnx_run.py compare FOLDER DATA

with those before and after a trip through the database, FOLDER's files
NAME.before and NAME.after.  DATA, if it is not empty, has the inputs of a model
in DATA/NAME/test_data_set_0, where a slash in the name is a dot in the folder.
Models without such inputs get made-up ones.  Prints "same", "differs" or
"refused" and the name for each.

    onnx_run.py compute FOLDER MODEL

with a file, which may have others beside it, FOLDER/input.npy to output.npy.
"""
import glob
import os
import sys

# It would otherwise tell its makers that it runs.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402

ELEMENTS = {"tensor(float)": "float32", "tensor(double)": "float64",
            "tensor(float16)": "float16", "tensor(int64)": "int64",
            "tensor(int32)": "int32", "tensor(bool)": "bool"}


def session(model):
    """Of a file's bytes, or of its path."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"])


def given_inputs(folder, wanted):
    """Tensors that the test set has for the model."""
    out = {}
    for i, value in enumerate(wanted):
        with open(os.path.join(folder, "test_data_set_0",
                               "input_%d.pb" % i), "rb") as f:
            data = f.read()
        if not value.type.startswith("tensor("):
            raise ValueError("not a tensor")
        out[value.name] = onnx.numpy_helper.to_array(
            onnx.load_tensor_from_string(data))
    return out


def made_inputs(wanted):
    out = {}
    for value in wanted:
        shape = [d if isinstance(d, int) else 2 for d in value.shape]
        numbers = numpy.arange(int(numpy.prod(shape))) % 7 - 3
        out[value.name] = numbers.reshape(shape).astype(ELEMENTS[value.type])
    return out


def results(path, folder):
    with open(path, "rb") as f:
        ready = session(f.read())
    wanted = ready.get_inputs()
    inputs = (given_inputs(folder, wanted) if folder
              else made_inputs(wanted))
    return ready.run(None, inputs)


def bits(result):
    if isinstance(result, (list, tuple)):
        return [bits(part) for part in result]
    if isinstance(result, dict):
        return {key: bits(part) for key, part in result.items()}
    if isinstance(result, numpy.ndarray) and result.dtype != object:
        return str(result.dtype), result.shape, result.tobytes()
    return repr(result)


def is_random(path):
    nodes = onnx.load(path).graph.node
    return any(node.op_type.startswith(("Random", "Bernoulli", "Multinomial",
                                        "Dropout")) for node in nodes)


def compare(scratch, data):
    folders = {os.path.relpath(f, data).replace("/", "."): f
               for f in glob.glob(os.path.join(data, "*", "*"))} if data else {}
    for path in sorted(glob.glob(os.path.join(scratch, "*.before"))):
        name = os.path.basename(path)[:-len(".before")]
        after = path[:-len("before")] + "after"
        if is_random(path):
            continue
        try:
            expected = results(path, folders.get(name))
        except Exception as e:      # whatever the runtime does not do
            print("refused", name, type(e).__name__, flush=True)
            continue
        try:
            found = results(after, folders.get(name))
        except Exception as e:
            print("differs", name, e, flush=True)
            continue
        same = bits(expected) == bits(found)
        print("same" if same else "differs", name, flush=True)


def compute(scratch, model):
    ready = session(model)
    inputs = numpy.load(os.path.join(scratch, "input.npy"))
    outputs = ready.run(None, {ready.get_inputs()[0].name: inputs})
    numpy.save(os.path.join(scratch, "output.npy"), outputs[0])


if __name__ == "__main__":
    {"compare": compare, "compute": compute}[sys.argv[1]](*sys.argv[2:])
