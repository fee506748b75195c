"""
What the measurements share: a session of the server, medians of alternating
runs, memory of a process, and the table at the end.
"""
import os
import subprocess
import sys
import threading
import time


def folder_bytes(folder):
    """Of all files in a folder, as long as they are."""
    return sum(os.lstat(os.path.join(path, name)).st_size
               for path, _, names in os.walk(folder) for name in names)


# ---------- the server ----------

class Session:
    """A psql that stays connected, so that its backend is warm."""

    def __init__(self):
        self.psql = subprocess.Popen(
            ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            universal_newlines=True)
        self.pid = int(self.run("SELECT pg_backend_pid();"))

    def run(self, text):
        """The output of some SQL, which must end with a semicolon."""
        self.psql.stdin.write(text + "\n\\echo done\n")
        self.psql.stdin.flush()
        lines = []
        for line in self.psql.stdout:
            if line == "done\n":
                return "".join(lines).strip()
            lines.append(line)
        raise SystemExit("the server refused: " + text)

    def seconds(self, text):
        """How long a statement takes, from here and back."""
        began = time.perf_counter()
        self.run(text)
        return time.perf_counter() - began

    def seconds_within(self, prepare, expression, type_="model"):
        """
        How long an expression takes that assigns to a variable, measured on
        the server: what is prepared is in the variable m before, in memory,
        and the result stays a value in memory.
        """
        self.run("DO $$ DECLARE m model; data bytea; result %s;"
                 " began timestamptz;"
                 " BEGIN %s; began := clock_timestamp(); result := %s;"
                 " PERFORM set_config('bench.seconds', extract(epoch FROM"
                 " clock_timestamp() - began)::text, false);"
                 " END $$;" % (type_, prepare, expression))
        return float(self.run("SELECT current_setting('bench.seconds');"))

    def close(self):
        self.psql.stdin.close()
        self.psql.wait()


class Library:
    """A process that reads and writes a file with the library of its format;
    see library.py.  missing says why there is none, or is empty."""

    def __init__(self, path):
        here = os.path.dirname(os.path.abspath(__file__))
        self.process = subprocess.Popen(
            [os.environ.get("LIBRARY_PYTHON", sys.executable), "-B",
             os.path.join(here, "library.py"), path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            universal_newlines=True)
        self.pid = self.process.pid
        word, self.version = self.process.stdout.readline().strip().split(
            " ", 1)
        self.missing = "" if word == "ready" else self.version

    def seconds(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


# ---------- measuring ----------

def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def alternate(repeats, *contenders):
    """Medians of seconds of functions that take turns, after a turn that
    does not count."""
    seconds = [[] for _ in contenders]
    for turn in range(repeats + 1):
        for taken, contender in zip(seconds, contenders):
            result = contender()
            if turn > 0:
                taken.append(result)
    return [median(taken) for taken in seconds]


def timed(function):
    """How long a function takes; its result is freed outside."""
    began = time.perf_counter()
    result = function()
    seconds = time.perf_counter() - began
    del result
    return seconds


# ---------- memory ----------

def status(pid, field):
    """A field of /proc/PID/status, in bytes."""
    with open("/proc/%d/status" % pid) as lines:
        for line in lines:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise SystemExit("/proc has no " + field)


class PeakMemory(threading.Thread):
    """
    The most memory of its own that a process has while this runs, beyond what
    it had before.  VmHWM would count the pages of shared buffers that a
    backend has touched, which are the server's; so its own pages, RssAnon,
    are looked at every millisecond.
    """

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid = pid
        self.before = self.most = status(pid, "RssAnon")
        self.stopped = False
        self.start()

    def run(self):
        while not self.stopped:
            self.most = max(self.most, status(self.pid, "RssAnon"))
            time.sleep(0.001)

    def stop(self):
        self.stopped = True
        self.join()
        return self.most - self.before


# ---------- the table ----------

# Units of seconds, and how many are in one.
SECONDS = {"s": 1, "ms": 1000, "us": 1000000}


def readable(value, unit):
    if unit == "s":
        return "%.3f s" % value
    if unit in SECONDS:
        return "%.1f %s" % (SECONDS[unit] * value, unit)
    if unit == "MB":
        return "%.0f MB" % (value / 1e6)
    return "%.2f %s" % (value, unit)


class Report:
    def __init__(self):
        self.rows = []

    def add(self, what, ours, against, theirs, unit="s", faster=None):
        """Ours beside theirs, how many times less ours is, and the least it
        should be; no goal makes the row one for information."""
        ratio = theirs / ours
        self.put(what, readable(ours, unit), readable(theirs, unit), against,
                 "%.1f x" % ratio, ">= %g x" % faster if faster else "",
                 None if faster is None else ratio >= faster)

    def add_limit(self, what, value, unit, limit=None, ours="", theirs="",
                  against=""):
        """A value, and the most it should be."""
        self.put(what, ours, theirs, against, readable(value, unit),
                 "<= %g %s" % (limit, unit) if limit else "",
                 None if limit is None else
                 value * SECONDS.get(unit, 1) <= limit)

    def put(self, what, ours, theirs, against, ratio, goal, met):
        verdict = {None: "", True: "met", False: "MISSED"}[met]
        self.rows.append((what, ours, theirs, against, ratio, goal, verdict))
        print("  " + "  ".join(filter(None, self.rows[-1])), flush=True)

    def show(self):
        heads = ("what", "ours", "theirs", "against", "ratio", "goal", "")
        widths = [max(len(row[i]) for row in self.rows + [heads])
                  for i in range(len(heads))]
        for row in [heads, ["-" * width for width in widths]] + self.rows:
            print("  ".join(cell.ljust(width) for cell, width
                            in zip(row, widths)).rstrip())
