"""Hostile pickles of tensors, storages and modules, and the stream around them."""

from opcodes import (FALSE, HOOKS, MAGIC, NONE, REBUILD, REBUILD_V3, TRUE, call, d, dtype, f, i,
                     instance, l, long1, name, numbers, persistent, pickle, state, stored, stream, t, u)
from saved import (W, no, one, saved, storage, tensor, weights, with_storage, without_storage, yes)
from sheet import Case

# ---------- storages ----------

def storages():
    yield 'persistent ids'
    nothing = no('A persistent id is none of a storage')
    yield one('A string for a tuple.', tensor(u('0') + b'Q'), nothing)
    yield one('A list for a tuple.', tensor(l(u('storage'), dtype('FloatStorage'), u('0'), u('cpu'), i(4),
                                              NONE) + b'Q'), nothing)
    yield one('Four items.', tensor(persistent(u('storage'), dtype('FloatStorage'), u('0'), u('cpu'))), nothing)
    yield one('Five items, as the later layout has.', tensor(storage(view=())), yes(W))
    yield one('Seven items.', tensor(persistent(u('storage'), dtype('FloatStorage'), u('0'), u('cpu'), i(4), NONE,
                                                NONE)), nothing)
    yield one('A module for a storage.', l(tensor(), tensor(persistent(u('module'), dtype('FloatStorage'), u('f'),
            u('source')))),
              no(r'Tensor "w\.1" has no storage'))
    yield one('A module of six items.', tensor(persistent(u('module'), dtype('FloatStorage'), u('0'), u('cpu'), i(4),
                                                          NONE)), nothing)
    yield one('A key that is a number.', tensor(persistent(u('storage'), dtype('FloatStorage'), i(0), u('cpu'), i(4),
                                                           NONE)), nothing)
    yield one('A key that is 10^30.', tensor(persistent(u('storage'), dtype('FloatStorage'), i(10 ** 30), u('cpu'),
                                                        i(4), NONE)), nothing)
    yield one('A key of a million letters.', tensor(storage(key='0' * 1000000)), no('key "0+\\.\\.\\." is too long'))
    yield one('A class that is no storage.', tensor(persistent(u('storage'), name('torch', 'Tensor'), u('0'), u('cpu'),
                                                               i(4), NONE)),
              no(r'of the class "torch\.Tensor", which torch does not have'))
    yield one('A class that there is not.', tensor(persistent(u('storage'), name('torch', 'EvilStorage'), u('0'),
                                                              u('cpu'), i(4), NONE)),
              no(r'of the class "torch\.EvilStorage"'))
    yield one('-1 elements.', tensor(storage(numel=-1)), no('Storage "0" has an impossible number of elements'))
    yield one('2^63 elements.', tensor(storage(numel=2 ** 63)), nothing)
    yield one('2^62 elements of 4 bytes.', tensor(storage(numel=2 ** 62)), no('impossible number of elements'))
    yield one('True elements.', tensor(persistent(u('storage'), dtype('FloatStorage'), u('0'), u('cpu'), TRUE, NONE)),
              nothing)
    yield one('4.0 elements.', tensor(persistent(u('storage'), dtype('FloatStorage'), u('0'), u('cpu'), f(4.0), NONE)),
              nothing)
    yield one('The location of no data.', tensor(storage(location='meta')), no('on the meta device', '0A000'))
    yield one('A location that is nonsense means nothing.', tensor(storage(location='/etc/passwd')),
              yes(W))
    yield weights('One key with two types.', state(u('w'), tensor(), u('v'), tensor(storage(cls='IntStorage'))),
                  no('Storage "0" has several types or sizes'))
    yield weights('One key with two sizes.', state(u('w'), tensor(), u('v'), tensor(storage(numel=5))),
                  no('Storage "0" has several types or sizes'))
    yield one('Elements that the stream does not say.', tensor(storage(numel=3), size=(1, 1)),
              no('Storage "0" has 4 elements in the stream, but 3 in the pickle'))

    def untyped(dtype_of, size):
        value = call(REBUILD_V3, storage(cls='UntypedStorage', numel=size), i(0), numbers((1,)), numbers((1,)),
                     FALSE, HOOKS, dtype_of)
        return stream(state(u('w'), value), ['0'], stored(bytes(range(size)), size))

    yield Case('Untyped bytes as one number.', untyped(name('torch', 'uint16'), 2), yes('w u16 {256}'))
    yield Case('Bytes that are no whole number of elements.', untyped(name('torch', 'uint16'), 3),
               no('Tensor "w" does not divide its storage into elements'))
    yield Case('A dtype that is a class.', untyped(name('torch', 'Tensor'), 2),
               no('Tensor "w" has no dtype that torch has'))
    yield Case('A dtype that is a string.', untyped(u('uint16'), 2), no('Tensor "w" has no dtype that torch has'))


# ---------- tensors ----------

def tensors():
    over = no('Tensor "w" reaches over the end of its storage')
    size = no('Tensor "w" has a shape that is no tuple of sizes')
    stride = no('Tensor "w" has strides that do not fit its shape')
    yield 'tensors'
    yield one('A negative size.', tensor(size=(-2, 2)), size)
    yield one('A size of -2^63.', tensor(size=(-2 ** 63, 2)), size)
    yield one('A negative stride.', tensor(stride=(-2, 1)), stride)
    yield one('A negative offset.', tensor(offset=-1), no('has an offset that is no number from 0 on'))
    yield one('An offset of 2^63.', tensor(offset=2 ** 63), no('has an offset that is no number from 0 on'))
    yield one('One element too far by offset.', tensor(offset=1), over)
    yield one('One element too far by stride.', tensor(stride=(3, 1)), over)
    yield one('One element too far by size.', tensor(size=(2, 3), stride=(2, 1)), over)
    yield one('An offset that overflows with what follows.', tensor(offset=2 ** 63 - 1), over)
    yield one('Strides that overflow.', tensor(size=(3, 3), stride=(2 ** 62, 2 ** 62)), over)
    yield one('A size times a stride that overflows.', tensor(size=(2 ** 40, 1), stride=(2 ** 40, 1)), over)
    yield one('Sizes that overflow.', tensor(size=(2 ** 40, 2 ** 40), stride=(0, 0)), no('"w" has too large a shape'))
    yield one('Sizes that overflow, but for a zero.', tensor(size=(2 ** 40, 2 ** 40, 0), stride=(1, 1, 1)),
              no('"w" has too large a shape'))
    yield one('Four bytes as a tensor of 10^12 elements.', tensor(size=(10 ** 6, 10 ** 6), stride=(0, 0)),
              no('would grow too much when it is read', '54000'))
    yield weights('The same in thirty tensors of four megabytes.',
                  pickle(b']' + (name('torch._utils', '_rebuild_tensor_v2') + b'q\0' + storage() + b'q\x01' +
                                 numbers((2 ** 20,)) + b'q\x02' + numbers((0,)) + b'q\x03' + HOOKS + b'q\x04' + b'00000')
                         + b'(' + b''.join(b'h\0(h\x01K\0' + i(2 ** 20 + n) + b'\x85h\x03\x89h\x04tR' for n in range(30))
                         + b'e'), no('would grow too much', '54000'))
    yield one('A modest one is what expand() makes.', tensor(size=(3, 2), stride=(0, 1)),
              yes('w f32 {{1,2},{1,2},{1,2}}'))
    yield one('An empty view of an offset beyond the end is empty.', tensor(offset=99, size=(0, 2)), yes('w f32 {}'))
    yield one('33 dimensions.', tensor(size=(1,) * 33, stride=(1,) * 33), no('tensor "w" has 33 dimensions', '54000'))
    yield one('A million dimensions.', tensor(size=(1,) * 1000000, stride=(1,)),
              no('tensor "w" has 1000000 dimensions', '54000'))
    yield one('More strides than sizes.', tensor(size=(4,), stride=(1, 1)), stride)
    yield one('Fewer strides than sizes.', tensor(size=(2, 2), stride=(1,)), stride)
    for what, shape, expect in (
            ('A list for a shape.', l(i(2), i(2)), size), ('A string for a shape.', u('22'), size),
            ('A tensor for a shape.', tensor(), size), ('A number for a shape.', i(4), size),
            ('True for a size.', t(TRUE, i(2)), size), ('2.0 for a size.', t(f(2.0), i(2)), size),
            ('An integer of 255 bytes for a size.', t(long1(b'\x02' + b'\0' * 254), i(2)), size)):
        yield one(what, call(REBUILD, storage(), i(0), shape, numbers((2, 1)), FALSE, HOOKS), expect)
    yield one('A string for an offset.', call(REBUILD, storage(), u('0'), numbers((2, 2)), numbers((2, 1)), FALSE,
                                              HOOKS),
              no('has an offset that is no number'))
    yield one('None for strides.', call(REBUILD, storage(), i(0), numbers((2, 2)), NONE, FALSE, HOOKS), stride)
    yield saved('A dict for a storage.',
                state(u('w'), call(REBUILD, d(), i(0), numbers((2, 2)), numbers((2, 1)), FALSE, HOOKS)),
              no('Tensor "w" has no storage'))
    arguments = [storage(), i(0), numbers((2, 2)), numbers((2, 1)), FALSE, HOOKS, NONE, NONE, NONE]
    for n in (0, 1, 5, 8, 9):
        wrap = one if n > 0 else lambda comment, value, expect: saved(comment, state(u('w'), value), expect)
        yield wrap('%d arguments.' % n, REBUILD + b'(' + b''.join(arguments[:n]) + b'tR',
                   no('Tensor "w" is rebuilt with a wrong number of arguments'))
    yield one('Six or seven are right.', REBUILD + b'(' + b''.join(arguments[:7]) + b'tR', yes(W))
    for what, metadata, expect in (
            ('A seventh that says that the values are conjugated.', d(u('conj'), TRUE),
             no('tensor "w" is a lazily conjugated or negated view', '0A000')),
            ('A seventh of seventeen entries, which all tensors could share.', d(*[u('k'), NONE] * 17),
             no('Tensor "w" has more metadata than torch knows of'))):
        yield one(what, REBUILD + b'(' + b''.join(arguments[:6]) + metadata + b'tR', expect)
    yield one('Arguments in a list.', REBUILD + l(*arguments[:6]) + b'R', no('calls with arguments that are no tuple'))

    yield 'other kinds of tensors'
    layout = call(name('torch.serialization', '_get_layout'), u('torch.sparse_coo'))
    yield one('A sparse tensor with an index out of range.',
              call(name('torch._utils', '_rebuild_sparse_tensor'), layout,
                   t(tensor(), tensor(), t(i(1), i(1)))), no('tensor "w" has a sparse layout', '0A000'))
    axis = t(name('torch', 'per_channel_affine'), tensor(), tensor(), i(99))
    scale = t(name('torch', 'per_tensor_affine'), f(float('nan')), i(0))
    for what, quantizer in (('A quantized tensor with an axis that it does not have.', axis),
                            ('A quantized tensor with a scale that is no number.', scale)):
        yield one(what, call(name('torch._utils', '_rebuild_qtensor'), storage(), i(0), numbers((2, 2)),
                             numbers((2, 1)), quantizer, FALSE, HOOKS), no('tensor "w" is quantized', '0A000'))
    subclass = name('torch._tensor', '_rebuild_from_type_v2')
    inner = t(storage(), i(0), numbers((2, 2)), numbers((2, 1)), FALSE, HOOKS)
    yield one('A subclass that is rebuilt by os.system.',
              call(subclass, name('os', 'system'), name('torch', 'Tensor'), t(u('echo')),
                   d()), no(r'calls "os\.system"'))
    yield one('A subclass that is rebuilt by another function.',
              call(subclass, name('functools', 'partial'), name('torch', 'Tensor'), inner, d()),
              no('Tensor "w" is a Parameter or subclass of no tensor'))
    yield one('A subclass that is rebuilt by a constructor.',
              call(subclass, REBUILD, name('torch.nn.parameter', 'Buffer'), inner, d()), yes(W))
    wrapped = tensor()
    for _ in range(9):
        wrapped = call(name('torch._utils', '_rebuild_parameter'), wrapped, TRUE, HOOKS)
    yield one('A Parameter of a Parameter, nine deep.', wrapped,
              no('Tensor "w" is a Parameter or subclass of no tensor'))
    parameter = name('torch._utils', '_rebuild_parameter')
    for what, value in (('A Parameter of nothing.', call(parameter)),
                        ('A Parameter of a number.', call(parameter, i(1))),
                        ('A Parameter of the list that it is in.', b']q\0' + call(parameter, b'h\0') + b'a')):
        yield saved(what, state(u('w'), value), no('is a Parameter or subclass of no tensor'))


# ---------- modules ----------

def module(parameters, modules=b'}', buffers=b'}'):
    return instance(name('m', 'Net'), d(u('_parameters'), parameters, u('_buffers'), buffers, u('_modules'), modules))


def modules():
    leave = dict(call='outcome(saved_storage(%s), allow_modules => true)', wrap=with_storage)
    yield 'modules'
    yield saved('A pickled module names a class; it is refused with the way out.', pickle(module(b'}')),
                no(r'pickled module of class "m\.Net".*allow_modules', '0A000'))
    yield Case('With leave it is read, without its class.', pickle(module(d(u('w'), tensor()))),
               yes(W, r'; metadata {"layer_kinds": {"": "Net"}}'), **leave)
    yield Case('A module inside of itself.',
               pickle(name('m', 'Net') + b')\x81q\0' + d(u('_parameters'), b'}', u('_buffers'), b'}', u('_modules'),
                                                         d(u('again'), b'h\0')) + b'b'),
               no('inside of itself, under "again"'), call='outcome(saved(%s), allow_modules => true)',
               wrap=without_storage)
    yield Case('Parameters in a list.', pickle(module(l(tensor()))), no('holds no tensors'), **leave)
    yield Case('A constructor with arguments is not called.',
               pickle(d(u('w'), tensor(), u('x'), call(name('m', 'Net'), u('/etc/passwd')))),
               yes(W, r'; metadata.*"x": {"type": "m\.Net"}'), **leave)
    yield Case('Three thousand objects that share a state of three thousand items.',
               pickle(b'](' + d(*[i(0) + NONE] * 3000) + b'q\0' + name('m', 'C') + b'q\x01'
                      + b'h\x01)\x81h\0b' * 3000 + tensor() + b'e'),
               no('too entangled to be read', '54000'), call='outcome(saved_storage(%s))', wrap=with_storage)


# ---------- the layout before 1.6 ----------

def legacy():
    plain = state(u('w'), tensor())
    yield 'the stream around the pickle'
    for what, data, expect in (
            ('A key twice.', stream(plain, ['0', '0'], stored() * 2), no('has the key "0", which it had before')),
            ('A key that no tensor uses.', stream(plain, ['0', '1'], stored() * 2),
             no('has the key "1", which no tensor uses')),
            ('No key.', stream(plain, [], b''), no('The stream has no storage "0"')),
            ('A key that is a number.', stream(plain, pickle(l(i(0))), stored()), no('a key that is no string')),
            ('A tuple of keys.', stream(plain, pickle(t(u('0'))), stored()),
             no('What should be the list of storages is no list')),
            ('A second object after the first.', stream(plain + plain, ['0'], stored()),
             no('What should be the list of storages is no list')),
            ('-1 elements.', stream(plain, ['0'], stored(numel=-1)),
             no('has 18446744073709551615 elements in the stream, but 4')),
            ('2^60 elements.', stream(plain, ['0'], stored(numel=2 ** 60)),
             no('has 1152921504606846976 elements in the stream, but 4')),
            ('2^60 elements in both places.', stream(state(u('w'), tensor(storage(numel=2 ** 60))), ['0'],
                                                     stored(numel=2 ** 60)),
             no('The stream ends inside of storage "0"')),
            ('A storage that is cut off.', stream(plain, ['0'], stored()[:-1]),
             no('The stream ends inside of storage "0"')),
            ('No storage after the keys.', stream(plain, ['0'], stored()[:7]),
             no('The stream ends before storage "0"')),
            ('A byte after the last storage.', stream(plain, ['0'], stored() + b'\0'),
             no('The stream goes on after its last storage')),
            ('Another protocol.', stream(plain, ['0'], stored(), protocol=pickle(i(1002))),
             no('The stream is not of protocol 1001')),
            ('A protocol that is a string.', stream(plain, ['0'], stored(), protocol=pickle(u('1001'))),
             no('not of protocol 1001')),
            ('A system that is no dict.', stream(plain, ['0'], stored(), system=pickle(l())),
             no('about the system is no dict')),
            ('A call in the dict about the system.', stream(plain, ['0'], stored(),
                                                            system=pickle(call(name('os', 'system'), u('x')))),
             no(r'calls "os\.system".*of the dict about the system')),
            ('A call in the list of storages.', stream(plain, pickle(call(name('os', 'system'), u('x'))), stored()),
             no(r'calls "os\.system".*of the list of storages')),
            ('The keys of another pickle by memo.', stream(plain, pickle(b'h\0'), stored()),
             no('gets from the memo what nobody put')),
            ('Nothing after the magic number.', pickle(MAGIC), no('no model format|protocol number')),
            ('Elements said to be big endian are little endian all the same: torch writes them so.',
             stream(plain, ['0'], stored(), system=pickle(d(u('little_endian'), FALSE))), yes(W))):
        yield Case(what, data, expect)

    def view(*items):
        return storage(view=(t(*items),))

    for what, data, expect in (
            ('A view of a storage, as files from before 0.4 have.',
             tensor(view(u('v'), i(1), i(2)), size=(2,), stride=(1,)),
             yes('w f32 {2,3}')),
            ('A view that is larger than its storage.', tensor(view(u('v'), i(2), i(3)), size=(1,), stride=(1,)),
             no('Tensor "w" views more than its storage has')),
            ('A view of 2^62 at 2^62.', tensor(view(u('v'), i(2 ** 62), i(2 ** 62)), size=(1,), stride=(1,)),
             no('Tensor "w" views more than its storage has')),
            ('A view at -1.', tensor(view(u('v'), i(-1), i(2)), size=(1,), stride=(1,)),
             no('views more than its storage has')),
            ('A tensor that is larger than its view.', tensor(view(u('v'), i(0), i(2)), size=(3,), stride=(1,)),
             no('Tensor "w" reaches over the end of its storage')),
            ('A view of two items.', tensor(view(u('v'), i(0)), size=(1,), stride=(1,)),
             no('has a malformed view of its storage')),
            ('A view at no number.', tensor(view(u('v'), u('0'), i(2)), size=(1,), stride=(1,)),
             no('has a malformed view'))):
        yield one(what, data, expect)
