"""
model_write's bytes looked at with other people's tools: Python's zipfile and
pickletools, libzip, and torch.load with weights_only=True.  And the reader of
zip directories against the same tools on damaged archives.
"""
import contextlib
import inspect
import io
import pickletools
import random
import re
import struct
import tempfile
import types
import zipfile

import torch

import libzip
from harness import (
    back, check, check_same, data_bytes, data_load, DatabaseError, difference,
    quote, saved, scalar, skip, sql, store, written)

WRITTEN = ["digits_mlp.pth", "digits_cnn.pth", "tied_transformer.pth",
           "dtypes.pth", "views.pth", "shapes.pth"]
if hasattr(torch, "float8_e8m0fnu"):
    WRITTEN.append("dtypes2.pth")

GLOBALS = re.compile(r"collections OrderedDict|torch [A-Z][A-Za-z0-9]*Storage"
                     r"|torch._utils _rebuild_tensor_v[23]"
                     r"|torch.storage UntypedStorage"
                     r"|torch (float8_e(4m3fn|5m2|4m3fnuz|5m2fnuz|8m0fnu)"
                     r"|uint(16|32|64))")


def check_archives():
    for name in WRITTEN:
        data = written(name)
        with zipfile.ZipFile(io.BytesIO(data)) as z:
            check(z.testzip() is None, "%s: every CRC is right" % name)
            infos = z.infolist()
            pickled = z.read(infos[0])
            root = infos[0].filename.partition("/")[0]
            names = [i.filename for i in infos]
            check(len(set(names)) == len(names)
                  and names[0] == root + "/data.pkl"
                  and root + "/version" in names
                  and z.read(root + "/version") == b"3\n"
                  and all(n.startswith(root + "/") for n in names),
                  "%s: the records are those of torch.save" % name, names)
            starts = [i.header_offset + 30
                      + sum(struct.unpack_from("<HH", data,
                                               i.header_offset + 26))
                      for i in infos if "/data/" in i.filename]
            check(all(i.compress_type == zipfile.ZIP_STORED for i in infos)
                  and all(s % 64 == 0 for s in starts),
                  "%s: storages are stored at multiples of 64" % name, starts)
        used = {arg for op, arg, _ in pickletools.genops(pickled)
                if op.name == "GLOBAL"}
        check(all(GLOBALS.fullmatch(u) for u in used),
              "%s: the pickle names nothing but tensors" % name, used)
        codes = {op.name for op, _, _ in pickletools.genops(pickled)}
        check(not codes & {"BINFLOAT", "STACK_GLOBAL", "MEMOIZE", "FRAME"},
              "%s: the pickle keeps to what torch 1.13 allows" % name, codes)
        check(data == written(name), "%s: written twice alike" % name)


def check_loaders():
    """torch's other ways into a file, which look records up by offset."""
    if "mmap" not in inspect.signature(torch.load).parameters:
        skip("torch.load with mmap", "this torch has none")
        return
    for name in WRITTEN:
        with tempfile.NamedTemporaryFile(suffix=".pth") as f:
            f.write(written(name))
            f.flush()
            check_same(back(name), torch.load(f.name, mmap=True,
                                              weights_only=True),
                       "%s: torch.load maps it into memory" % name)
            with offsets_calculated():
                check_same(back(name), torch.load(f.name, weights_only=True),
                           "%s: torch.load with calculated offsets" % name)


@contextlib.contextmanager
def offsets_calculated():
    """Has torch compute where storages lie, where it can be told to."""
    try:
        from torch.utils.serialization import config
    except ImportError:
        config = types.SimpleNamespace(load=types.SimpleNamespace())
    config.load.calculate_storage_offsets = True
    try:
        yield
    finally:
        config.load.calculate_storage_offsets = False


def check_round_trip():
    """Read, written, read: nothing changes any more, in any encoding."""
    for name in WRITTEN:
        once = written(name)
        store("again", once)
        check(written("again") == once, "%s: a second trip is the first"
              % name)
    for name in ("digits_mlp.pth", "tied_transformer.pth"):
        pruned = back(name, "prune(m, 0.9)")
        store("again", written(name, "prune(m, 0.9)"))
        check_same(pruned, back("again"), "%s: pruned, written, read" % name)
    text = scalar("SELECT bool_and(m = m::text::model "
                  "AND m = m::bytea::model) FROM interop.models;")
    check(text == "t", "every model survives its text and its flat form")


def check_module_versions():
    """What state_dict() says of itself goes there and back, in any order."""
    for name in ("digits_mlp.pth", "digits_cnn.pth", "tied_transformer.pth"):
        value = data_load(name)
        versions = value.get("state_dict", value)._metadata
        actual = getattr(back(name), "_metadata", {})
        check(dict(actual) == dict(versions), "%s: versions of modules are kept" % name,
              "expected %s, got %s" % (versions, actual))


def check_many():
    """More records than a plain end record can count."""
    sql("INSERT INTO interop.models SELECT 'many', "
        "model_agg('t' || i, ARRAY[i]::real[] ORDER BY i) "
        "FROM generate_series(1, 70000) i;")
    data = written("many")
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        infos = z.infolist()
        check(len(infos) == 70003, "70000 tensors: zipfile finds all records",
              len(infos))
        right = all(z.read("archive/data/%d" % i)
                    == struct.pack("<f", i + 1) for i in (0, 65534, 69999))
        check(right, "70000 tensors: and what is in them")
    tensors = torch.load(io.BytesIO(data), weights_only=True)
    wrong = [n for i, (n, t) in enumerate(tensors.items(), 1)
             if n != "t%d" % i or t.tolist() != [i]]
    check(len(tensors) == 70000 and not wrong,
          "70000 tensors: torch loads them", wrong[:5])
    store("again", saved(tensors))
    same = scalar("SELECT (SELECT model_set_metadata(m, '{}') FROM "
                  "interop.models WHERE name = 'again') = m "
                  "FROM interop.models WHERE name = 'many';")
    check(same == "t", "70000 tensors: torch's own archive of them is read")
    sql("DELETE FROM interop.models WHERE name = 'many';")


def check_libzip():
    """A second opinion on the archives, from the zip library of Debian."""
    if libzip.missing:
        skip("libzip reads the same", libzip.missing)
        return
    for name in WRITTEN:
        data = written(name)
        with zipfile.ZipFile(io.BytesIO(data)) as z:
            expected = [(i.filename, z.read(i)) for i in z.infolist()]
        check(libzip.read(data, consistency=True) == expected,
              "%s: libzip finds it consistent and reads the same" % name)


# ---------- damaged archives ----------

def mutants(data, rng, count):
    """Archives with a few bytes of headers or directory changed."""
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        heads = [i.header_offset for i in z.infolist()]
        directory = z.start_dir
    for _ in range(count):
        out = bytearray(data)
        for _ in range(rng.choice((1, 1, 2))):
            if rng.random() < 0.6:
                at = rng.randrange(directory, len(data))
            else:
                at = rng.choice(heads) + rng.randrange(0, 40)
            out[min(at, len(out) - 1)] = rng.choice(
                (0, 1, 0xFF, 0x80, out[at] ^ 1 << rng.randrange(8)))
        if rng.random() < 0.1:
            del out[rng.randrange(directory, len(out)):]
        if bytes(out) != data:
            yield bytes(out)


def check_damaged():
    """
    Whatever damage the reader lets pass, others read the same weights out of
    it: there is no second interpretation for somebody to hide in.
    """
    sql("""CREATE OR REPLACE FUNCTION interop.try_read(data bytea)
        RETURNS text LANGUAGE plpgsql AS $$
        BEGIN
            RETURN encode(model_write(model_read(data), 'pytorch'), 'hex');
        EXCEPTION WHEN data_exception OR feature_not_supported
            OR program_limit_exceeded OR undefined_object THEN
            RETURN '';
        END $$;""")
    rng = random.Random(12)
    accepted = total = 0
    wrong = []
    for file in ("digits_mlp.pth", "digits_mlp2.pth",
                 "digits_mlp_deflated.pth"):
        tries = list(mutants(data_bytes(file), rng, 120))
        answers = sql("SELECT interop.try_read(decode(x, 'hex')) FROM "
                      "unnest(ARRAY[%s]) WITH ORDINALITY AS t(x, i) "
                      "ORDER BY i;" % ",".join("'%s'" % t.hex()
                                               for t in tries))
        total += len(tries)
        for data, (answer,) in zip(tries, answers):
            if answer:
                accepted += 1
                wrong += [file + ": " + w
                          for w in other_readings(data, bytes.fromhex(answer))]
    check(not wrong, "damaged archives: %d of %d read, all of them as zipfile"
          " and libzip do" % (accepted, total), "\n".join(wrong))
    check(0 < accepted < total, "damaged archives: some are read, some not")


def other_readings(data, ours):
    """How other readers differ from ours about an archive."""
    ours = torch.load(io.BytesIO(ours), weights_only=True)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as z:
            records = [(i.filename, z.read(i)) for i in z.infolist()]
    except Exception as e:      # zipfile raises many kinds
        return ["zipfile cannot read it: %r" % e]
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as z:
        for name, content in records:
            z.writestr(name, content)
    plain.seek(0)
    theirs = torch.load(plain, weights_only=True)
    found = []
    if difference(list(theirs.items()), list(ours.items())):
        found.append("zipfile reads other weights")
    if not libzip.missing:
        try:
            if libzip.read(data) != records:
                found.append("libzip reads other records")
        except libzip.Error as e:
            found.append("libzip cannot read it: %s" % e)
    return found


CHECKS = [("write: archives", check_archives),
          ("write: loaders", check_loaders),
          ("write: round trip", check_round_trip),
          ("write: versions", check_module_versions),
          ("write: many", check_many),
          ("write: libzip", check_libzip), ("read: damaged", check_damaged)]
