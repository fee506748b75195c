"""
model_read against torch.load: every file of test/data, and checkpoints that
the torch at hand makes on the spot, tensor for tensor and bit for bit.
"""
import csv
import hashlib
import io
import os
import random
import zipfile
from collections import OrderedDict

import numpy
import torch

import digits_nets
from harness import (
    DATA, DTYPES, back, check, check_same, data_bytes, data_load,
    DatabaseError, difference, digits, make, quote, saved, scalar, skip, sql,
    store, tied, written)

# File, arguments of model_read, and where torch's value has the tensors.
FILES = [
    ("digits_mlp.pth", "", ()),
    ("digits_mlp_legacy.pth", "", ()),
    ("digits_mlp_legacy_big_endian.pth", "", ()),
    ("digits_mlp_deflated.pth", "", ()),
    ("digits_mlp2.pth", "", ()),
    ("digits_cnn.pth", "", ("state_dict",)),
    ("digits_cnn_module.pth", ", allow_modules => true", ()),
    ("digits_logistic_module_legacy.pth", ", allow_modules => true", ()),
    ("tied_transformer.pth", "", ()),
    ("dtypes.pth", "", ()),
    ("dtypes_legacy.pth", "", ()),
    ("views.pth", "", ()),
    ("views_legacy.pth", "", ()),
    ("protocol4.pth", "", ()),
    ("shapes.pth", "", ()),
]
NEWER = [("dtypes2.pth", "", ())]       # what torch 2.7 and later read


def expected_tensors(value, keys=()):
    for key in keys:
        value = value[key]
    return OrderedDict(make.tensors_of(value))


def check_files():
    newer = hasattr(torch, "float8_e8m0fnu")
    for file, arguments, keys in FILES + NEWER:
        if (file, arguments, keys) in NEWER and not newer:
            skip("%s through torch" % file, "this torch cannot read it")
            check_records(file, arguments)
            continue
        expected = expected_tensors(data_load(file), keys)
        compare(file, data_bytes(file), arguments, expected)
    # torch 1.13 does not know the record that says "big"
    compare("dtypes_big_endian.pth", data_bytes("dtypes_big_endian.pth"), "",
            expected_tensors(data_load("dtypes.pth")))


def compare(name, data, arguments, expected):
    """Reads bytes and compares what comes back by every way there is."""
    store(name, data, arguments)
    actual = back(name)
    check_same(expected, actual, "%s: model_write gives what torch.load does"
               % name)
    check(tied(expected) == tied(actual), "%s: tied tensors stay tied" % name,
          "expected %s, got %s" % (tied(expected), tied(actual)))
    listed = sql("SELECT t.name, dtype, shape FROM interop.models, tensors(m) t "
                 "WHERE models.name = %s;" % quote(name))
    wanted = [[n, DTYPES[t.dtype], "{%s}" % ",".join(map(str, t.shape))]
              for n, t in expected.items()]
    check(listed == wanted, "%s: tensors() lists them in order" % name,
          "expected %s, got %s" % (wanted, listed))
    check_values(name, expected)


def check_records(name, arguments):
    """For what this torch cannot read: the bytes that a newer one found."""
    store(name, data_bytes(name), arguments)
    with open(os.path.join(DATA, "sums2.csv")) as f:
        expected = [row for row in csv.DictReader(f) if row["file"] == name]
    with zipfile.ZipFile(io.BytesIO(written(name))) as z:
        root = z.namelist()[0].partition("/")[0]
        actual = [hashlib.sha256(z.read("%s/data/%d" % (root, i))).hexdigest()
                  for i in range(len(expected))]
    check(actual == [row["sha256"] for row in expected],
          "%s: model_write has the bytes that torch 2 found" % name)
    listed = sql("SELECT t.name, dtype, shape FROM interop.models, tensors(m) t "
                 "WHERE models.name = %s;" % quote(name))
    check(listed == [[row["tensor"], row["dtype"], row["shape"]]
                     for row in expected],
          "%s: tensors() lists them in order" % name, listed)


def check_values(name, expected):
    """tensor() as real[], against torch's rounding to float32."""
    wrong = []
    for tensor, t in expected.items():
        values = t.detach().float().reshape(-1).numpy()
        try:
            dims, text = sql(
                "SELECT array_dims(t), t FROM (SELECT tensor(m, %s) AS t "
                "FROM interop.models WHERE name = %s) s;"
                % (quote(tensor), quote(name)))[0]
        except DatabaseError as e:
            wrong.append("%s: %s" % (tensor, e))
            continue
        if dims != array_dims(t):
            wrong.append("%s has dimensions %s" % (tensor, dims))
        got = numpy.array(text.replace("{", "").replace("}", "")
                          .split(",") if t.numel() else [],
                          dtype=numpy.float32)
        if not numpy.array_equal(got, values, equal_nan=True):
            wrong.append("%s is %s, expected %s" % (tensor, got, values))
    check(not wrong, "%s: tensor() has torch's values" % name,
          "\n".join(wrong))


def array_dims(t):
    """Dimensions of the array: PostgreSQL has no 0-d and no empty ones."""
    if t.numel() == 0:
        return "NULL"
    return "".join("[1:%d]" % n for n in t.shape or (1,))


# ---------- networks ----------

def check_networks():
    """A state_dict that went through the database gives the same answers."""
    x, y = digits()
    tokens = torch.arange(48).reshape(4, 12) % 16
    for name, net, inputs in (
            ("digits_mlp.pth", digits_nets.DigitsMLP(), x),
            ("digits_mlp_legacy.pth", digits_nets.DigitsMLP(), x),
            ("digits_mlp2.pth", digits_nets.DigitsMLP(), x),
            ("digits_cnn.pth", digits_nets.DigitsCNN(), x),
            ("digits_cnn_module.pth", digits_nets.DigitsCNN(), x),
            ("tied_transformer.pth", digits_nets.TiedTransformer(), tokens)):
        original = data_load(name)
        if isinstance(original, torch.nn.Module):
            original = original.state_dict()
        net.eval()
        with torch.no_grad():
            net.load_state_dict(original.get("state_dict", original))
            before = net(inputs)
            for p in net.parameters():
                p.zero_()
            net.load_state_dict(back(name), strict=True)
            after = net(inputs)
        check(torch.equal(before, after),
              "%s: the network answers as before" % name)


def check_digests():
    """However a checkpoint was packed, the model in it is the same."""
    for other in ("digits_mlp_legacy.pth", "digits_mlp_deflated.pth",
                  "digits_mlp2.pth", "digits_mlp_legacy_big_endian.pth"):
        same = scalar(
            "SELECT a.m = b.m FROM interop.models a, interop.models b "
            "WHERE a.name = 'digits_mlp.pth' AND b.name = %s;" % quote(other))
        check(same == "t", "%s is equal to digits_mlp.pth" % other)
    for a, b in (("views.pth", "views_legacy.pth"),
                 ("views.pth", "protocol4.pth"),
                 ("dtypes.pth", "dtypes_legacy.pth"),
                 ("dtypes.pth", "dtypes_big_endian.pth")):
        same = scalar(
            "SELECT a.m = b.m FROM interop.models a, interop.models b "
            "WHERE a.name = %s AND b.name = %s;" % (quote(a), quote(b)))
        check(same == "t", "%s is equal to %s" % (b, a))


def check_made_in_sql():
    """A model of SQL arrays is a state_dict that torch loads."""
    tensors = data_load("digits_mlp.pth")
    sql("INSERT INTO interop.models SELECT 'made', "
        "model_agg(t.name, tensor(m, t.name) ORDER BY i) "
        "FROM interop.models, tensors(m) WITH ORDINALITY AS t(name, dtype, "
        "shape, parameters, bytes, encoding, tied_to, i) "
        "WHERE models.name = 'digits_mlp.pth';")
    check_same(tensors, back("made"), "model_agg makes the same state_dict")
    tensors["layer3.bias"] = torch.arange(10) / 3
    check_same(tensors, back("made", "model_set(m, 'layer3.bias', '{%s}')"
                             % ",".join(map(str, tensors["layer3.bias"]
                                            .tolist()))),
               "model_set replaces a tensor")


# ---------- choosing and refusing ----------

def check_keys():
    """The entry of a checkpoint that holds the weights can be named."""
    value = data_load("digits_cnn.pth")
    store("by key", data_bytes("digits_cnn.pth"), ", key => 'state_dict'")
    check_same(expected_tensors(value, ("state_dict",)), back("by key"),
               "key => 'state_dict' reads that entry")
    store("by key", data_bytes("digits_cnn.pth"), ", key => 'optimizer'")
    check_same(expected_tensors(value, ("optimizer",)), back("by key"),
               "key => 'optimizer' reads that entry")
    store("by key", data_bytes("digits_cnn.pth"), ", key => ''")
    check_same(expected_tensors(value), back("by key"),
               "key => '' reads the whole checkpoint")
    metadata = scalar("SELECT model_metadata(m) FROM interop.models "
                      "WHERE name = 'digits_cnn.pth';")
    check("DigitsCNN" in metadata and "0.99259" in metadata,
          "entries that are no tensors are metadata", metadata)


def check_refusals():
    """What is not a state_dict is refused in words, never misread."""
    for file, sqlstate, word in (
            ("torchscript.pt", "0A000", "TorchScript"),
            ("exported.pt2", "0A000", ".pt2"),
            ("digits_cnn_module.pth", None, "digits_nets.DigitsCNN"),
            ("digits_logistic_module_legacy.pth", None,
             "digits_nets.DigitsLogistic")):
        try:
            store("refused", data_bytes(file))
            check(False, "%s is refused" % file, "it was read")
        except DatabaseError as e:
            check(word in str(e) and e.sqlstate == (sqlstate or e.sqlstate),
                  "%s is refused by name" % file, e)


# ---------- checkpoints of the torch at hand ----------

def check_fresh():
    """Random state_dicts of this torch, in its layouts and protocols."""
    random.seed(11)
    torch.manual_seed(11)
    dtypes = sorted(DTYPES, key=str)
    legacy_ok = [d for d in dtypes if DTYPES[d] not in
                 ("f8e4m3", "f8e5m2", "f8e4m3fnuz", "f8e5m2fnuz", "f8e8m0",
                  "u16", "u32", "u64")]
    for i in range(24):
        legacy, protocol = i % 3 == 2, (2, 2, 3, 4, 5)[i % 5]
        tensors = OrderedDict(
            ("layer%d.%s" % (k, random.choice(("weight", "bias"))),
             random_tensor(random.choice(legacy_ok if legacy else dtypes)))
            for k in range(random.randrange(1, 9)))
        tensors["again"] = random.choice(list(tensors.values()))
        what = ("random state_dict %d (%s, protocol %d)"
                % (i, "legacy" if legacy else "zip", protocol))
        try:
            store("fresh", saved(tensors, legacy, pickle_protocol=protocol))
            actual = back("fresh")
        except DatabaseError as e:
            check(False, what, e)
            continue
        found = (difference(list(tensors.items()), list(actual.items()))
                 or ("" if tied(tensors) == tied(actual) else "ties"))
        check(not found, what, found)


def random_tensor(dtype):
    """A tensor of random bits, seen through a random view."""
    shape = [random.randrange(0 if random.random() < .1 else 1, 6)
             for _ in range(random.randrange(0, 5))]
    n = int(numpy.prod(shape)) + 3
    size = len(make.storage_bytes(torch.zeros(1).to(dtype)))
    bits = torch.randint(0, 2 if dtype == torch.bool else 256, (n * size,),
                         dtype=torch.uint8)
    t = bits.view(dtype)[3:].clone().reshape(shape)
    if len(shape) >= 2 and random.random() < .5:
        t = t.transpose(0, -1)
    if len(shape) >= 1 and random.random() < .3:
        t = t[shape[0] // 2:] if t.shape[0] == shape[0] else t
    return t


CHECKS = [("read: files", check_files), ("read: networks", check_networks),
          ("read: equality", check_digests),
          ("read: made in SQL", check_made_in_sql),
          ("read: keys", check_keys),
          ("read: refusals", check_refusals), ("read: fresh", check_fresh)]
