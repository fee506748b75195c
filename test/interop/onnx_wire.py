"""
ONNX files as bytes: protocol buffers read and written without any library, so
that a file can be compared with what was made of it byte by byte.

Numbers of fields and element types are those of the specification.
"""
import struct

GRAPH, INITIALIZER = 7, 5
DIMS, DATA_TYPE, NAME, RAW_DATA = 1, 2, 8, 9
EXTERNAL_DATA, DATA_LOCATION = 13, 14

# Numbers of element types that a model can have: our name, the letter by which
# struct reads one element, and the field that has elements singly.
TYPES = {1: ("f32", "f", 4), 2: ("u8", "B", 5), 3: ("i8", "b", 5),
         4: ("u16", "H", 5), 5: ("i16", "h", 5), 6: ("i32", "i", 5),
         7: ("i64", "q", 7), 9: ("bool", "B", 5), 10: ("f16", "H", 5),
         11: ("f64", "d", 10), 12: ("u32", "I", 11), 13: ("u64", "Q", 11),
         16: ("bf16", "H", 5), 17: ("f8e4m3", "B", 5),
         18: ("f8e4m3fnuz", "B", 5), 19: ("f8e5m2", "B", 5),
         20: ("f8e5m2fnuz", "B", 5), 21: ("u4", None, None),
         22: ("i4", None, None), 24: ("f8e8m0", "B", 5)}
ELEMENTS = {4, 5, 6, 7, 9, 10, 11}


def varint(value):
    out = b""
    value %= 2 ** 64
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def bytes_field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def integer_field(number, value):
    return varint(number << 3) + varint(value)


def take_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        shift += 7
        if byte < 128:
            return value, at


def fields(data):
    """(number, kind, value, all its bytes) of each field."""
    at = 0
    while at < len(data):
        start = at
        tag, at = take_varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = take_varint(data, at)
        elif kind == 2:
            size, at = take_varint(data, at)
            value = data[at:at + size]
            assert len(value) == size
            at += size
        else:
            size = {1: 8, 5: 4}[kind]
            value = data[at:at + size]
            at += size
        yield tag >> 3, kind, value, data[start:at]


def varints(number_kind, value):
    if number_kind == 0:
        return [value]
    out = []
    at = 0
    while at < len(value):
        one, at = take_varint(value, at)
        out.append(one)
    return out


class Tensor:
    """A TensorProto: name, shape, type, and its elements as raw_data would
    have them."""

    def __init__(self, message):
        self.name = ""
        self.shape = []
        self.type = 0
        self.raw = None
        self.typed = []
        self.rest = b""         # all fields without elements
        for number, kind, value, whole in fields(message):
            if number == DIMS:
                self.shape += varints(kind, value)
            elif number == DATA_TYPE:
                self.type = value
            elif number == NAME:
                self.name = value.decode()
            elif number == RAW_DATA:
                self.raw = value
            elif number in ELEMENTS:
                self.typed.append((number, kind, value))
            if number not in ELEMENTS:
                self.rest += whole

    @property
    def known(self):
        return self.type in TYPES

    @property
    def dtype(self):
        return TYPES[self.type][0]

    def elements(self):
        if self.raw is not None:
            return self.raw
        letter = TYPES[self.type][1]
        if letter is None:
            return b""
        size = struct.calcsize(letter)
        out = b""
        for number, kind, value in self.typed:
            if number in (4, 10):
                out += value
            else:
                for one in varints(kind, value):
                    out += (one % 2 ** (8 * size)).to_bytes(size, "little")
        return out


def initializers(model):
    """The tensors of the graph that a model can have as its own."""
    graph = next(value for number, _, value, _ in fields(model)
                 if number == GRAPH)
    tensors = [Tensor(value) for number, _, value, _ in fields(graph)
               if number == INITIALIZER]
    return [t for t in tensors if t.known]


def skeleton(model):
    """All of a file but elements of those tensors, and the lengths of what
    they are in."""
    out = []
    for number, _, value, whole in fields(model):
        if number != GRAPH:
            out.append(whole)
            continue
        for inner, _, content, all_of_it in fields(value):
            tensor = Tensor(content) if inner == INITIALIZER else None
            known = tensor is not None and tensor.known
            out.append((INITIALIZER, tensor.rest) if known else all_of_it)
    return out


def is_raw(model):
    """Whether writing is to give the very same bytes."""
    return all(t.raw is not None or not t.elements()
               for t in initializers(model))


def safetensors(data):
    """Names, dtypes, shapes and bytes of a safetensors file."""
    import json
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    body = data[8 + size:]
    return {name: (entry["dtype"], entry["shape"],
                   body[slice(*entry["data_offsets"])])
            for name, entry in header.items()}
