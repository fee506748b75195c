"""
safetensors files against the reference library: those of test/data and
tensors made on the spot, read, written and compared bit for bit in both
directions.
"""
import base64
import csv
import hashlib
import io
import json
import os
import shutil
import struct
import tempfile
from collections import OrderedDict

import torch

from harness import (
    DATA, DTYPES, back, check, check_same, data_bytes, make, quote, scalar,
    skip, sql, store)

try:
    import safetensors
    import safetensors.torch
    missing = ""
except ImportError as e:
    missing = str(e)


def written(name, expression="m"):
    return base64.b64decode(scalar(
        "SELECT encode(model_write(%s, 'safetensors'), 'base64') "
        "FROM interop.models WHERE name = %s;" % (expression, quote(name))))


def load(data):
    """The tensors of a file's bytes.  The library's own load() does not know
    F8_E8M0, which load_file() does."""
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as f:
        f.write(data)
        f.flush()
        return safetensors.torch.load_file(f.name)


def ordered(data):
    """The tensors of a file in its order, which load() does not have."""
    length, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length],
                        object_pairs_hook=OrderedDict)
    tensors = load(data)
    return OrderedDict((name, tensors[name]) for name in header
                       if name != "__metadata__")


def metadata_of(data):
    length, = struct.unpack("<Q", data[:8])
    return json.loads(data[8:8 + length]).get("__metadata__")


def compare(what, data):
    expected = ordered(data)
    store("st", data)
    ours = written("st")
    check_same(expected, ordered(ours), "%s: safetensors finds the same in "
               "what is written" % what)
    check(metadata_of(ours) == (metadata_of(data) or None),
          "%s: its metadata is kept" % what, metadata_of(ours))
    listed = sql("SELECT t.name, dtype, shape FROM interop.models, tensors(m) t "
                 "WHERE models.name = 'st';")
    wanted = [[n, DTYPES[t.dtype], "{%s}" % ",".join(map(str, t.shape))]
              for n, t in expected.items()]
    check(listed == wanted, "%s: tensors() lists them in order" % what,
          "expected %s, got %s" % (wanted, listed))
    # several strings come in random order, and none are not written
    if metadata_of(data) is None or len(metadata_of(data)) == 1:
        check(ours == data, "%s: the file is the same to the last byte" % what)
    check_same(expected, back("st"), "%s: torch finds the same once it was a "
               "checkpoint" % what)


# ---------- with the library ----------

def check_files():
    for file in ("digits_mlp.safetensors", "dtypes.safetensors",
                 "nothing.safetensors",
                 "digits_mlp-00001-of-00002.safetensors"):
        compare(file, data_bytes(file))


def random_tensors(seed):
    torch.manual_seed(seed)
    for dtype in DTYPES:
        for shape in ((), (0,), (3,), (2, 3), (4, 0, 2), (2, 3, 4, 5)):
            count = int(torch.tensor(shape).prod()) if shape else 1
            size = count * torch.empty(0, dtype=dtype).element_size()
            raw = torch.randint(0, 2 if dtype == torch.bool else 256, (size,),
                                dtype=torch.uint8)
            name = "%s %s" % (str(dtype)[6:], list(shape))
            yield name, (raw.view(dtype).reshape(shape) if size
                         else torch.empty(shape, dtype=dtype))


def check_random():
    for seed in range(3):
        tensors = dict(random_tensors(seed))
        data = safetensors.torch.save(tensors, {"format": "pt"})
        compare("%d random tensors" % len(tensors), data)


def check_names():
    names = ["a", "A", "a.b", "a/b", "\u00e9", "e\u0301", "\U0001f600", "\\",
             "\"", "\t", "\u007f", " ", "__metadata", "0", "x" * 1024]
    tensors = {name: torch.full((2,), float(i))
               for i, name in enumerate(names)}
    compare("rare names", safetensors.torch.save(tensors))


def check_metadata():
    for metadata in ({}, {"": ""}, {"format": "pt"},
                     {"a": "\"\\/\b\f\n\r\t\u0001\u00e9\u91cd\U0001f600"},
                     {"nested": json.dumps({"a": [1, {}]})}):
        data = safetensors.torch.save({"w": torch.ones(2)}, metadata)
        compare("metadata %r" % metadata, data)


def check_from_torch():
    """The same bytes as the library makes of the same state_dict."""
    for file in ("digits_mlp.pth", "dtypes.pth"):
        tensors = torch.load(io.BytesIO(data_bytes(file)), weights_only=True)
        store("torch", data_bytes(file))
        check(written("torch") == safetensors.torch.save(
                  dict(tensors), {"format": "pt"}),
              "%s: written as safetensors writes it" % file)
    store("tied", data_bytes("tied_transformer.pth"))
    expected = torch.load(io.BytesIO(data_bytes("tied_transformer.pth")),
                          weights_only=True)
    actual = load(written("tied"))
    wrong = [name for name, t in expected.items()
             if not torch.equal(t, actual[name])]
    check(not wrong and len(actual) == len(expected),
          "tied tensors: each has its elements", wrong)


def check_many():
    tensors = {"t%05d" % i: torch.tensor([float(i)]) for i in range(3000)}
    compare("3000 tensors", safetensors.torch.save(tensors))


# ---------- files of the server ----------

def check_shards():
    """A model in several files, in a folder that the server reads too."""
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o777)
    try:
        tensors = dict(random_tensors(7))
        names = sorted(tensors)
        places = {name: "model-%05d-of-00003.safetensors" % (i % 3 + 1)
                  for i, name in enumerate(names)}
        for shard in sorted(set(places.values())):
            path = os.path.join(folder, shard)
            with open(path, "wb") as f:
                f.write(safetensors.torch.save(
                    {name: tensors[name] for name in names
                     if places[name] == shard}, {"format": "pt"}))
            os.chmod(path, 0o644)
        index = os.path.join(folder, "model.safetensors.index.json")
        with open(index, "w") as f:
            json.dump({"metadata": {}, "weight_map": places}, f, indent=2,
                      sort_keys=True)
        os.chmod(index, 0o644)
        sql("INSERT INTO interop.models SELECT 'shards', model_load(%s);"
            % quote(index))
        check_same(OrderedDict((name, tensors[name]) for name in names),
                   back("shards"), "three shards: one model")
        saved = os.path.join(folder, "whole.safetensors")
        scalar("SELECT model_save(m, %s) FROM interop.models "
               "WHERE name = 'shards';" % quote(saved))
        whole = safetensors.torch.load_file(saved)
        wrong = [name for name in names
                 if not make.storage_bytes(whole[name])
                 == make.storage_bytes(tensors[name])]
        check(not wrong and len(whole) == len(names),
              "three shards: saved as one file that safetensors loads", wrong)
    finally:
        shutil.rmtree(folder)


# ---------- without it ----------

def check_sums():
    """What the library found in the files of test/data."""
    with open(os.path.join(DATA, "sums_safetensors.csv"),
              encoding="utf-8") as f:
        rows = list(csv.DictReader(f))
    for file in sorted({row["file"] for row in rows}):
        store("st", data_bytes(file))
        tensors = back("st")
        found = [[name, "{%s}" % ",".join(map(str, t.shape)),
                  hashlib.sha256(make.storage_bytes(t)).hexdigest()]
                 for name, t in tensors.items()
                 if t.dtype in DTYPES]
        wanted = [[row["tensor"], row["shape"], row["sha256"]]
                  for row in rows if row["file"] == file]
        check(found == wanted, "%s: what safetensors found in it" % file,
              "expected %s, got %s" % (wanted, found))


if missing:
    def check_nothing():
        skip("safetensors reads and writes the same", missing)

    CHECKS = [("safetensors", check_nothing)]
else:
    CHECKS = [("safetensors: files", check_files),
              ("safetensors: random tensors", check_random),
              ("safetensors: names", check_names),
              ("safetensors: metadata", check_metadata),
              ("safetensors: torch", check_from_torch),
              ("safetensors: many", check_many),
              ("safetensors: shards", check_shards),
              ("safetensors: sums", check_sums)]
