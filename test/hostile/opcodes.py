"""Pickles by hand: what torch.save writes, as functions that return bytes."""

import struct


def x(text):
    """BINUNICODE, as torch writes strings."""
    data = text if isinstance(text, bytes) else text.encode()
    return b'X' + struct.pack('<I', len(data)) + data


def u(text):
    """SHORT_BINSTRING where it can be: it reads better in SQL."""
    data = text if isinstance(text, bytes) else text.encode()
    return b'U' + bytes([len(data)]) + data if len(data) < 256 else x(data)


def i(number):
    if 0 <= number < 256:
        return b'K' + bytes([number])
    if 0 <= number < 65536:
        return b'M' + struct.pack('<H', number)
    if -2 ** 31 <= number < 2 ** 31:
        return b'J' + struct.pack('<i', number)
    return long1(number.to_bytes(number.bit_length() // 8 + 1, 'little', signed=True))


def long1(data):
    return b'\x8a' + bytes([len(data)]) + data


def f(number):
    return b'G' + struct.pack('>d', number)


def name(module, attribute):
    """GLOBAL."""
    return ('c%s\n%s\n' % (module, attribute)).encode()


def t(*items):
    """A tuple."""
    if not items:
        return b')'
    if len(items) <= 3:
        return b''.join(items) + bytes([0x84 + len(items)])
    return b'(' + b''.join(items) + b't'


def l(*items):
    return b'](' + b''.join(items) + b'e' if items else b']'


def d(*items):
    """A dict of keys and values in turn."""
    return b'}(' + b''.join(items) + b'u' if items else b'}'


def call(function, *arguments):
    return function + t(*arguments) + b'R'


def instance(cls, state):
    """What an object is pickled as: NEWOBJ and BUILD."""
    return cls + b')\x81' + state + b'b'


NONE = b'N'
FALSE = b'\x89'
TRUE = b'\x88'
REBUILD = name('torch._utils', '_rebuild_tensor_v2')
REBUILD_V3 = name('torch._utils', '_rebuild_tensor_v3')
HOOKS = call(name('collections', 'OrderedDict'))


def dtype(cls):
    return name('torch.storage' if cls == 'UntypedStorage' else 'torch', cls)


def persistent(*items):
    return t(*items) + b'Q'


def storage(key='0', numel=4, cls='FloatStorage', location='cpu', view=()):
    """The layout before 1.6 has a sixth item, the view."""
    return persistent(u('storage'), dtype(cls), u(key), u(location), i(numel), *view)


def numbers(values):
    return t(*[i(value) for value in values])


def tensor(data=None, offset=0, size=(2, 2), stride=(2, 1)):
    return call(REBUILD, data or storage(), i(offset), numbers(size),
                numbers(stride), FALSE, HOOKS)


def pickle(body):
    return b'\x80\x02' + body + b'.'


def state(*items):
    """A state_dict, pickled."""
    return pickle(d(*items))


# ---------- the layout before torch 1.6 ----------

MAGIC = long1((0x1950a86a20f9469cfc6c).to_bytes(10, 'little'))
SYSTEM = d(u('protocol_version'), i(1001), u('little_endian'), TRUE)


def floats(*values):
    return struct.pack('<%df' % len(values), *values)


def stored(data=floats(1, 2, 3, 4), numel=4):
    return struct.pack('<q', numel) + data


def stream(saved, keys=(), storages=b'', magic=pickle(MAGIC),
           protocol=pickle(i(1001)), system=pickle(SYSTEM)):
    keys = keys if isinstance(keys, bytes) else pickle(l(*[u(key) for key in keys]))
    return magic + protocol + system + saved + keys + storages
