"""
The little of libzip that the checks need, through ctypes: all records of an
archive in memory.  "missing" says why there is none.
"""
import ctypes
import ctypes.util

ZIP_RDONLY, ZIP_CHECKCONS = 16, 4


class Error(Exception):
    """libzip cannot read an archive."""


class Stat(ctypes.Structure):
    _fields_ = [("valid", ctypes.c_uint64), ("name", ctypes.c_char_p),
                ("index", ctypes.c_uint64), ("size", ctypes.c_uint64),
                ("comp_size", ctypes.c_uint64), ("mtime", ctypes.c_long),
                ("crc", ctypes.c_uint32), ("comp_method", ctypes.c_uint16),
                ("encryption_method", ctypes.c_uint16),
                ("flags", ctypes.c_uint32)]


class ZipError(ctypes.Structure):
    _fields_ = [("zip_err", ctypes.c_int), ("sys_err", ctypes.c_int),
                ("text", ctypes.c_char_p)]


def load():
    for name in ("libzip.so.4", "libzip.so.5", ctypes.util.find_library("zip")):
        try:
            return ctypes.CDLL(name) if name else None
        except OSError:
            continue
    return None


library = load()
missing = "" if library else "libzip is not installed"
if library:
    library.zip_source_buffer_create.restype = ctypes.c_void_p
    library.zip_source_buffer_create.argtypes = [
        ctypes.c_char_p, ctypes.c_uint64, ctypes.c_int, ctypes.c_void_p]
    library.zip_open_from_source.restype = ctypes.c_void_p
    library.zip_open_from_source.argtypes = [
        ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
    library.zip_source_free.argtypes = [ctypes.c_void_p]
    library.zip_get_num_entries.restype = ctypes.c_int64
    library.zip_get_num_entries.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.zip_stat_index.argtypes = [
        ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p]
    library.zip_fopen_index.restype = ctypes.c_void_p
    library.zip_fopen_index.argtypes = [
        ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32]
    library.zip_fread.restype = ctypes.c_int64
    library.zip_fread.argtypes = [
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64]
    library.zip_fclose.argtypes = [ctypes.c_void_p]
    library.zip_discard.argtypes = [ctypes.c_void_p]


def read(data, consistency=False):
    """Names and contents of an archive's records, in directory order."""
    error = ZipError()
    source = library.zip_source_buffer_create(data, len(data), 0,
                                              ctypes.byref(error))
    flags = ZIP_RDONLY | (ZIP_CHECKCONS if consistency else 0)
    archive = library.zip_open_from_source(source, flags, ctypes.byref(error))
    if not archive:
        library.zip_source_free(source)
        raise Error("zip_open: error %d" % error.zip_err)
    try:
        return [record(archive, i) for i in
                range(library.zip_get_num_entries(archive, 0))]
    finally:
        library.zip_discard(archive)


def record(archive, index):
    stat = Stat()
    if library.zip_stat_index(archive, index, 0, ctypes.byref(stat)) != 0:
        raise Error("zip_stat_index of record %d" % index)
    name = stat.name.decode("utf-8")
    opened = library.zip_fopen_index(archive, index, 0)
    if not opened:
        raise Error("zip_fopen_index of %s" % name)
    buffer = ctypes.create_string_buffer(stat.size + 1)
    got = library.zip_fread(opened, buffer, stat.size + 1)
    if library.zip_fclose(opened) != 0 or got != stat.size:
        raise Error("zip_fread of %s: %d bytes of %d" % (name, got, stat.size))
    return name, buffer.raw[:got]
