#!/usr/bin/python3
"""
Makes the inputs that fuzzing starts from.

    seeds.py FOLDER

fills FOLDER/<target>/read with inputs that the target must read and
FOLDER/<target>/refuse with inputs that it must refuse; run checks both before
it fuzzes.  FOLDER/<target>/slow has more that must be read, which are too slow
to fuzz from.  Needs Python's own library alone: checkpoints are pickled by
pickle with stand-ins for torch's classes (seeds_torch.py), and the flat form
is built here anew from the description in src/model/flat.c, its digests with
hashlib (seeds_flat.py).
"""
import io
import os
import pickle
import struct
import sys
import zipfile

sys.dont_write_bytecode = True
import seeds_block  # noqa: E402
import seeds_flat  # noqa: E402
import seeds_gguf  # noqa: E402
import seeds_graph  # noqa: E402
import seeds_numpy  # noqa: E402
import seeds_onnx  # noqa: E402
import seeds_pack  # noqa: E402
import seeds_safetensors  # noqa: E402
import seeds_torch  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(os.path.dirname(HERE), "data")

# To be read with allow_modules, as the target does; the rest is refused.
REFUSED_FILES = ("torchscript.pt", "exported.pt2")


def data_files():
    for name in sorted(os.listdir(DATA)):
        if name.endswith((".pth", ".pt", ".pt2")):
            with open(os.path.join(DATA, name), "rb") as f:
                yield name, f.read()


class Folder:
    """Where the seeds of a target go."""

    def __init__(self, root, target):
        self.paths = {}
        for kind in ("read", "refuse", "slow"):
            self.paths[kind] = os.path.join(root, target, kind)
            os.makedirs(self.paths[kind])

    def put(self, kind, name, data):
        path = os.path.join(self.paths[kind], name)
        assert not os.path.exists(path), path
        with open(path, "wb") as f:
            f.write(data)

    def read(self, name, data):
        self.put("read", name, data)

    def refuse(self, name, data):
        self.put("refuse", name, data)

    def read_slowly(self, name, data):
        self.put("slow", name, data)


# ---------- archives ----------

def archive(members, method=zipfile.ZIP_STORED, comment=b"", stream=False,
            prefix=b""):
    """A zip archive as Python writes it; as a stream, sizes come later.  With
    a prefix, places count from its start."""
    out = io.BytesIO(prefix)
    target = out
    if stream:
        class Pipe(io.RawIOBase):
            def writable(self):
                return True

            def write(self, data):
                return out.write(data)
        target = Pipe()
    with zipfile.ZipFile(target, "a" if prefix else "w", method) as z:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            z.writestr(info, data)
        z.comment = comment
    return out.getvalue()


def zip64_archive(name, data):
    """An archive whose sizes and places are all in zip64 fields."""
    crc = zipfile.crc32(data)
    name = name.encode()
    n = len(data)
    field = struct.pack("<HHQQ", 1, 16, n, n)
    local = struct.pack("<IHHHHHIIIHH", 0x04034b50, 45, 0, 0, 0, 0, crc,
                        2**32 - 1, 2**32 - 1, len(name), len(field))
    local += name + field + data
    field = struct.pack("<HHQQQ", 1, 24, n, n, 0)
    central = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014b50, 45, 45, 0, 0, 0,
                          0, crc, 2**32 - 1, 2**32 - 1, len(name), len(field),
                          0, 0, 0, 0, 2**32 - 1) + name + field
    end = struct.pack("<IQHHIIQQQQ", 0x06064b50, 44, 45, 45, 0, 0, 1, 1,
                      len(central), len(local))
    end += struct.pack("<IIQI", 0x07064b50, 0, len(local) + len(central), 1)
    end += struct.pack("<IHHHHIIH", 0x06054b50, 0, 0, 65535, 65535,
                       2**32 - 1, 2**32 - 1, 0)
    return local + central + end


def parts(whole):
    """Entries, directory and number of entries of an archive."""
    start = whole.index(b"PK\1\2")
    end = whole.index(b"PK\5\6")
    return whole[:start], whole[start:end], whole.count(b"PK\1\2")


def end_record(entries, directory, count):
    return struct.pack("<IHHHHIIH", 0x06054b50, 0, 0, count, count,
                       len(directory), len(entries), 0)


def overlapping_archive():
    """An entry that is also in the contents of the one before."""
    inner, inner_directory, _ = parts(archive([("b", b"y" * 9)]))
    outer, directory, _ = parts(archive([("a", inner)]))
    place = struct.pack("<I", outer.index(inner))
    directory += inner_directory[:42] + place + inner_directory[46:]
    return outer + directory + end_record(outer, directory, 2)


def junk_archive():
    """A deflated entry with a byte after the end of its stream."""
    entries, directory, _ = parts(archive([("a", b"z" * 99)],
                                          zipfile.ZIP_DEFLATED))
    stored = len(entries) - 31
    was, now = struct.pack("<I", stored), struct.pack("<I", stored + 1)
    entries = entries.replace(was, now, 1) + b"\0"
    directory = directory.replace(was, now, 1)
    return entries + directory + end_record(entries, directory, 1)


def zip_seeds(folder):
    text = b"the same again and again, " * 20
    members = [("archive/data.pkl", b"\x80\x02}."), ("archive/data/0", text),
               ("archive/version", b"3\n"), ("archive/empty", b"")]
    stored = archive(members)
    folder.read("stored", stored)
    folder.read("deflated", archive(members, zipfile.ZIP_DEFLATED))
    folder.read("comment", archive(members[:1], comment=b"a comment"))
    folder.read("stream", archive(members, stream=True))
    folder.read("stream_deflated",
                archive(members, zipfile.ZIP_DEFLATED, stream=True))
    folder.read("unicode", archive([("\u91cd\u307f/data.pkl", text)]))
    folder.read("directory", archive([("a/", b""), ("a/b", b"1")]))
    folder.read("zip64", zip64_archive("archive/data.pkl", text))
    folder.read("many", archive([("d/%d" % i, b"%d" % i) for i in range(40)]))
    for name, data in data_files():
        if data[:2] == b"PK":
            folder.read(name, data)

    folder.refuse("empty", archive([]))
    folder.refuse("lzma", archive(members[1:2], zipfile.ZIP_LZMA))
    folder.refuse("overlapping", overlapping_archive())
    folder.refuse("junk", junk_archive())
    folder.refuse("prefixed", b"#!" + stored)
    folder.refuse("prefixed_places", archive(members, prefix=b"#!/bin/sh"))
    folder.refuse("cut", stored[:-10])
    folder.refuse("crc", stored.replace(text, text.swapcase()))
    folder.refuse("twice", archive([("a/b", b"1"), ("a/c", b"2")])
                  .replace(b"a/c", b"a/b"))
    folder.refuse("leaves", archive([("a/../../b", b"")]))
    folder.refuse("renamed", stored.replace(b"archive/empty", b"archive/EMPTY",
                                            1))
    folder.refuse("bomb", archive([("a", bytes(10 ** 6))],
                                  zipfile.ZIP_DEFLATED)
                  .replace(struct.pack("<I", 10 ** 6),
                           struct.pack("<I", 2 ** 31)))


# ---------- pickles ----------

def pickle_seeds(folder):
    for name, data in seeds_torch.pickles():
        folder.read(name, data)
    for name, data in seeds_torch.hostile_pickles():
        folder.refuse(name, data)
    for name, data in data_files():
        if data[:2] != b"PK" or name in REFUSED_FILES or "module" in name:
            continue
        with zipfile.ZipFile(io.BytesIO(data)) as z:
            for member in z.namelist():
                if member.endswith("data.pkl"):
                    folder.read(name + ".pkl", z.read(member))


# ---------- checkpoints ----------

def checkpoint_archive(prefix, pickled, storages, method=zipfile.ZIP_STORED,
                       extra=()):
    members = [(prefix + "data.pkl", pickled)]
    members += [(prefix + name, data) for name, data in extra]
    members += [(prefix + "data/" + key, data)
                for key, data in storages.items()]
    members += [(prefix + "version", b"3\n")]
    return archive(members, method)


def pytorch_seeds(folder):
    for name, value in seeds_torch.checkpoints():
        for protocol in (2, 4):
            pickled, storages = seeds_torch.dump(value, protocol)
            folder.read("%s.%d" % (name, protocol),
                        checkpoint_archive("archive/", pickled, storages))
        for protocol in (2, 4):
            folder.read("%s.legacy%d" % (name, protocol),
                        seeds_torch.dump_legacy(value, protocol))
        pickled, storages = seeds_torch.dump(value, 3)
        folder.read(name + ".deflated",
                    checkpoint_archive("x/", pickled, storages,
                                       zipfile.ZIP_DEFLATED))
        folder.read(name + ".big",
                    checkpoint_archive("x/", pickled, storages,
                                       extra=[("byteorder", b"big")]))
    for name, value in seeds_torch.slow_checkpoints():
        pickled, storages = seeds_torch.dump(value, 2)
        folder.read_slowly(name, checkpoint_archive("a/", pickled, storages))
    folder.read("viewed", seeds_torch.dump_legacy(seeds_torch.viewed(), 2))
    for name, data in data_files():
        if name in REFUSED_FILES:
            folder.refuse(name, data)
        else:
            folder.read(name, data)

    for name, data in seeds_torch.hostile_pickles():
        folder.refuse(name, checkpoint_archive("a/", data, {}))
    for name, value in seeds_torch.refused_checkpoints():
        pickled, storages = seeds_torch.dump(value, 2)
        folder.refuse(name, checkpoint_archive("a/", pickled, storages))
    pickled, storages = seeds_torch.dump(seeds_torch.plain(), 2)
    folder.refuse("no_storage", checkpoint_archive("a/", pickled, {}))
    folder.refuse("short_storage", checkpoint_archive(
        "a/", pickled, {key: data[1:] for key, data in storages.items()}))
    whole = seeds_torch.dump_legacy({"w": seeds_torch.tensor(
        seeds_torch.floats(1, 2), (2,))}, 2)
    for cut in (1, 8, 9, 15, 16, 17):
        folder.refuse("legacy_cut_%d" % cut, whole[:-cut])
    folder.refuse("legacy_longer", whole + b"\0")
    folder.refuse("no_pickle", archive([("a/version", b"3\n")]))
    folder.refuse("nothing", b"")
    folder.refuse("flat", seeds_flat.build([]))


# ---------- flat forms ----------

def flat_seeds(folder):
    for name, data in seeds_flat.valid():
        folder.read(name, data)
    for name, data in seeds_flat.slow():
        folder.read_slowly(name, data)
    for name, data in seeds_flat.invalid():
        folder.refuse(name, data)


# ---------- blocks of the repository ----------

def block_seeds(folder):
    for name, data in seeds_block.valid():
        folder.read(name, data)
    for name, data in seeds_block.invalid():
        folder.refuse(name, data)


# ---------- GGUF files ----------

def gguf_seeds(folder):
    for name, data in seeds_gguf.valid():
        folder.read(name, data)
    for name, data in seeds_gguf.invalid():
        folder.refuse(name, data)
    for name in sorted(os.listdir(DATA)):
        if name.endswith(".gguf"):
            with open(os.path.join(DATA, name), "rb") as f:
                folder.read(name, f.read())


# ---------- NumPy and safetensors ----------

def npz_seeds(folder):
    for name, data in seeds_numpy.valid():
        folder.read(name, data)
    for name, data in seeds_numpy.invalid():
        folder.refuse(name, data)
    for name in ("arrays.npz", "digits_mlp.npz", "versions.npz",
                 "fortran_big.npy"):
        with open(os.path.join(DATA, name), "rb") as f:
            folder.read(name, f.read())


def safetensors_seeds(folder):
    for name, data in seeds_safetensors.valid():
        folder.read(name, data)
    for name, data in seeds_safetensors.invalid():
        folder.refuse(name, data)
    for name in ("digits_mlp.safetensors", "dtypes.safetensors"):
        with open(os.path.join(DATA, name), "rb") as f:
            folder.read(name, f.read())


# ---------- ONNX ----------

def onnx_seeds(folder):
    for name, data in seeds_onnx.valid():
        folder.read(name, data)
    for name, data in seeds_onnx.invalid():
        folder.refuse(name, data)
    for name in sorted(os.listdir(DATA)):
        if name.endswith(".onnx") and not name.startswith(("external",
                                                           "scattered")):
            with open(os.path.join(DATA, name), "rb") as f:
                folder.read(name, f.read())


# ---------- graphs ----------

def graph_seeds(folder):
    for name, text in seeds_graph.TEXTS.items():
        folder.read(name, text.encode())
    for name, text in seeds_graph.REFUSED.items():
        folder.put("refuse", name, text.encode())
    for name, data in seeds_graph.graphs():
        folder.read(name, data)


# ---------- packed blocks ----------

def pack_seeds(folder):
    for name, data in seeds_pack.valid():
        folder.read(name, data)
    for name, data in seeds_pack.invalid():
        folder.refuse(name, data)


TARGETS = {"gguf": gguf_seeds, "zip": zip_seeds, "pickle": pickle_seeds,
           "pytorch": pytorch_seeds, "flat": flat_seeds}
TARGETS.update(block=block_seeds, graph=graph_seeds, npz=npz_seeds, onnx=onnx_seeds,
               safetensors=safetensors_seeds, pack=pack_seeds)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    assert pickle.HIGHEST_PROTOCOL >= 5
    for target, make in TARGETS.items():
        make(Folder(sys.argv[1], target))


if __name__ == "__main__":
    main()
