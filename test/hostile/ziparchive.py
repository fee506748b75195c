"""Zip archives by hand, after PKWARE's APPNOTE.TXT: every field can be made to
say something else than the truth."""

import struct
import zlib

LOCAL, CENTRAL, END, END64, LOCATOR = (0x04034b50, 0x02014b50, 0x06054b50, 0x06064b50, 0x07064b50)


class Record:
    """An entry.  Fields that are None are as they should be; those that start
    with local_ differ in the local header alone."""

    def __init__(self, name, data, method=0, stored=None, flags=0x0800, **fields):
        self.name = name if isinstance(name, bytes) else name.encode()
        self.data = data
        self.method = method
        self.stored = data if stored is None else stored
        self.flags = flags
        self.fields = fields

    def field(self, name, local, default):
        if local and 'local_' + name in self.fields:
            return self.fields['local_' + name]
        return self.fields.get(name, default)

    def header(self, local):
        """What both headers have, from flags to the length of the extra field,
        then the name and the extra field."""
        name = self.field('name', local, self.name)
        extra = self.field('extra', local, b'')
        return (struct.pack('<HHHHIIIHH', self.field('flags', local, self.flags),
                            self.field('method', local, self.method), 0, 0x21,
                            self.field('crc', local, zlib.crc32(self.data)),
                            self.field('csize', local, len(self.stored)),
                            self.field('size', local, len(self.data)),
                            len(name), len(extra)), name, extra)

    def local(self):
        fields, name, extra = self.header(True)
        return (struct.pack('<IH', self.field('signature', True, LOCAL), 20) + fields + name + extra +
                self.stored + self.field('after', True, b''))

    def central(self, offset):
        fields, name, extra = self.header(False)
        comment = self.field('comment', False, b'')
        return (struct.pack('<IHH', CENTRAL, 20, 20) + fields +
                struct.pack('<HHHII', len(comment), self.field('disk', False, 0), 0, 0,
                            self.field('offset', False, offset)) + name + extra + comment)


def end(entries, size, offset, comment=b'', disk=0, entries_here=None, comment_length=None):
    return struct.pack('<IHHHHIIH', END, disk, disk, entries if entries_here is None else entries_here,
                       entries, size, offset, len(comment) if comment_length is None else comment_length) + comment


def end64(entries, size, offset, at, entries_here=None, length=44, disks=1):
    """The zip64 end record, and the locator that says where it is."""
    return (struct.pack('<IQHHIIQQQQ', END64, length, 45, 45, 0, 0, entries if entries_here is None else entries_here,
                        entries, size, offset) + struct.pack('<IIQI', LOCATOR, 0, at, disks))


def build(records, finish=None, before=b'', after=b'', shift=0):
    """The archive.  finish makes the end from number, size and offset of the
    directory and its own offset; before lies ahead of the first record, after
    between the last one and the directory, and offsets are told shifted."""
    body = before
    directory = b''
    for record in records:
        directory += record.central(len(body) + shift)
        body += record.local()
    body += after
    offset = len(body) + shift
    finish = finish or (lambda n, size, at, here: end(n, size, at))
    return body + directory + finish(len(records), len(directory), offset, offset + len(directory))


# ---------- deflate, without a library so that it is always the same ----------

def deflate_stored(data):
    """One block that is not compressed."""
    return b'\x01' + struct.pack('<HH', len(data), len(data) ^ 0xffff) + data


def deflate_zeros(runs):
    """A zero and then runs of 258, eight at a time, by the fixed codes: 13 bits
    each.  Returns the stream; it inflates to 1 + 258 * 8 * runs bytes."""
    bits = '1' '10' '00110000' + '11000101' '00000' * (8 * runs) + '0000000'
    bits += '0' * (-len(bits) % 8)
    # Least significant bit first; there are only 8 phases, so work on strings.
    return bytes(int(bits[at:at + 8][::-1], 2) for at in range(0, len(bits), 8))
