"""
What the interop checks share: a database reached through psql, checks counted
and printed, tensors compared bit for bit.

The caller sets libpq's environment variables (PGHOST, PGPORT, PGDATABASE, ...)
and the extension exists in the database.  Everything is kept in a schema of
its own, dropped at the end.
"""
import base64
import io
import os

import numpy
import torch

import make
from database import DatabaseError, quote, scalar, sql  # noqa: F401

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(os.path.dirname(HERE), "data")

# Our names of torch's dtypes, for as many as this torch has.
DTYPES = {getattr(torch, name): ours for name, ours in make.DTYPES.items()
          if hasattr(torch, name)}


# ---------- checks ----------

passed, failed, skipped = [], [], []


def check(right, what, detail=""):
    """Prints a check's result; says more when it failed."""
    (passed if right else failed).append(what)
    print("%s - %s" % ("ok" if right else "not ok", what), flush=True)
    if not right and detail:
        print("#   " + str(detail)[:2000].replace("\n", "\n#   "), flush=True)
    return right


def skip(what, why):
    skipped.append(what)
    print("ok - %s # SKIP %s" % (what, why), flush=True)


def section(name, function):
    """Runs a family of checks; an error in it is a failure, not the end."""
    print("# " + name, flush=True)
    try:
        function()
    except Exception as e:      # whatever it is, the other families count
        check(False, "%s ran to its end" % name, "%s: %s"
              % (type(e).__name__, e))


def summary():
    print("# torch %s: %d passed, %d failed, %d skipped"
          % (torch.__version__, len(passed), len(failed), len(skipped)))
    return 1 if failed else 0


# ---------- the database ----------

def set_up():
    tear_down()
    sql("""CREATE SCHEMA interop;
        CREATE TABLE interop.models (name text PRIMARY KEY, m model);
        ALTER TABLE interop.models ALTER m SET STORAGE EXTERNAL;""")


def tear_down():
    sql("DROP SCHEMA IF EXISTS interop CASCADE;")


def store(name, data, arguments=""):
    """Reads a checkpoint's bytes into a row."""
    sql("INSERT INTO interop.models SELECT %s, "
        "model_read(decode('%s', 'hex')%s) "
        "ON CONFLICT (name) DO UPDATE SET m = excluded.m;"
        % (quote(name), data.hex(), arguments))


def written(name, expression="m"):
    """The bytes that model_write makes of a row, after an expression."""
    return base64.b64decode(scalar(
        "SELECT encode(model_write(%s, 'pytorch'), 'base64') "
        "FROM interop.models WHERE name = %s;" % (expression, quote(name))))


def back(name, expression="m"):
    """The same as torch loads it, trusting it with nothing."""
    return torch.load(io.BytesIO(written(name, expression)),
                      weights_only=True)


# ---------- test data ----------

def data_bytes(file):
    with open(os.path.join(DATA, file), "rb") as f:
        return f.read()


def data_load(file):
    """A checkpoint of ours as torch reads it."""
    return torch.load(os.path.join(DATA, file), weights_only=False)


def saved(value, legacy=False, **options):
    """torch.save into bytes."""
    out = io.BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=not legacy,
               **options)
    return out.getvalue()


def digits():
    """A hundred pictures of the test set and what they show."""
    rows = numpy.loadtxt(os.path.join(DATA, "digits_test.csv"), skiprows=1,
                         delimiter=",")
    return (torch.tensor(rows[:, 1:] / 16, dtype=torch.float32),
            torch.tensor(rows[:, 0], dtype=torch.int64))


# ---------- comparing ----------

def same_bits(a, b):
    return (a.dtype == b.dtype and a.shape == b.shape
            and make.storage_bytes(a) == make.storage_bytes(b))


def difference(expected, actual):
    """What is different between two lists of (name, tensor), or ''."""
    names = [n for n, t in expected], [n for n, t in actual]
    if names[0] != names[1]:
        return "names %s, expected %s" % (names[1], names[0])
    for (name, a), (_, b) in zip(expected, actual):
        if a.dtype != b.dtype or a.shape != b.shape:
            return "%s is %s %s, expected %s %s" % (
                name, b.dtype, list(b.shape), a.dtype, list(a.shape))
        if not same_bits(a, b):
            x, y = a.reshape(-1), b.reshape(-1)
            wrong = [i for i in range(x.numel())
                     if not same_bits(x[i], y[i])]
            return ("%s: %d of %d elements differ, first at %d: %r, expected "
                    "%r" % (name, len(wrong), x.numel(), wrong[0],
                            y[wrong[0]].item(), x[wrong[0]].item()))
    return ""


def check_same(expected, actual, what):
    """Names, order, dtypes, shapes and every bit."""
    found = difference(list(expected.items()), list(actual.items()))
    return check(not found, what, found)


def tied(tensors):
    """Which names have the very same tensor, as a set of sets."""
    groups = {}
    for name, t in tensors.items():
        if t.numel() > 0:
            key = (t.data_ptr(), t.shape, t.stride(), t.dtype)
            groups.setdefault(key, set()).add(name)
    return {frozenset(names) for names in groups.values() if len(names) > 1}
