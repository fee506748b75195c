#!/usr/bin/python3
"""
Makes the checkpoints of this folder: small, real, trained networks and the
corner cases of PyTorch's file layouts.

Needs Debian's python3-torch (1.13) and python3-sklearn, and writes beside
itself.  make2.py adds what only torch 2.x can write.  Seeds are fixed, so a
second run on the same machine gives the same bytes, but for the legacy layout,
where torch names storages by their addresses.  sums.csv gets a line for
each tensor, computed by torch and not by modelopt: the oracle for tests that
have no torch at hand.
"""
import csv
import hashlib
import io
import math
import os
import pickle
import sys
import zipfile
from collections import OrderedDict

import numpy
import torch
from torch import nn
from torch.nn import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import digits_nets  # noqa: E402


def path(name):
    return os.path.join(HERE, name)


# ---------- trained networks ----------

def digits():
    """Training and test set, pixels from 0 to 1."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        x / 16.0, y, test_size=0.3, random_state=7, stratify=y)
    return (torch.tensor(x_train, dtype=torch.float32), torch.tensor(y_train),
            torch.tensor(x_test, dtype=torch.float32), torch.tensor(y_test))


def train(net, optimizer, epochs, x, y, batch=64):
    for epoch in range(epochs):
        net.train()
        for rows in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            F.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
    net.eval()


def accuracy(net, x, y):
    with torch.no_grad():
        return (net(x).argmax(1) == y).double().mean().item()


def make_mlp(x, y, x_test, y_test):
    torch.manual_seed(1)
    net = digits_nets.DigitsMLP()
    train(net, torch.optim.Adam(net.parameters(), lr=0.005), 40, x, y)
    print("digits_mlp: accuracy %.4f" % accuracy(net, x_test, y_test))
    torch.save(net.state_dict(), path("digits_mlp.pth"))
    torch.save(net.state_dict(), path("digits_mlp_legacy.pth"),
               _use_new_zipfile_serialization=False)


def make_cnn(x, y, x_test, y_test):
    torch.manual_seed(2)
    net = digits_nets.DigitsCNN()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    train(net, optimizer, 12, x, y)
    right = accuracy(net, x_test, y_test)
    print("digits_cnn: accuracy %.4f" % right)
    torch.save({"epoch": 12,
                "arch": "DigitsCNN",
                "state_dict": net.state_dict(),
                "best_accuracy": right,
                "optimizer": optimizer.state_dict(),
                "args": {"lr": 0.05, "momentum": 0.9, "batch": 64,
                         "classes": [str(d) for d in range(10)],
                         "resume": None, "augment": False}},
               path("digits_cnn.pth"))
    torch.save(net, path("digits_cnn_module.pth"))


def make_logistic(x, y, x_test, y_test):
    """A whole module in the legacy layout, which carries its class's source."""
    torch.manual_seed(8)
    net = digits_nets.DigitsLogistic()
    train(net, torch.optim.Adam(net.parameters(), lr=0.01), 20, x, y)
    print("digits_logistic_module: accuracy %.4f"
          % accuracy(net, x_test, y_test))
    os.chdir(HERE)
    digits_nets.__file__ = "digits_nets.py"     # goes into the checkpoint
    torch.save(net, path("digits_logistic_module_legacy.pth"),
               _use_new_zipfile_serialization=False)


def repeating(n):
    """Sequences that repeat three random tokens; and the token after each."""
    net = digits_nets.TiedTransformer
    first = torch.randint(net.VOCABULARY, (n, 3))
    tokens = first.repeat(1, net.LENGTH // 3 + 1)
    return tokens[:, :net.LENGTH], tokens[:, 1:net.LENGTH + 1]


def make_transformer():
    torch.manual_seed(3)
    net = digits_nets.TiedTransformer()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.003)
    for step in range(800):
        tokens, following = repeating(64)
        optimizer.zero_grad()
        F.cross_entropy(net(tokens).transpose(1, 2), following).backward()
        optimizer.step()
    net.eval()
    tokens, following = repeating(500)
    with torch.no_grad():
        right = (net(tokens).argmax(2) == following)[:, 2:].double().mean()
    print("tied_transformer: accuracy %.4f" % right)
    torch.save(net.state_dict(), path("tied_transformer.pth"))


def make_csv(x_test, y_test):
    with open(path("digits_test.csv"), "w", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(["label"] + ["p%d" % i for i in range(64)])
        for pixels, label in list(zip(x_test, y_test))[:100]:
            out.writerow([int(label)] + [int(p * 16) for p in pixels])


# ---------- corner cases ----------

def float_edges(dtype):
    """Values that a careless reader changes, and then ordinary ones."""
    bits = {torch.float64: (numpy.uint64, [
                0x7FF8000000000000, 0xFFF8000000000001, 0x7FF0000000000000,
                0xFFF0000000000000, 0x8000000000000000, 0, 1,
                0x7FEFFFFFFFFFFFFF, 0x0010000000000000]),
            torch.float32: (numpy.uint32, [
                0x7FC00000, 0xFFC00001, 0x7F800000, 0xFF800000, 0x80000000, 0,
                1, 0x7F7FFFFF, 0x00800000]),
            torch.float16: (numpy.uint16, [
                0x7E00, 0xFE01, 0x7C00, 0xFC00, 0x8000, 0, 1, 0x7BFF, 0x0400]),
            torch.bfloat16: (numpy.uint16, [
                0x7FC0, 0xFFC1, 0x7F80, 0xFF80, 0x8000, 0, 1, 0x7F7F, 0x0080]),
            }[dtype]
    ordinary = torch.randn(15).to(dtype)
    edges = bytes(numpy.array(bits[1], dtype=bits[0]))
    both = edges + storage_bytes(ordinary)
    # frombuffer keeps every bit, which a conversion need not
    return torch.frombuffer(bytearray(both), dtype=dtype).reshape(4, 6).clone()


def all_dtypes():
    torch.manual_seed(4)
    tensors = OrderedDict()
    for name in ("float64", "float32", "float16", "bfloat16"):
        tensors[name] = float_edges(getattr(torch, name))
    for name in ("int64", "int32", "int16", "int8", "uint8"):
        dtype = getattr(torch, name)
        limits = torch.iinfo(dtype)
        tensors[name] = torch.tensor([[limits.min, limits.max, 0],
                                      [1, limits.max // 3, 7]], dtype=dtype)
    tensors["bool"] = torch.tensor([True, False, False, True, True])
    return tensors


def views():
    """Tensors that are not a whole storage in its own order, all over one."""
    torch.manual_seed(5)
    base = torch.randn(6, 8)
    return OrderedDict([
        ("base", base),
        ("alias", base),
        ("transposed", base.t()),
        ("rows", base[2:5]),
        ("columns", base[:, 3:7]),
        ("every_third", base.flatten()[1::3]),
        ("diagonal", base[:6, :6].diagonal()),
        ("expanded", base[1].expand(4, 8)),
        ("permuted", base.reshape(2, 3, 8).permute(2, 0, 1)),
        ("element", base[3, 4]),
        ("nothing", base[6:]),
        ("channels_last", torch.randn(2, 3, 4, 5).to(
            memory_format=torch.channels_last)),
    ])


def shapes():
    """Shapes and containers that are legal and rare."""
    torch.manual_seed(6)
    return {
        "scalar": torch.tensor(2.5),
        "scalar_int": torch.tensor(-3),
        "empty": torch.empty(0),
        "empty_matrix": torch.empty(0, 3),
        "empty_middle": torch.empty(2, 0, 4, dtype=torch.int64),
        "one": torch.full((1, 1, 1, 1, 1), 0.125),
        "parameter": nn.Parameter(torch.randn(3, 2)),
        "frozen": nn.Parameter(torch.randn(2), requires_grad=False),
        "gradient": torch.randn(2, 2, requires_grad=True),
        "naïve.Gewicht.重み": torch.arange(3.0),
        "nested": OrderedDict([("inner", {"weight": torch.ones(2)}),
                               ("list", [torch.zeros(1), torch.ones(1)])]),
        "name": "corner cases",
        "steps": 1234567890123,
        "rate": 0.1,
        "done": True,
        "nothing": None,
    }


def make_corner_cases():
    torch.save(all_dtypes(), path("dtypes.pth"))
    torch.save(all_dtypes(), path("dtypes_legacy.pth"),
               _use_new_zipfile_serialization=False)
    torch.save(views(), path("views.pth"))
    torch.save(views(), path("views_legacy.pth"),
               _use_new_zipfile_serialization=False)
    torch.save(shapes(), path("shapes.pth"))
    torch.save(views(), path("protocol4.pth"), pickle_protocol=4)


# ---------- by hand: archives that no torch at hand writes ----------

WIDTHS = {"DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2,
          "BFloat16Storage": 2, "LongStorage": 8, "IntStorage": 4,
          "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1,
          "BoolStorage": 1}


def storage_widths(pickled):
    """Bytes per element of each storage that a data.pkl names."""
    widths = {}

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            if name == "OrderedDict":
                return OrderedDict
            return WIDTHS.get(name, lambda *args: None)

        def persistent_load(self, pid):
            widths[pid[2]] = pid[1]

    Reader(io.BytesIO(pickled)).load()
    return widths


def swapped(data, width):
    return numpy.frombuffer(data, dtype="u%d" % width).byteswap().tobytes()


def stored(archive, name, data, method=zipfile.ZIP_STORED):
    """Adds a record with a fixed date."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.compress_type = method
    archive.writestr(info, data)


def make_big_endian():
    """dtypes.pth as a big-endian machine's torch 2.1 or later writes it."""
    with zipfile.ZipFile(path("dtypes.pth")) as little, \
            zipfile.ZipFile(path("dtypes_big_endian.pth"), "w") as big:
        widths = storage_widths(little.read("dtypes/data.pkl"))
        for name in little.namelist():
            data = little.read(name)
            key = name.rpartition("/")[2]
            if name.startswith("dtypes/data/"):
                data = swapped(data, widths[key])
            stored(big, "dtypes_big_endian" + name[len("dtypes"):], data)
            if key == "data.pkl":
                stored(big, "dtypes_big_endian/byteorder", b"big")


def make_big_endian_legacy():
    """
    digits_mlp_legacy.pth as a big-endian machine writes it: its header says
    so, and yet torch has always stored the elements of this layout little
    endian (torch/csrc/StorageMethods.cpp, writeFileRaw).
    """
    with open(path("digits_mlp_legacy.pth"), "rb") as f:
        data = f.read()
    said = b"little_endianq\x02\x88"
    assert data.count(said) == 1
    with open(path("digits_mlp_legacy_big_endian.pth"), "wb") as f:
        f.write(data.replace(said, said[:-1] + b"\x89"))


def make_deflated():
    """digits_mlp.pth after somebody's zip tool compressed it again."""
    with zipfile.ZipFile(path("digits_mlp.pth")) as plain, \
            zipfile.ZipFile(path("digits_mlp_deflated.pth"), "w") as small:
        for name in plain.namelist():
            stored(small, name, plain.read(name), zipfile.ZIP_DEFLATED)


# ---------- to be refused ----------

def make_torchscript(x):
    net = digits_nets.DigitsMLP()
    net.load_state_dict(torch.load(path("digits_mlp.pth")))
    whole = io.BytesIO()
    torch.jit.save(torch.jit.trace(net.eval(), x[:1]), whole)
    with zipfile.ZipFile(whole) as archive, \
            zipfile.ZipFile(path("torchscript.pt"), "w") as out:
        for info in archive.infolist():
            # where each line of source was on the machine that ran this
            if not info.filename.endswith(".debug_pkl"):
                stored(out, info.filename, archive.read(info),
                       info.compress_type)


# ---------- sums.csv ----------

DTYPES = {"float64": "f64", "float32": "f32", "float16": "f16",
          "bfloat16": "bf16", "int64": "i64", "int32": "i32", "int16": "i16",
          "int8": "i8", "uint8": "u8", "bool": "bool",
          "float8_e4m3fn": "f8e4m3", "float8_e5m2": "f8e5m2",
          "float8_e4m3fnuz": "f8e4m3fnuz", "float8_e5m2fnuz": "f8e5m2fnuz",
          "float8_e8m0fnu": "f8e8m0",
          "uint64": "u64", "uint32": "u32", "uint16": "u16"}


def storage_bytes(t):
    """A tensor's elements in row-major order, bit for bit."""
    t = t.detach().contiguous().reshape(-1)
    if t.numel() == 0:
        return b""
    return t.view(torch.uint8).numpy().tobytes()


def tensors_of(value, prefix=""):
    """Names as modelopt gives them: the path of keys, joined by dots."""
    if isinstance(value, torch.Tensor):
        yield prefix, value
    elif isinstance(value, nn.Module):
        yield from tensors_of(value.state_dict(), prefix)
    elif isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from tensors_of(
                inner, "%s.%s" % (prefix, key) if prefix else str(key))


def describe(file, out):
    """A line a tensor: what torch reads from the file."""
    for name, t in tensors_of(torch.load(path(file),
                                         weights_only=False)):
        values = t.detach().double().reshape(-1).tolist()
        finite = [v for v in values if math.isfinite(v)]
        out.writerow([file, name, DTYPES[str(t.dtype)[len("torch."):]],
                      "{%s}" % ",".join(map(str, t.shape)),
                      repr(math.fsum(finite)), len(values) - len(finite),
                      hashlib.sha256(storage_bytes(t)).hexdigest()])


def write_sums(name, *files):
    with open(path(name), "w", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(["file", "tensor", "dtype", "shape", "finite_sum",
                      "not_finite", "sha256"])
        for file in files:
            describe(file, out)


def main():
    torch.set_num_threads(1)
    x, y, x_test, y_test = digits()
    make_mlp(x, y, x_test, y_test)
    make_cnn(x, y, x_test, y_test)
    make_logistic(x, y, x_test, y_test)
    make_transformer()
    make_csv(x_test, y_test)
    make_corner_cases()
    make_big_endian()
    make_big_endian_legacy()
    make_deflated()
    make_torchscript(x)
    write_sums("sums.csv", "digits_mlp.pth", "digits_mlp_legacy_big_endian.pth",
               "digits_cnn.pth", "digits_cnn_module.pth",
               "digits_logistic_module_legacy.pth",
               "tied_transformer.pth", "dtypes.pth", "views.pth", "shapes.pth")


if __name__ == "__main__":
    main()
