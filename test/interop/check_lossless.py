"""
compress(m, 'lossless') against NumPy: what comes back has every bit, and takes
little more than the entropy of its bytes, which NumPy finds here.
"""
import numpy
import torch

from harness import back, check, quote, same_bits, saved, sql, store

COUNT = 300001


def drawn():
    """Tensors of every dtype, of weights, codes, counters and zeros."""
    draw = numpy.random.default_rng(11)
    normal = torch.from_numpy(draw.normal(0, 0.02, COUNT))
    tensors = {str(t).replace("torch.", "normal_"): normal.to(t)
               for t in (torch.float64, torch.float32, torch.float16,
                         torch.bfloat16)}
    codes = torch.from_numpy(numpy.rint(draw.normal(0, 20, COUNT)))
    for t in (torch.int8, torch.int16, torch.int32, torch.int64):
        tensors[str(t).replace("torch.", "codes_")] = codes.clamp(
            -127, 127).to(t)
    tensors["codes_uint8"] = codes.abs().clamp(0, 255).to(torch.uint8)
    tensors["bools"] = torch.from_numpy(draw.random(COUNT) < 0.03)
    special = normal.to(torch.float32).clone()
    special[::97] = float("nan")
    special[1::89] = -0.0
    special[2::83] = float("-inf")
    tensors["special"] = special
    for name, kept in (("half", 0.5), ("tenth", 0.1)):
        mask = torch.from_numpy(draw.random(COUNT) < kept)
        tensors[name + "_float32"] = normal.to(torch.float32) * mask
        tensors[name + "_bfloat16"] = normal.to(torch.bfloat16) * mask
    return tensors


def entropy(values):
    """Bytes by the share of each value."""
    counts = numpy.bincount(values)
    counts = counts[counts > 0]
    return (counts * numpy.log2(len(values) / counts)).sum() / 8


def bound(tensor):
    """What no code of each plane of bytes by itself can beat, with the sign
    where it does not split the exponent, or of small integers where it does
    not fill the high bytes; zeros of all bits told by a mask when that is
    less."""
    width = tensor.element_size()
    floats = tensor.is_floating_point()
    array = tensor.view({1: torch.uint8, 2: torch.int16, 4: torch.int32,
                         8: torch.int64}[width]).numpy()
    array = array.view("u%d" % width)
    bits = 8 * width
    sign = array >> array.dtype.type(bits - 1)
    if width > 1:
        twice = array << array.dtype.type(1)
        array = twice | sign if floats else twice ^ (0 - sign)

    def planes(values):
        return sum(entropy(p) for p in
                   values.view(numpy.uint8).reshape(-1, width).T)

    masked = entropy((array != 0).astype(numpy.uint8)) + planes(
        array[array != 0])
    return min(planes(array), masked)


def check_packed():
    tensors = drawn()
    store("lossless", saved(tensors))
    rows = sql("SELECT t.name, t.encoding, t.bytes FROM interop.models,"
               " tensors(compress(m, 'lossless')) t WHERE models.name = %s;"
               % quote("lossless"))
    got = back("lossless", "compress(m, 'lossless')")
    check(list(got) == list(tensors) and
          all(same_bits(got[name], tensors[name]) for name in tensors),
          "a packed model is written with every bit")
    got = back("lossless", "decompress(compress(m, 'lossless')::bytea::model)")
    check(all(same_bits(got[name], tensors[name]) for name in tensors),
          "and so it is after a journey as bytes, decompressed")
    for name, encoding, size in rows:
        dense = tensors[name].numel() * tensors[name].element_size()
        least = bound(tensors[name])
        check(encoding == "planes" and int(size) <= least + 0.02 * dense,
              "%s takes %.2f %% of its bytes, entropy %.2f %%"
              % (name, 100 * int(size) / dense, 100 * least / dense))


CHECKS = [("lossless", check_packed)]
