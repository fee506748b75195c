"""Hostile pickles: what they call, what the machine that reads them takes, what
hangs together in the result.  What they say of tensors is in tensors.py."""

import struct

import tensors
from opcodes import (NONE, TRUE, call, d, f, i, instance, l, name, pickle, state, stream, t,
                     u, x)
from saved import (FOOTER, SHEET, W, bodies, header, no, one, saved, storage, tensor,
                   weights, with_storage, yes)
from sheet import Case

# What make.py asks of each suite: header(), FOOTER and SHEET, which are saved.py's, and cases().

# ---------- calls ----------

CALLABLES = [
    ('posix', 'system'), ('nt', 'system'), ('subprocess', 'Popen'), ('builtins', 'eval'),
    ('builtins', 'exec'), ('builtins', 'getattr'), ('builtins', '__import__'),
    ('__builtin__', 'apply'), ('runpy', '_run_code'), ('torch.hub', 'load'), ('torch', 'load'),
    ('torch.storage', '_load_from_bytes'), ('numpy.core.multiarray', '_reconstruct'),
    ('operator', 'attrgetter'), ('operator', 'methodcaller'), ('functools', 'partial'),
    ('pkgutil', 'resolve_name'), ('logging', 'FileHandler'), ('_io', 'FileIO'),
    ('ctypes', 'CDLL'), ('pty', 'spawn'), ('uuid', '_get_command_stdout'),
]

FORMS = """\
SELECT string_agg(DISTINCT verdict(saved('\\200\\002' || body || '.')), ' / ') FROM (VALUES
    %s) names (number, module, name),
    LATERAL (VALUES
        ('c' || line(module) || line(name) || 'U\\004echo\\205R'),
        (short(module) || short(name) || '\\223U\\004echo\\205R'),
        ('(U\\004echoi' || line(module) || line(name)),
        ('(c' || line(module) || line(name) || 'U\\004echoo'),
        ('(' || short(module) || short(name) || '\\223U\\004echoo')) forms (body)
GROUP BY number ORDER BY number;"""

HELPERS = """\
CREATE FUNCTION line(text) RETURNS bytea LANGUAGE sql AS
$$ SELECT convert_to($1 || E'\\n', 'UTF8') $$;
CREATE FUNCTION short(text) RETURNS bytea LANGUAGE sql AS
$$ SELECT '\\214' || set_byte('\\000', 0, length($1)) || convert_to($1, 'UTF8') $$;
-- An outcome's first sentence.
CREATE FUNCTION verdict(data bytea) RETURNS text LANGUAGE sql AS
$$ SELECT split_part(outcome(data), '. ', 1) $$;"""


def calls():
    refused = 'which is not a tensor constructor'
    values = ',\n    '.join("(%d, '%s', '%s')" % (number, module, attribute)
                            for number, (module, attribute) in enumerate(CALLABLES, 1))
    yield 'calls'
    yield saved('The classic: os.system.', pickle(name('os', 'system') + u('echo') + b'\x85R'),
                no(r'calls "os\.system".*Nothing was run\. The call is at byte \d+ of the saved'))
    yield Case('More that would run code, read files or load libraries, each called by GLOBAL and '
               'by STACK_GLOBAL with REDUCE, by INST, and by OBJ: all four are told by name.',
               HELPERS + '\n' + FORMS % values,
               *[r'22P03: checkpoint calls "%s\.%s", %s$' % (module.replace('.', r'\.'), attribute, refused)
                 for module, attribute in CALLABLES], sql=True)
    yield saved('By the extension registry, which has no names.',
                pickle(b'\x82\x01' + u('echo') + b'\x85R'), no('Byte 2 of the saved object, 0x82, is no opcode'))
    yield saved('By a nested pickle in a string, as old storages had.',
                pickle(call(name('torch.storage', '_load_from_bytes'), u(pickle(name('os', 'system'))))),
                no(r'calls "torch\.storage\._load_from_bytes"'))
    yield saved('The end of the pickle is missing; the call comes first, and is what is told.',
                pickle(name('os', 'system') + u('echo') + b'\x85R')[:-1], no(r'calls "os\.system"'))
    yield saved('Nonsense after the call: the same.',
                b'\x80\x02' + name('os', 'system') + u('echo') + b'\x85R\xff\xff\xff', no(r'calls "os\.system"'))
    yield saved('Nonsense before the call: the call is never reached.',
                b'\x80\x02\xff' + name('os', 'system') + u('echo') + b'\x85R.', no('0xff, is no opcode'))
    yield saved('A dotted name that starts at a harmless module.',
                pickle(call(name('torch', '_utils._rebuild_tensor_v2.__globals__'), u('os'))),
                no(r'calls "torch\._utils\._rebuild_tensor_v2\.__globals__"'))
    yield saved('An attribute of a constructor.',
                pickle(call(name('torch._utils', '_rebuild_tensor_v2.__call__'), u('os'))),
                no(r'calls "torch\._utils\._rebuild_tensor_v2\.__call__"'))
    yield saved('A class of torch that is not for calling.',
                pickle(call(name('torch', 'FloatStorage'), i(9))), no(r'calls "torch\.FloatStorage"'))
    yield saved('What a call returned is called.',
                pickle(call(call(name('collections', 'OrderedDict')),
                            u('x'))), no('calls something that is no global'))
    yield saved('A string is called.', pickle(call(u('os.system'), u('x'))), no('calls something that is no global'))
    yield saved('Arguments in a list.', pickle(name('collections', 'OrderedDict') + l() + b'R'),
                no('calls with arguments that are no tuple'))
    yield saved('A name with bytes that are no letters is told with them escaped.',
                pickle(call(b'c\xff\xfe\x00\nsys\x1b[31mtem"\n', u('x'))),
                no(r'calls "\\xff\\xfe\\x00\.sys\\x1b\[31mtem"", which'))
    yield saved('A name without an end, of twenty million letters.', b'\x80\x02cos\n' + b'A' * 20000000,
                no('byte 2 of the saved object has a line of text without an end'))
    yield saved('A module without an end.', b'\x80\x02cos', no('has a line of text without an end'))
    yield saved('A module of 256 letters, one too many.', pickle(call(name('m' * 256, 'f'), u('x'))),
                no('has a line of text without an end'))
    yield saved('Twice as long, by STACK_GLOBAL.', pickle(u('m' * 512) + u('f') + b'\x93)R'),
                no('names a global in too many letters'))
    yield saved('STACK_GLOBAL with a number for a name.', pickle(u('os') + i(1) + b'\x93'),
                no('names a global by something that is no string'))
    yield saved('STACK_GLOBAL with a memo that nobody filled.', pickle(u('os') + b'h\x05\x93'),
                no('gets from the memo what nobody put there'))
    yield Case('The magic number itself is made by eval: then it is no checkpoint.',
               stream(state(), magic=pickle(call(name('__builtin__', 'eval'), u('0x1950a86a20f9469cfc6c')))),
               no('bytes are in no model format.*look like a bare pickle'))
    yield saved('An attacked name may not even be mentioned, whatever is done with it.',
                state(u('w'), name('subprocess', 'Popen')), no(r'calls "subprocess\.Popen"'))
    yield Case('Nor where classes are read past.', state(u('w'), tensor(), u('x'), call(name('nt', 'system'), u('x'))),
               no(r'calls "nt\.system"'), call='outcome(saved_storage(%s), allow_modules => true)', wrap=with_storage)
    yield Case('What is read past there is no more than a name.',
               state(u('w'), tensor(), u('x'), call(name('functools', 'partial'), u('x'))),
               yes(W, r'; metadata.*{"type": "functools\.partial"}'),
               call='outcome(saved_storage(%s), allow_modules => true)', wrap=with_storage)
    yield one('A tensor beside the name of a function, which is not called.',
              tensor() + u('f') + name('functools', 'partial'),
              yes(W, r'; metadata.*"f": {"type": "functools\.partial"}'))


# ---------- the machine ----------

KNOWN = (b'c\x81RbaesUut(\x85\x86\x87N\x89\x88)]}\x8fJKMGXQhjqr\x8a\x80.'
         b'\x95\x94\x93\x8c\x8d\x8eCBT\x8b\x90\x910io')


def machine():
    known = ' '.join('%02x' % byte for byte in sorted(KNOWN))
    yield 'opcodes'
    yield Case('The opcodes that are read; INST (69) and OBJ (6f) only to be refused by name.',
               "SELECT string_agg(to_hex(op), ' ' ORDER BY op) FROM generate_series(0, 255) op\n"
               "WHERE outcome(saved('\\200\\002' || set_byte('\\000', 0, op))) NOT LIKE '%Byte 2%is no opcode%';",
               known + '$', sql=True)
    yield saved('An opcode that there is not.', pickle(b'\xff'), no('Byte 2 of the saved object, 0xff, is no opcode'))
    yield saved('A persistent id as a line of text.', pickle(b'P0\n'), no('0x50, is no opcode'))
    yield saved('A pile of lists, each doubled by DUP.', pickle(b'(l' + b'2' * 1000 + b't'), no('0x6c, is no opcode'))
    yield saved('The same without LIST.', pickle(b']' + b'2' * 1000 + b'a'), no('0x32, is no opcode'))
    yield bodies('Each opcode that takes from the stack, and nothing there.', [
        ('POP', b'0'), ('STOP', b''), ('REDUCE', b'R'), ('REDUCE of one', b')R'), ('NEWOBJ', b'\x81'),
        ('BINPERSID', b'Q'), ('APPEND', b'a'), ('APPEND of one', b'Na'), ('BUILD', b'b'),
        ('BUILD of one', b'}b'), ('SETITEM', b's'), ('SETITEM of one', b'Ns'), ('SETITEM of two', b'NNs'),
        ('TUPLE1', b'\x85'), ('TUPLE2', b'N\x86'), ('TUPLE3', b'NN\x87'), ('STACK_GLOBAL', b'\x93'),
        ('STACK_GLOBAL of one', u('os') + b'\x93'), ('MEMOIZE', b'\x94'), ('BINPUT', b'q\0'),
        ('LONG_BINPUT', b'r\0\0\0\0'), ('APPENDS', b'(Ne'), ('SETITEMS', b'(NNu'), ('ADDITEMS', b'(N\x90'),
    ], '22P03: invalid pickle in checkpoint')
    yield bodies('The same behind a mark, which fences off what is below it.', [
        ('POP', b'N(00'), ('REDUCE', name('collections', 'OrderedDict') + b')(R'), ('APPEND', b']N(a'),
        ('BUILD', b'}}(b'), ('SETITEM', b'}NN(s'), ('TUPLE1', b'N(\x85'), ('BINPUT', b'N(q\0'),
        ('MEMOIZE', b'N(\x94'), ('STOP', b'N('),
    ], ['22P03: invalid pickle in checkpoint'] * 9)
    yield bodies('No mark for those that need one.', [
        ('TUPLE', b'Nt'), ('APPENDS', b']Ne'), ('SETITEMS', b'}NNu'), ('ADDITEMS', b'\x8fN\x90'),
        ('FROZENSET', b'N\x91'), ('OBJ', name('os', 'path')[:0] + b'No'),
    ], '22P03: invalid pickle in checkpoint')
    yield saved('The text of such an error.', pickle(b'}NNu'),
                no('The opcode at byte 5 of the saved object needs a mark, and there is none'))
    yield saved('And of the other.', pickle(b'N\x86'),
                no('The opcode at byte 3 of the saved object takes more from the stack than there is'))
    yield saved('A hundred thousand marks.', pickle(b'(' * 100000), no('nested too deeply.*1000 open marks', '54000'))
    yield saved('Stops with two items.', pickle(b'NN'), no('stops with items left on the stack'))
    yield saved('Stops with a mark open.', pickle(b'(N'), no('stops with items left on the stack'))
    yield Case('The input ends before the pickle does.', stream(b'')[:-len(pickle(l()))] + b'\x80\x02N',
               no('The opcode at byte 3 of the saved object reaches over the end'))
    yield 'memo'
    yield saved('A memo of 32 gigabytes.', pickle(b'Nr\xff\xff\xff\xff'),
                no('puts into the memo at an index that is too large'))
    yield saved('The first index that more opcodes would be needed for.', pickle(b'Nq\x03'),
                no('at an index that is too large'))
    yield saved('Gets what was not put.', pickle(b'h\x00'), no('gets from the memo what nobody put there'))
    yield saved('The same, far out.', pickle(b'j\xff\xff\xff\xff'), no('gets from the memo what nobody put'))
    yield saved('A gap in the memo.', pickle(b'N' + b'N0' * 5 + b'q\x05h\x03'),
                no('gets from the memo what nobody put'))
    yield saved('Puts a mark.', pickle(b'(q\x00'), no('takes more from the stack than there is'))
    yield 'lengths'
    yield saved('BINUNICODE of 4 gigabytes.', pickle(b'X\xff\xff\xff\xff'),
                no('byte 2 of the saved object reaches over'))
    yield saved('BINUNICODE8 of 2^63.', pickle(b'\x8d' + struct.pack('<Q', 2 ** 63)), no('reaches over the end'))
    yield saved('BINUNICODE8 of 2^64 - 1.', pickle(b'\x8d' + b'\xff' * 8), no('reaches over the end'))
    yield saved('BINBYTES8 of 2^63.', pickle(b'\x8e' + struct.pack('<Q', 2 ** 63)), no('reaches over the end'))
    yield saved('SHORT_BINSTRING past the end.', b'\x80\x02U\xff.', no('reaches over the end'))
    yield saved('LONG4 of -1 bytes.', pickle(b'\x8b\xff\xff\xff\xff'), no('reaches over the end'))
    yield saved('A frame of 2^63 bytes.', b'\x80\x04\x95' + struct.pack('<Q', 2 ** 63) + b'N.',
                no('starts a frame that ends after the end'))
    yield saved('A frame that ends in the middle of an opcode.',
                b'\x80\x04\x95' + struct.pack('<Q', 3) + b'NM\x01\x02.',
                no('byte 12 of the saved object reaches over the end'))
    yield saved('A frame inside of a frame.', b'\x80\x04\x95' + struct.pack('<Q', 12) + b'N0\x95' + struct.pack('<Q',
            1) + b'N.',
                no('starts a frame inside of a frame'))
    yield saved('A frame that goes on after the end of the pickle.', b'\x80\x04\x95' + struct.pack('<Q', 5) + b'}.',
                no('stops before its frame does'))
    yield saved('Protocol 6, which there is not yet.', b'\x80\x06N.',
                no('pickle protocol 6 is not supported', '0A000'))
    yield saved('Protocol 1.', b'\x80\x01N.', no('pickle protocol 1 is not supported', '0A000'))
    yield saved('No protocol.', b'}.', no('does not say the protocol'))
    yield saved('The protocol twice.', pickle(b'\x80\x02}'), no('says the protocol, which only the first one may'))


# ---------- containers ----------

def entangled(n, leaf):
    """n dicts, each with the one before it twice."""
    return (b'}(' + u('a')) * n + leaf + (b'q\0' + u('b') + b'h\0u') * n


def containers():
    yield 'containers'
    yield saved('A key without a value.', pickle(b'}(' + u('a') + NONE + u('b') + b'u'),
                no('has a key without a value'))
    yield bodies('Items for what takes none.', [
        ('SETITEM on a tuple', b')' + u('a') + b'Ns'), ('SETITEM on a str', u('a') + u('a') + b'Ns'),
        ('SETITEM on a list', b']' + i(0) + b'Ns'), ('SETITEM on a call', tensor() + u('a') + b'Ns'),
        ('SETITEM on a storage', storage() + u('a') + b'Ns'), ('SETITEMS on None', b'N(NNu'),
        ('APPEND to a dict', b'}Na'), ('APPEND to a tuple', b')Na'), ('APPENDS to a set', b'\x8f(Ne'),
        ('ADDITEMS to a list', b'](N\x90'), ('BUILD of a list', b']}b'), ('BUILD of a call', tensor() + b'}b'),
    ], ['22P03: invalid pickle in checkpoint'] * 12)
    yield saved('The text of such an error: a storage as a dict.', pickle(storage() + i(0) + b'Ns'),
                no('adds items to something that takes none'))
    yield saved('A state for what has none.', pickle(tensor() + b'}b'),
                no('sets the state of something that has none'))
    yield saved('A second state.', pickle(instance(name('torch.nn', 'Linear'), d()) + b'}b'),
                no('sets the state of an object for the second time'))
    yield saved('A list as a key.', pickle(b'}]Ns'), no('uses a list, dict or set as a key'))
    yield saved('A dict as a key.', pickle(b'}(}Nu'), no('uses a list, dict or set as a key'))
    yield weights('Numbers as keys name tensors, as those of an optimizer do.', state(i(0), tensor(), i(-7), tensor()),
                  yes('0 f32 {{1,2},{3,4}}, -7 = 0'))
    yield weights('A tuple as the key of a tensor.', state(t(u('a'), u('b')), tensor()),
                  no('key that is too long, or neither a string nor an integer'))
    yield weights('A float as the key of a tensor.', state(f(0.5), tensor()), no('neither a string nor an integer'))
    yield weights('True as the key of a tensor.', state(TRUE, tensor()), no('neither a string nor an integer'))
    yield one('The same keys without a tensor are told of in the metadata.', tensor() + u('x') + d(t(i(1)), i(2)),
              yes(W, r'; metadata.*"x": {"type": "dict"}'))
    yield one('A list inside of itself.', b']q\0(h\0' + tensor() + b'e', no('inside of itself, under "w.0"'))
    yield one('A dict inside of itself.', b'}q\0(' + u('again') + b'h\0' + u('t') + tensor() + b'u',
              no('inside of itself, under "w.again"'))
    yield saved('A dict that is its own root.', pickle(b'}q\0(' + u('again') + b'h\0u'),
                no('inside of itself, under "again"'))
    yield one('Sixty dicts with 2^60 paths to one tensor.', entangled(60, tensor()),
              no('too entangled to be read', '54000'))
    yield saved('The same without a tensor.', state(u('w'), entangled(60, i(1))),
                no('too entangled to be read', '54000'))
    yield saved('A hundred thousand tuples, each in the next.', state(u('w'), b')' + b'\x85' * 100000),
                no('nested too deeply.*64 deep', '54000'))
    yield saved('A dict of 65 levels.', pickle(b'}' + (u('a') + b'}') * 65 + b's' * 65),
                no('nested too deeply', '54000'))
    yield saved('Ten million dicts in ten megabytes.', pickle(b'(' + b'}' * 10000000 + b't'),
                no('too many objects', '54000'))
    yield saved('A list of ten thousand, copied a thousand times.',
                pickle(b'(](' + b'N' * 10000 + b'eq\0' + (name('builtins', 'set') + b'q\x01')
                       + b'h\x01h\x00\x85R' * 1000 + b't'), no('too many objects', '54000'))
    yield saved('A megabyte of text in a hundred thousand places.',
                pickle(b'(' + u('t' * 1000000) + b'q\0' + b'h\0' * 100000 + b't'), no('too entangled to be read', '54000'))
    yield one('A dict made from pairs that are none.', call(name('collections', 'OrderedDict'), l(i(1), i(2))),
              no('makes a dict from something that is no pair'))
    yield one('A dict made from a number.', call(name('collections', 'OrderedDict'), i(1)),
              no('makes a dict or set from something else'))
    yield one('A dict made from a dict inside of itself.',
              b'](}q\0' + u('x') + call(name('collections', 'OrderedDict'), b'h\0') + b's' + tensor() + b'e',
              yes('w.1 f32 {{1,2},{3,4}}', '; metadata'))
    yield 'names'
    yield weights('Two paths with one name.', state(u('a.b'), tensor(), u('a'), d(u('b'), tensor())),
                  no(r'two tensors.*"a\.b"'))
    yield weights('One key twice: the last one counts in Python, and here nothing is guessed.',
                  state(u('a'), tensor(), u('a'), tensor(size=(1, 4), stride=(4, 1))), no('two tensors.*"a"'))
    yield weights('A name with a zero byte.', state(u('a\0b'), tensor()), no(r'a\\x00b'))
    yield weights('A name with half of a surrogate pair.', state(x(b'a\xed\xa0\x80'), tensor()),
                  no(r'a\\xed\\xa0\\x80'))
    yield weights('A name of a million letters.', state(u('a' * 1000000), tensor()), no('key that is too long'))
    yield weights('A path that is too long, of names that are not.',
                  state(u('a' * 600), d(u('b' * 600), tensor())), no('key that is too long'))
    yield weights('A name that is empty.', state(u(''), tensor()), no('empty name'))
    yield one('A tensor by the name of a class that would be JSON of its own.',
              tensor() + u('x') + name('m', 'C"}, "layer_kinds": {"w": "') + b')\x81',
              yes(W, r'; metadata.*\\"layer_kinds\\"'))
    yield one('The same of a dict that is left out because it is too large.',
              tensor() + u('x') + name('m', 'C", "a": "b') + b')\x81' + b'(' + (u('k') + u('v' * 58)) * 80000 + b'u',
              yes(W, r'; metadata.*"type": "C\\", \\"a\\": \\"b", "omitted": "too large"'))


def everywhere():
    checkpoint = state(u('w'), tensor(), u('n'), i(1), u('list'), l(f(0.5), NONE, TRUE), u('m'),
                       tensors.module(d(u('p'), tensor())))
    size = len(with_storage(checkpoint))
    yield 'everywhere'
    yield Case('A checkpoint that has something of everything.', checkpoint,
               yes('w f32 {{1,2},{3,4}}, m.p = w', '; metadata'), call='outcome(saved_storage(%s), allow_modules => true)', wrap=with_storage)
    yield Case('Cut off after each of its bytes.',
               'CREATE TABLE checkpoint AS SELECT saved_storage(%s) AS bytes;\n'
               'SELECT DISTINCT left(outcome(substr(bytes, 1, n), allow_modules => true), 5) FROM checkpoint, generate_series(0, %d) n;'
               % (SHEET.expression(checkpoint), size - 1), '22P03$', sql=True)
    yield Case('With each of its bits flipped.',
               'SELECT DISTINCT left(outcome(set_bit(bytes, n, 1 - get_bit(bytes, n)), allow_modules => true), 5) AS state\n'
               'FROM checkpoint, generate_series(0, %d) n ORDER BY state;' % (size * 8 - 1),
               '0A000$', '22P03$', 'accep$', sql=True)


def cases():
    yield 'good ones, to start from'
    yield saved('An empty state_dict.', state(), 'accepted: no tensors$')
    yield one('A tensor.', tensor(), yes(W))
    for part in (calls, machine, containers, tensors.storages, tensors.tensors, tensors.modules, tensors.legacy,
                 everywhere):
        yield from part()
