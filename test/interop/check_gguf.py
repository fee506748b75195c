"""
GGUF files written by the reference library (gguf from PyPI) and read here,
and the other way round: names, types, shapes, metadata, and every bit, also of
what quantized blocks decode to.
"""
import base64
import json
import os
import tempfile

import numpy
import torch

from harness import (check, data_bytes, data_load, DatabaseError, quote, skip,
                     sql)

try:
    import gguf
    from gguf import GGMLQuantizationType as Type
except ImportError:
    gguf = None

QUANTIZED = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
DENSE = {"F32": "f4", "F16": "f2", "F64": "f8", "I8": "i1", "I16": "i2",
         "I32": "i4", "I64": "i8"}
VALUES = {"UINT8": "u8", "INT8": "i8", "UINT16": "u16", "INT16": "i16",
          "UINT32": "u32", "INT32": "i32", "FLOAT32": "f32", "BOOL": "bool",
          "STRING": "string", "UINT64": "u64", "INT64": "i64",
          "FLOAT64": "f64"}


# ---------- through the reference ----------

def written_by_reference(fill, architecture="modelopt-test", **options):
    """The bytes of a file that fill(writer) fills."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.gguf")
        writer = gguf.GGUFWriter(path, architecture, **options)
        fill(writer)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with open(path, "rb") as f:
            return f.read()


class ReadByReference:
    """What the reference finds in a file."""

    def __init__(self, data):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x.gguf")
            with open(path, "wb") as f:
                f.write(data)
            reader = gguf.GGUFReader(path)
            self.tensors = [(t.name, t.tensor_type.name,
                             [int(n) for n in reversed(t.shape)],
                             t.data.tobytes()) for t in reader.tensors]
            self.fields = {name: self.field(field)
                           for name, field in reader.fields.items()
                           if not name.startswith("GGUF.")}

    @staticmethod
    def field(field):
        """Type and value as our metadata has them; floats as floats."""
        kinds = [VALUES.get(kind.name, "") for kind in field.types]
        name = kinds[-1] + ("[]" if len(kinds) > 1 else "")
        value = field.contents()
        return name, value


def decoded(kind, data):
    """Little endian bytes of the elements that a tensor's bytes stand for."""
    if kind not in QUANTIZED:
        return data
    raw = numpy.frombuffer(data, dtype=numpy.uint8)
    size = gguf.GGML_QUANT_SIZES[Type[kind]][1]
    with numpy.errstate(all="ignore"):
        return gguf.quants.dequantize(raw.reshape(-1, size),
                                      Type[kind]).tobytes()


# ---------- through the database ----------

def through(data, expression="m"):
    """What model_write makes of a file, after an expression; in between the
    model lies in a table."""
    return base64.b64decode(sql(
        "DELETE FROM interop.models WHERE name = 'gguf';"
        "INSERT INTO interop.models SELECT 'gguf', "
        "model_read(decode('%s', 'hex'));"
        "SELECT encode(model_write(%s, 'gguf'), 'base64') FROM interop.models "
        "WHERE name = 'gguf';" % (data.hex(), expression))[0][0])


def listed():
    """What we find in the file that came last."""
    tensors = sql("SELECT t.name, t.dtype, to_json(t.shape), t.encoding "
                  "FROM interop.models, tensors(m) t "
                  "WHERE models.name = 'gguf';")
    metadata = json.loads(sql("SELECT model_metadata(m) -> 'gguf' FROM "
                              "interop.models WHERE name = 'gguf';")[0][0])
    return [(n, d, json.loads(s), e) for n, d, s, e in tensors], metadata


def same_value(kind, ours, theirs):
    """Whether a value of our metadata says what the reference read."""
    if kind.endswith("[]"):
        if isinstance(ours, dict):
            raw = base64.b64decode(ours["base64"])
            dtype = ("?" if kind == "bool[]" else
                     kind[0] + str(int(kind[1:-2]) // 8))
            ours = numpy.frombuffer(raw, dtype=dtype).tolist()
            return numpy.array_equal(ours, theirs, equal_nan=kind[0] == "f")
        return len(ours) == len(theirs) and all(
            same_value(kind[:-2], a, b) for a, b in zip(ours, theirs))
    if kind == "string" and isinstance(ours, dict):
        return base64.b64decode(ours["base64"]) == theirs.encode()
    if kind == "f32":
        ours, theirs = numpy.float32(ours), numpy.float32(theirs)
    if kind == "f64":
        ours, theirs = numpy.float64(ours), numpy.float64(theirs)
    if kind in ("f32", "f64"):
        return ours.tobytes() == theirs.tobytes() or (ours != ours and
                                                      theirs != theirs)
    return ours == theirs


def compare(what, data):
    """Reads a file of the reference's, and asks both what is in it."""
    check(through(data) == data, "%s: the same bytes" % what)
    reference = ReadByReference(data)
    tensors, metadata = listed()
    expected = [(n, k.lower() if k not in QUANTIZED else "f32", s,
                 k.lower() if k in QUANTIZED else "dense")
                for n, k, s, _ in reference.tensors]
    check(tensors == expected, "%s: names, dtypes, shapes and encodings"
          % what, "%s, expected %s" % (tensors, expected))
    names = [name for name, _ in metadata["types"]]
    check(names == list(reference.fields), "%s: the order of keys" % what)
    wrong = [(name, kind) for name, kind in metadata["types"]
             if reference.fields[name][0] not in (kind, "") or not
             same_value(kind, metadata["metadata"][name],
                        reference.fields[name][1])]
    check(not wrong, "%s: types and values of %d keys" % (what, len(names)),
          wrong)
    again = ReadByReference(through(data, "decompress(m)"))
    wrong = [n for (n, k, s, d), (_, _, _, e) in
             zip(reference.tensors, again.tensors) if decoded(k, d) != e]
    check(len(again.tensors) == len(reference.tensors) and not wrong,
          "%s: every decoded bit" % what, wrong)


# ---------- files of the reference ----------

def finite_blocks(random, kind, rows, columns):
    """Blocks of any bits, but for scales that are finite."""
    elements, size = gguf.GGML_QUANT_SIZES[Type[kind]]
    data = random.integers(0, 256, (rows * columns, size), dtype=numpy.uint8)
    places = {"Q6_K": [208], "Q4_0": [0], "Q5_0": [0], "Q8_0": [0]}
    for at in places.get(kind, [0, 2]):
        scales = data[:, at:at + 2].copy().view(numpy.uint16)
        scales[(scales & 0x7c00) == 0x7c00] ^= 0x0400
        data[:, at:at + 2] = scales.view(numpy.uint8)
    return data.reshape(rows, columns * size)


def random_text(random):
    return "".join(chr(int(c)) for c in random.choice(
        [10, 32, 34, 65, 92, 122, 233, 0x91cd, 0x1f600],
        random.integers(0, 12)))


def random_value(random, kind):
    if kind == "STRING":
        return random_text(random)
    if kind == "BOOL":
        return bool(random.integers(2))
    if kind.startswith("FLOAT"):
        bits = random.bytes(int(kind[5:]) // 8)
        return numpy.frombuffer(bits, "f%d" % len(bits))[0].item()
    info = numpy.iinfo(kind.lower())
    return int(random.integers(info.min, info.max, dtype=kind.lower(),
                               endpoint=True))


def fill_randomly(random):
    def fill(writer):
        for i in range(int(random.integers(1, 30))):
            kind = str(random.choice(list(VALUES)))
            value = random_value(random, kind)
            vtype = gguf.GGUFValueType[kind]
            if i % 3 == 0:
                value = [random_value(random, kind)
                         for _ in range(int(random.choice([1, 2, 40, 2000])))]
                writer.add_key_value("key.%d" % i, value,
                                     gguf.GGUFValueType.ARRAY, sub_type=vtype)
            else:
                writer.add_key_value("key.%d" % i, value, vtype)
        if random.integers(2):
            writer.add_custom_alignment(int(random.choice([8, 64, 256])))
        for i in range(int(random.integers(0, 12))):
            kind = str(random.choice(list(DENSE) + QUANTIZED + ["BF16"]))
            rows, columns = (int(n) for n in random.integers(1, 9, 2))
            if kind in QUANTIZED:
                data = finite_blocks(random, kind, rows, columns)
            elif kind == "BF16":
                data = numpy.frombuffer(random.bytes(2 * rows * columns),
                                        numpy.uint8).reshape(rows, -1)
            else:
                dtype = numpy.dtype(DENSE[kind])
                shape = [int(n) for n in random.integers(
                    1, 5, random.integers(0, 5))]
                count = int(numpy.prod(shape))
                data = numpy.frombuffer(random.bytes(count * dtype.itemsize),
                                        dtype).reshape(shape)
            writer.add_tensor("tensor.%d" % i, data, raw_dtype=Type[kind])
    return fill


def check_random():
    for seed in range(12):
        random = numpy.random.default_rng(seed)
        compare("file %d" % seed, written_by_reference(fill_randomly(random)))


def check_vocabulary():
    """As large as those of language models."""
    def fill(writer):
        random = numpy.random.default_rng(3)
        n = 32000
        writer.add_tokenizer_model("llama")
        writer.add_token_list(["<0x%02X>" % i for i in range(256)] +
                              ["\u2581" + random_text(random) + str(i)
                               for i in range(256, n)])
        writer.add_token_scores([-float(i) for i in range(n)])
        writer.add_token_types([1 + i % 6 for i in range(n)])
        writer.add_token_merges(["a b%d" % i for i in range(n)])
        writer.add_chat_template("{% for m in messages %}{{ m }}{% endfor %}")
        writer.add_rope_freq_base(500000.0)
        writer.add_layer_norm_rms_eps(1e-5)
    compare("a vocabulary", written_by_reference(fill, "llama"))


def check_blocks():
    """All values that scales and integers can have, NaN and infinities with
    them, which numpy computes without a fixed sign."""
    random = numpy.random.default_rng(7)
    for kind in QUANTIZED:
        size = gguf.GGML_QUANT_SIZES[Type[kind]][1]
        raw = random.integers(0, 256, (400, size), dtype=numpy.uint8)

        def fill(writer):
            writer.add_tensor("w", raw, raw_dtype=Type[kind])
        data = written_by_reference(fill)
        check(through(data) == data, "%s of any bits: the same bytes" % kind)
        ours = numpy.frombuffer(ReadByReference(
            through(data, "decompress(m)")).tensors[0][3], numpy.uint32)
        theirs = numpy.frombuffer(decoded(kind, raw.tobytes()), numpy.uint32)
        nan = numpy.isnan(theirs.view(numpy.float32))
        check(numpy.array_equal(ours[~nan], theirs[~nan]) and
              (ours[nan] == 0x7fc00000).all(),
              "%s of any bits: every decoded bit, %d NaNs are one"
              % (kind, nan.sum()))


def check_refused():
    for kind in Type:
        if kind.name in QUANTIZED + list(DENSE) + ["BF16"]:
            continue
        elements, size = gguf.GGML_QUANT_SIZES[kind]

        def fill(writer):
            writer.add_tensor("w", numpy.zeros((2, size), numpy.uint8),
                              raw_dtype=kind)
        try:
            through(written_by_reference(fill))
            check(False, "type %s is refused" % kind.name)
        except DatabaseError as e:
            check(e.sqlstate == "0A000" and kind.name in e.message,
                  "type %s is refused by name" % kind.name, e)
    try:
        through(written_by_reference(
            lambda writer: writer.add_uint32("a", 1),
            endianess=gguf.GGUFEndian.BIG))
        check(False, "the other byte order is refused")
    except DatabaseError as e:
        check(e.sqlstate == "0A000" and "big-endian" in e.message,
              "the other byte order is refused", e)


# ---------- files of ours ----------

def from_checkpoint(data, setting="m"):
    return ReadByReference(base64.b64decode(sql(
        "SELECT encode(model_write(%s, 'gguf'), 'base64') "
        "FROM model_read(decode('%s', 'hex')) m;"
        % (setting, data.hex()))[0][0]))


def check_written():
    """Checkpoints of torch, as the reference reads what we write of them."""
    for file in ("digits_mlp.pth", "tied_transformer.pth", "digits_cnn.pth"):
        value = data_load(file)
        value = value.get("state_dict", value)
        read = from_checkpoint(data_bytes(file))
        expected = [(name, {torch.float32: "F32", torch.int64: "I64"}[t.dtype],
                     list(t.shape), t.contiguous().numpy().tobytes())
                    for name, t in value.items()]
        check(read.tensors == expected, "%s: tensors" % file)
        check(read.fields == {"general.architecture": ("string", "modelopt")},
              "%s: metadata" % file, read.fields)
    read = from_checkpoint(data_bytes("digits_mlp.pth"), "prune(m, 0.8)")
    pruned = numpy.frombuffer(read.tensors[0][3], numpy.float32)
    weight = data_load("digits_mlp.pth")["layer1.weight"].numpy().reshape(-1)
    check(((pruned == weight) | (pruned == 0)).all() and
          (pruned == 0).mean() > 0.5, "a pruned model: zeros are there")


def check_settings():
    """Metadata that is set here, as the reference reads it."""
    settings = {"general.architecture": "llama", "general.name": "a \"b\"",
                "llama.block_count": 2, "llama.rope.freq_base": 10000.5,
                "general.alignment": 64, "tags": ["x", "y"], "yes": True,
                "big": 2 ** 40, "negative": -3, "ints": [1, 2, 3]}
    metadata = json.dumps({"gguf": {"metadata": settings, "types": [
        ["general.architecture", "string"], ["ints", "u8[]"]]}})
    read = from_checkpoint(data_bytes("digits_mlp.pth"),
                           "model_set_metadata(m, %s)" % quote(metadata))
    kinds = {"general.architecture": "string", "ints": "u8[]", "big": "i64",
             "general.alignment": "u32", "general.name": "string",
             "llama.block_count": "u32", "llama.rope.freq_base": "f32",
             "negative": "i32", "tags": "string[]", "yes": "bool"}
    check(list(read.fields) == list(kinds), "keys that are set: their order",
          list(read.fields))
    check(read.fields == {name: (kind, settings[name])
                          for name, kind in kinds.items()},
          "keys that are set: types and values", read.fields)


def expected_type(tensor, kind):
    """As ggml's programs choose: vectors are not quantized, and rows that are
    no whole blocks become halves."""
    if tensor.ndim < 2:
        return "F32"
    if tensor.shape[-1] % gguf.GGML_QUANT_SIZES[Type[kind]][0]:
        return "F16"
    return kind


def check_conversions():
    """Floats as other types, bit for bit as the reference converts them."""
    random = numpy.random.default_rng(11)
    tensors = {
        "normal": random.standard_normal((300, 128)),
        "small": random.standard_normal((64, 2, 32)) * 1e-6,
        "ties": random.integers(-128, 129, (200, 32)) / 2,
        "integers": random.integers(-8, 9, (3, 2, 5, 64)),
        "zeros": numpy.zeros((4, 32)),
        "narrow": random.standard_normal((5, 48)),
        "vector": random.standard_normal(64)}
    tensors = {n: t.astype(numpy.float32) for n, t in tensors.items()}

    def fill(writer):
        for name, tensor in tensors.items():
            writer.add_tensor(name, tensor)
    data = written_by_reference(fill)
    for kind in ("F32", "F16", "BF16", "Q8_0", "Q4_0"):
        read = ReadByReference(base64.b64decode(sql(
            "SELECT encode(model_write(model_read(decode('%s', 'hex')), "
            "'gguf', %s), 'base64');" % (data.hex(), quote(kind.lower())))
            [0][0]))
        wrong = []
        for name, stored, _, raw in read.tensors:
            expected = expected_type(tensors[name], kind)
            if stored != expected or raw != gguf.quants.quantize(
                    tensors[name], Type[expected]).tobytes():
                wrong.append((name, stored, expected))
        check(len(read.tensors) == len(tensors) and not wrong,
              "floats as %s: types, and every bit" % kind, wrong)
        version = read.fields.get("general.quantization_version")
        check(version == (("u32", 2) if kind[0] == "Q" else None),
              "floats as %s: the version of quantization" % kind, version)


def checks(function):
    def run():
        if gguf is None:
            skip(function.__name__.replace("_", " "),
                 "this Python has no package gguf")
        else:
            function()
    return run


CHECKS = [("GGUF: random files of the reference", checks(check_random)),
          ("GGUF: a vocabulary", checks(check_vocabulary)),
          ("GGUF: blocks of any bits", checks(check_blocks)),
          ("GGUF: what is refused", checks(check_refused)),
          ("GGUF: files of ours", checks(check_written)),
          ("GGUF: metadata set here", checks(check_settings)),
          ("GGUF: floats as other types", checks(check_conversions))]
