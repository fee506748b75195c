"""
library.py PATH

Reads a file with the library of its format: for each line "load" on its input
once more, and prints the seconds that took; for each line "save" it writes what
it has read, into memory.  Says "ready" first, or why it cannot.  A process of
its own, because it may need another Python than the one that measures: one that
has these libraries (LIBRARY_PYTHON).
"""
import io
import os
import sys
import time


def pytorch():
    import torch

    def save(loaded):
        torch.save(loaded, io.BytesIO())
    torch.set_num_threads(1)
    return "torch " + torch.__version__, torch.load, save


def safetensors():
    import safetensors.torch
    import torch

    def load(path):
        """The library maps the file and reads nothing of it before it is
        used, so this is a use: a copy of each tensor."""
        return {name: tensor.clone() for name, tensor in
                safetensors.torch.load_file(path).items()}
    torch.set_num_threads(1)
    return ("safetensors " + safetensors.__version__, load,
            safetensors.torch.save)


def onnx():
    import onnx
    import onnx.numpy_helper

    def load(path):
        """Weights as arrays, and the model that they are in."""
        model = onnx.load(path)
        return model, [onnx.numpy_helper.to_array(t)
                       for t in model.graph.initializer]

    def save(loaded):
        loaded[0].SerializeToString()
    return "onnx " + onnx.__version__, load, save


def npz():
    import numpy

    def load(path):
        with numpy.load(path) as arrays:
            return {name: arrays[name] for name in arrays}

    def save(loaded):
        numpy.savez(io.BytesIO(), **loaded)
    return "numpy " + numpy.__version__, load, save


LIBRARIES = {".pth": pytorch, ".safetensors": safetensors, ".onnx": onnx,
             ".npz": npz}


def main(path):
    try:
        version, load, save = LIBRARIES[os.path.splitext(path)[1]]()
    except ImportError as e:
        print("missing", e)
        return
    print("ready", version, flush=True)
    loaded = None
    for line in sys.stdin:
        began = time.perf_counter()
        if line == "save\n":
            save(loaded)
        else:
            loaded = None
            began = time.perf_counter()
            loaded = load(path)
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
