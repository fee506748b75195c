"""
The 8-bit floats without -0 (fnuz) and the bare exponent (e8m0): every code as a
number, and a dense grid of numbers as codes, against torch and ml_dtypes; and
how these tensors travel between the formats.
"""
import numpy
import torch

import check_safetensors
from harness import (
    DatabaseError, back, check, saved, scalar, skip, sql, store)

try:
    import ml_dtypes
except ImportError:
    ml_dtypes = None

NAMES = [name for name in ("float8_e4m3fnuz", "float8_e5m2fnuz",
                           "float8_e8m0fnu") if hasattr(torch, name)]


def all_codes(name):
    return torch.arange(256).to(torch.uint8).view(getattr(torch, name))


def grid(name):
    """Every float of 16 bits, widened, and the middles between codes with
    the floats beside them; for e8m0, which has no others, those above 0."""
    wide = (numpy.arange(65536, dtype=numpy.uint32) << 16).view(numpy.float32)
    codes = all_codes(name).float().numpy()
    codes = numpy.sort(codes[numpy.isfinite(codes)]).astype(numpy.float64)
    middles = ((codes[:-1] + codes[1:]) / 2).astype(numpy.float32)
    # and between the largest and the next one there would be
    step = 2.0 ** numpy.floor(numpy.log2(codes[-1]))
    step /= {"float8_e4m3fnuz": 8, "float8_e5m2fnuz": 4}.get(name, 1)
    middles = numpy.append(middles, numpy.float32(codes[-1] + step / 2))
    infinity = numpy.float32(numpy.inf)
    values = numpy.concatenate([wide, codes.astype(numpy.float32), middles,
                                numpy.nextafter(middles, infinity),
                                numpy.nextafter(middles, -infinity)])
    if name == "float8_e8m0fnu":
        values = values[~(values <= 0)]
    return values


def cast_quietly(values, name):
    """ml_dtypes' codes; numpy warns of what becomes NaN."""
    with numpy.errstate(invalid="ignore", over="ignore"):
        return values.astype(getattr(ml_dtypes, name)).view(numpy.uint8)


def array(values):
    return "'{%s}'" % ",".join("%.9g" % v for v in values)


def check_numbers():
    for name in NAMES:
        store("codes", saved({"w": all_codes(name)}))
        text = scalar("SELECT tensor(m, 'w') FROM interop.models "
                      "WHERE name = 'codes';")
        ours = numpy.array(text.strip("{}").split(","), dtype=numpy.float32)
        wanted = all_codes(name).float().numpy()
        check(numpy.array_equal(ours, wanted, equal_nan=True),
              "%s: every code is torch's number" % name,
              numpy.argwhere((ours != wanted) & ~numpy.isnan(wanted)))
        if ml_dtypes is None:
            skip("%s: every code is ml_dtypes' number" % name, "not there")
            continue
        theirs = numpy.arange(256, dtype=numpy.uint8).view(
            getattr(ml_dtypes, name)).astype(numpy.float32)
        check(numpy.array_equal(ours, theirs, equal_nan=True),
              "%s: every code is ml_dtypes' number" % name)


def check_rounding():
    for name in NAMES:
        values = grid(name)
        dtype = getattr(torch, name)
        store("grid", saved({"w": torch.zeros(len(values),
                                              dtype=torch.uint8).view(dtype)}))
        ours = back("grid", "model_set(m, 'w', %s)" % array(values))["w"]
        ours = ours.view(torch.uint8).numpy()
        for whose, theirs in (
                ("torch", torch.from_numpy(values).to(dtype)
                 .view(torch.uint8).numpy()),
                ("ml_dtypes", None if ml_dtypes is None else
                 cast_quietly(values, name))):
            what = "%s: %d numbers round as with %s" % (name, len(values),
                                                        whose)
            if theirs is None:
                skip(what, "not there")
                continue
            wrong = numpy.argwhere(ours != theirs).reshape(-1)
            check(not len(wrong), what, [
                (float(values[i]).hex(), int(ours[i]), int(theirs[i]))
                for i in wrong[:9]])


def check_no_zero():
    if "float8_e8m0fnu" not in NAMES:
        skip("float8_e8m0fnu holds nothing but powers of two", "no such type")
        return
    store("scale", saved({"w": all_codes("float8_e8m0fnu")[:1]}))
    for value in ("0", "-0", "-1"):
        try:
            sql("SELECT model_set(m, 'w', '{%s}') FROM interop.models "
                "WHERE name = 'scale';" % value)
            check(False, "float8_e8m0fnu does not take %s" % value)
        except DatabaseError as e:
            check(e.sqlstate == "22003",
                  "float8_e8m0fnu does not take %s" % value, e)
    check(scalar("SELECT sparsity(m) FROM interop.models "
                 "WHERE name = 'scale';") == "0",
          "float8_e8m0fnu's smallest number is no zero")


def check_pruned():
    """Half of all codes go as torch prunes them, and no NaN is made."""
    prune = torch.nn.utils.prune
    for name in NAMES[:2]:
        codes = all_codes(name).reshape(16, 16)
        store("pruned", saved({"w": codes}))
        ours = back("pruned", "prune(m, 0.5)")["w"]
        keep = codes.float()
        keep[torch.isnan(keep)] = float("inf")
        mask = prune.L1Unstructured(0.5).compute_mask(
            keep, torch.ones_like(keep))
        kept = ours.view(torch.uint8) == codes.view(torch.uint8)
        gone = ours.view(torch.uint8) == 0
        check(bool((kept | gone).all()) and int(gone.sum()) == 128
              and sorted(keep[~gone].abs().tolist())
              == sorted(keep[mask.bool()].abs().tolist()),
              "%s: half of the codes go, and become 0" % name)


def check_formats():
    """Through safetensors, as its library reads and writes it."""
    if check_safetensors.missing:
        skip("8-bit floats through safetensors", check_safetensors.missing)
        return
    tensors = {name: all_codes(name).clone() for name in NAMES}
    store("st", check_safetensors.safetensors.torch.save(tensors))
    from_pytorch = back("st")
    store("pt", saved(tensors))
    from_safetensors = check_safetensors.load(check_safetensors.written("pt"))
    for name, t in tensors.items():
        wanted = t.view(torch.uint8)
        check(torch.equal(from_pytorch[name].view(torch.uint8), wanted)
              and torch.equal(from_safetensors[name].view(torch.uint8), wanted)
              and from_pytorch[name].dtype == t.dtype
              and from_safetensors[name].dtype == t.dtype,
              "%s: safetensors to torch and back, bit for bit" % name)


if not NAMES:
    def check_nothing():
        skip("8-bit floats without -0", "this torch has none")

    CHECKS = [("float8", check_nothing)]
else:
    CHECKS = [("float8: numbers", check_numbers),
              ("float8: rounding", check_rounding),
              ("float8: no zero", check_no_zero),
              ("float8: pruned", check_pruned),
              ("float8: formats", check_formats)]
