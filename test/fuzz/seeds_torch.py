"""
Checkpoints as torch.save writes them, without torch.

The pickles are Python's own: stand-ins for torch's functions and classes are
put where pickle looks for them, so that their names go into the pickle.  The
layouts are those of torch/serialization.py.
"""
import collections
import io
import pickle
import struct
import sys
import types
from collections import OrderedDict

MAGIC = 0x1950a86a20f9469cfc6c
PROTOCOL = 1001


def _stand_in(module, name, is_class=True):
    """An object that is pickled as the global module.name."""
    parts = module.split(".")
    for i in range(1, len(parts) + 1):
        path = ".".join(parts[:i])
        sys.modules.setdefault(path, types.ModuleType(path))
    if is_class:
        thing = type(name, (), {"__module__": module})
    else:
        def thing(*arguments):
            raise NotImplementedError
        thing.__module__ = module
        thing.__name__ = thing.__qualname__ = name
    setattr(sys.modules[module], name, thing)
    return thing


STORAGES = {name: (_stand_in("torch", name + "Storage"), width)
            for name, width in (("Double", 8), ("Float", 4), ("Half", 2),
                                ("BFloat16", 2), ("Long", 8), ("Int", 4),
                                ("Short", 2), ("Char", 1), ("Byte", 1),
                                ("Bool", 1), ("ComplexFloat", 8),
                                ("QInt8", 1))}
STORAGES["Untyped"] = (_stand_in("torch.storage", "UntypedStorage"), 1)
REBUILD = {n: _stand_in("torch._utils", name, False) for n, name in (
    (1, "_rebuild_tensor"), (2, "_rebuild_tensor_v2"),
    (3, "_rebuild_tensor_v3"), ("parameter", "_rebuild_parameter"),
    ("quantized", "_rebuild_qtensor"), ("sparse", "_rebuild_sparse_tensor"))}
SUBCLASS = _stand_in("torch._tensor", "_rebuild_from_type_v2", False)
TENSOR = _stand_in("torch", "Tensor")
UNKNOWN = _stand_in("some.package", "Settings")
FLOAT8 = _stand_in("torch", "float8_e4m3fn", False)
UINT16 = _stand_in("torch", "uint16", False)
LINEAR = _stand_in("torch.nn.modules.linear", "Linear")
SEQUENTIAL = _stand_in("torch.nn.modules.container", "Sequential")
SCALAR = _stand_in("numpy.core.multiarray", "scalar", False)
NUMPY_DTYPE = _stand_in("numpy", "dtype")


class Storage:
    def __init__(self, kind, data, location="cpu", view=None):
        self.cls, self.width = STORAGES[kind]
        self.data = data
        self.location = location
        self.view = view            # of it, in files from before 0.4

    @property
    def count(self):
        return len(self.data) // self.width


class Call:
    """Pickled as a call of a function."""

    def __init__(self, function, *arguments):
        self.reduction = (function, arguments)

    def __reduce__(self):
        return self.reduction


class Build:
    """Pickled as a call whose result is given a state."""

    def __init__(self, function, arguments, state):
        self.reduction = (function, arguments, state)

    def __reduce__(self):
        return self.reduction


def strides_of(shape):
    strides = []
    step = 1
    for n in reversed(shape):
        strides.insert(0, step)
        step *= max(n, 1)
    return tuple(strides)


def tensor(storage, shape, strides=None, offset=0):
    return Call(REBUILD[2], storage, offset, tuple(shape),
                strides_of(shape) if strides is None else strides, False,
                OrderedDict())


def floats(*values):
    return Storage("Float", struct.pack("<%df" % len(values), *values))


def new_module(cls, parameters=(), modules=(), buffers=()):
    module = cls()
    module.__dict__.update(
        training=True, _parameters=OrderedDict(parameters),
        _buffers=OrderedDict(buffers), _non_persistent_buffers_set={"scratch"},
        _modules=OrderedDict(modules), in_features=2)
    return module


class OwnDict(dict):
    """A class that no reader knows, with the items of a dict."""


OwnDict.__module__ = "some.package"
sys.modules["some.package"].OwnDict = OwnDict


class StateDict(OrderedDict):
    """An OrderedDict with the attribute that state_dict() gives it."""

    def __reduce__(self):
        return (OrderedDict, (), {"_metadata": OrderedDict(
            [("", {"version": 1}), ("bn", {"version": 2}),
             ('a "name"\\\n\x01', {"version": -70000, "x": 2 ** 40,
                                   "y": None, "z": False, "text": "t"})])},
            None,
            iter(self.items()))


def numpy_scalar(code, data):
    return Call(SCALAR, Build(NUMPY_DTYPE, (code, False, True),
                              (3, "<", None, None, None, -1, -1, 0)), data)


def settings():
    thing = UNKNOWN()
    thing.__dict__.update(path="x", verbose=True)
    return thing


# ---------- what is saved ----------

def plain():
    storage = floats(*range(6))
    return StateDict([("layer.weight", tensor(storage, (2, 3))),
                      ("layer.bias", tensor(floats(1, 2), (2,)))])


def every_dtype():
    return OrderedDict(
        (name.lower(), tensor(Storage(name, bytes([1, 0] * 8)),
                              (16 // width,)))
        for name, (_, width) in STORAGES.items()
        if name not in ("Untyped", "ComplexFloat", "QInt8"))


def views():
    base = floats(*range(24))
    return {"base": tensor(base, (4, 6)), "tied": tensor(base, (4, 6)),
            "transposed": tensor(base, (6, 4), (1, 6)),
            "row": tensor(base, (6,), (1,), 12),
            "expanded": tensor(base, (3, 5), (0, 0), 7),
            "scalar": tensor(base, (), (), 23),
            "empty": tensor(base, (0, 4)),
            "deep": tensor(base, (1, 2, 1, 3, 1), (9, 6, 9, 2, 9))}


def training():
    weights = plain()
    return {"epoch": 12, "state_dict": weights, "lr": 0.1, "best": -1e300,
            "args": {"name": "na\u00efve \u91cd\u307f", "sizes": [1, (2, 3)],
                     "huge": 2 ** 100, "none": None, "flag": True,
                     "bytes": b"\x00\xff", "set": {1, 2}, 5: "five"},
            "optimizer": {"state": {0: {"step": tensor(floats(3), ())}},
                          "param_groups": [{"lr": 1e-3, "params": [0, 1]}]},
            "numpy": numpy_scalar("f8", struct.pack("<d", 0.25)),
            "numpy_long": numpy_scalar("i8", struct.pack("<q", -5)),
            "numpy_bool": numpy_scalar("b1", b"\1"),
            "own": OwnDict(a=1), "object": settings(), "no_bytes": b"",
            "negative": -2 ** 90, "most_digits": [2 ** 511 - 1, -2 ** 511],
            "more_digits": 2 ** 511,
            "global": SCALAR, "class": LINEAR,
            "default": collections.defaultdict(int, a=1),
            "counter": collections.Counter("aab")}


def module():
    linear = new_module(LINEAR, [
        ("weight", Call(REBUILD["parameter"], tensor(floats(1, 2), (1, 2)),
                        True, OrderedDict())), ("bias", None)])
    return new_module(SEQUENTIAL, modules=[("0", linear), ("1", linear)],
                      buffers=[("count", tensor(Storage("Long", bytes(8)),
                                                ())),
                               ("scratch", tensor(floats(1), (1,)))])


def modern():
    """Untyped storages with the dtype beside them."""
    return OrderedDict([
        ("f8", Call(REBUILD[3], Storage("Untyped", bytes(range(8))), 0, (8,),
                    (1,), False, OrderedDict(), FLOAT8)),
        ("u16", Call(REBUILD[3], Storage("Untyped", bytes(range(8))), 1, (3,),
                     (1,), False, OrderedDict(), UINT16, {}))])


def ancient():
    storage = floats(1, 2, 3)
    return {"w": Call(REBUILD[1], storage, 0, (3,), (1,))}


def viewed():
    storage = Storage("Short", bytes(range(12)), view=("1", 2, 3))
    return {"w": Call(REBUILD[1], storage, 1, (2,), (1,))}


def subclass():
    arguments = tensor(floats(1, 2), (2,)).reduction[1] + ({"other": False},)
    return {"w": Call(SUBCLASS, REBUILD[2], TENSOR, arguments, {})}


def several():
    """Sets of weights of which one has to be chosen, and a path to one."""
    return {"model": plain(), "ema": plain(),
            "a": [OwnDict(w=tensor(floats(1), (1,)))], 7: plain()}


def crowded():
    """More than metadata has room for, once it is jsonb: each of these numbers
    has 301 digits there."""
    numbers = [1e300] * 1000
    return {"w": tensor(floats(1), (1,)), "short": numbers,
            "long": [[list(numbers), "x"] for i in range(12)]}


def checkpoints():
    yield "plain", plain()
    yield "every_dtype", every_dtype()
    yield "views", views()
    yield "training", training()
    yield "module", module()
    yield "modern", modern()
    yield "ancient", ancient()
    yield "subclass", subclass()
    yield "several", several()
    yield "nothing_else", {"model": OrderedDict(plain())}
    yield "list", [tensor(floats(1), (1,)), [tensor(floats(2), (1,))]]
    yield "tensor", tensor(floats(1, 2), (2,))


def slow_checkpoints():
    yield "crowded", crowded()
    yield "expanded", {"w": tensor(floats(*range(8)), (3, 2, 200000),
                                   (0, 3, 0), 1)}


def refused_checkpoints():
    storage = floats(1, 2, 3)
    yield "past_the_end", {"w": tensor(storage, (4,))}
    yield "stride_past_the_end", {"w": tensor(storage, (2, 2), (2, 1))}
    yield "offset", {"w": tensor(storage, (1,), (1,), 3)}
    yield "negative", {"w": tensor(storage, (1,), (-1,), 2)}
    yield "overflow", {"w": tensor(storage, (2 ** 62, 2 ** 62), (0, 0))}
    yield "bomb", {"w": tensor(storage, (2 ** 40,), (0,))}
    yield "rank", {"w": tensor(storage, (1,) * 40)}
    yield "complex", {"w": tensor(Storage("ComplexFloat", bytes(8)), (1,))}
    yield "meta", {"w": tensor(Storage("Float", bytes(8), "meta"), (2,))}
    yield "quantized", {"w": Call(REBUILD["quantized"], storage, 0, (3,),
                                  (1,))}
    yield "sparse", {"w": Call(REBUILD["sparse"], "torch.sparse_coo", ())}
    yield "bool", {"w": tensor(Storage("Bool", b"\2"), (1,))}
    lazy = tensor(storage, (3,)).reduction[1] + ({"conj": True},)
    yield "lazy", {"w": Call(REBUILD[2], *lazy)}
    yield "wrapped", {"w": Call(REBUILD["parameter"], 1, True, ())}
    yield "other_kind", {"w": Call(TENSOR, 1)}
    metadata = {str(i): i for i in range(17)}
    yield "metadata", {"w": Call(REBUILD[2], *(
        tensor(storage, (3,)).reduction[1] + (metadata,)))}
    text = "x" * 5000
    yield "repetitive", {"w": tensor(storage, (3,)), "text": [text] * 300}
    yield "no_name", {None: tensor(storage, (3,))}
    cycle = {"w": tensor(storage, (3,))}
    cycle["self"] = cycle
    yield "cycle", cycle


# ---------- how it is saved ----------

class Pickler(pickle._Pickler):
    """Python's own, whose look-ups of globals the stand-ins satisfy."""

    def __init__(self, out, protocol, legacy):
        super().__init__(out, protocol)
        self.storages = OrderedDict()
        self.legacy = legacy

    def persistent_id(self, thing):
        if not isinstance(thing, Storage):
            return None
        key = str(list(self.storages.values()).index(thing)
                  if thing in self.storages.values() else len(self.storages))
        self.storages[key] = thing
        pid = ("storage", thing.cls, key, thing.location, thing.count)
        return pid + (thing.view,) if self.legacy else pid


def dump(value, protocol, legacy=False):
    """The pickle, and the bytes of storages by their keys."""
    out = io.BytesIO()
    pickler = Pickler(out, protocol, legacy)
    pickler.dump(value)
    return out.getvalue(), OrderedDict(
        (key, storage.data) for key, storage in pickler.storages.items())


def dump_legacy(value, protocol):
    out = io.BytesIO()
    pickler = Pickler(out, protocol, True)
    system = {"protocol_version": PROTOCOL, "little_endian": True,
              "type_sizes": {"short": 2, "int": 4, "long": 4}}
    for part in (MAGIC, PROTOCOL, system):
        pickle.dump(part, out, protocol)
    pickler.dump(value)
    pickle.dump(sorted(pickler.storages), out, protocol)
    for key in sorted(pickler.storages):
        storage = pickler.storages[key]
        out.write(struct.pack("<q", storage.count) + storage.data)
    return out.getvalue()


# ---------- pickles by themselves ----------

def pickles():
    """Not of modules: those need calls that are refused by default."""
    for name, value in checkpoints():
        for protocol in (2, 3, 4, 5):
            yield "%s.%d" % (name, protocol), dump(value, protocol)[0]
    long_list = list(range(-300, 300)) + ["x" * 300] * 3 + [2 ** 2000]
    for protocol in (2, 4):
        yield "long.%d" % protocol, pickle.dumps(long_list, protocol)
    cycle = []
    cycle.append(cycle)
    yield "cycle", pickle.dumps({"cycle": cycle, "tuple": (cycle,)}, 2)
    yield "stop_at_once", b"\x80\x02N."
    yield "put_and_get", b"\x80\x02]q\x00h\x00a."


def hostile_pickles():
    yield "system", b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00ls\x85R."
    yield "eval", b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R."
    yield "unknown_refused", b"\x80\x02cos\nnothing\n)R."
    yield "inst", b"\x80\x02(X\x01\x00\x00\x00xiposix\nsystem\n."
    yield "obj", b"\x80\x02(cposix\nsystem\nX\x01\x00\x00\x00xo."
    yield "extension", b"\x80\x02\x82\x01."
    yield "protocol_0", b"(lp0\nI1\na."
    yield "protocol_9", b"\x80\x09N."
    yield "unknown_function", b"\x80\x02csome.package\nfunction\n)R."
    yield "tuple_over_mark", b"\x80\x02N(N\x860."
    yield "tuple_of_too_few", b"\x80\x02N\x86."
    yield "append_over_mark", b"\x80\x02](Na0."
    yield "no_stop", b"\x80\x02N"
    yield "empty_stack", b"\x80\x02."
    yield "two_left", b"\x80\x02NN."
    yield "no_mark", b"\x80\x02t."
    yield "memo_far", b"\x80\x02Nr\xff\xff\xff\xff."
    yield "memo_missing", b"\x80\x02h\x07."
    yield "string_long", b"\x80\x02X\xff\xff\xff\xff."
    yield "bytes_long", b"\x80\x04\x8e" + b"\xff" * 8 + b"."
    yield "frame_long", b"\x80\x04\x95" + b"\xff" * 8 + b"N."
    yield "frame_cut", b"\x80\x04\x95\x02" + bytes(7) + b"N\x8c\x05abcde."
    yield "list_as_key", b"\x80\x02}]Ns."
    yield "append_to_none", b"\x80\x02NNa."
    yield "odd_items", b"\x80\x02}(Nu."
    yield "marks", b"\x80\x02" + b"(" * 2000 + b"."
