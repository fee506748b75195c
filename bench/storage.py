"""
storage.py FOLDER WIDTH REPEATS

What versions cost: nine changes of a checkpoint (checkpoints.py), each stored on
top of the same base, by modelopt and by what people keep checkpoints with.  For
each: new bytes as a share of the model, seconds to store it, seconds to get it
back; for those in the database also bytes of WAL.

The server is that of libpq's environment, whose data directory FOLDER is.  What
is not installed is named and left out.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

import checkpoints
import harness
from harness import folder_bytes, timed


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **options).stdout


# ---------- in the database ----------

class Database:
    """What stands for a store in the database: relations and their WAL."""

    def __init__(self, session):
        self.session = session

    def relations(self):
        return int(self.session.run(self.SIZE))

    def measure(self, statement):
        before = self.relations()
        self.session.run("CHECKPOINT; SELECT pg_current_wal_lsn() AS wal \\gset\n;")
        seconds = self.session.seconds(statement)
        wal = int(float(self.session.run(
            "SELECT pg_current_wal_lsn() - :'wal'::pg_lsn;")))
        return self.relations() - before, seconds, wal


class Modelopt(Database):
    name = "modelopt"
    SIZE = ("SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c WHERE "
            "relnamespace = 'modelopt_private'::regnamespace AND relkind = 'r';")

    def store_base(self, path):
        self.model = os.path.basename(path).partition(".")[0]
        return self.measure("SELECT modelopt.commit('%s', model_load('%s'));"
                            % (self.model, path))

    def store(self, path, change):
        branch = change.replace(" ", "-").replace("%", "")
        model = "model_load('%s')" % path
        if change == "pruned":
            model = "prune(modelopt.get('%s#1'), 0.5)" % self.model
        self.session.run("SET client_min_messages = warning; SELECT "
                         "modelopt.branch('%s', '%s', '%s#1');"
                         % (self.model, branch, self.model))
        self.last = "%s/%s" % (self.model, branch)
        return self.measure("SELECT modelopt.commit('%s', %s);"
                            % (self.last, model))

    def get(self):
        return self.session.seconds(
            "SELECT length(bytea(modelopt.get('%s')));" % self.last)

    def diff(self):
        return self.session.seconds(
            "SELECT sum(changed_pct) FROM modelopt.diff('%s#1', '%s');"
            % (self.model, self.last))


class Bytea(Database):
    name = "bytea column"
    SIZE = "SELECT pg_total_relation_size('checkpoint');"

    def store_base(self, path):
        self.session.run("CREATE TABLE IF NOT EXISTS checkpoint (id serial, data bytea);"
                         "ALTER TABLE checkpoint ALTER data SET STORAGE EXTERNAL;")
        return self.store(path, "base")

    def store(self, path, change):
        return self.measure("INSERT INTO checkpoint (data) SELECT "
                            "pg_read_binary_file('%s');" % path)

    def get(self):
        return self.session.seconds("SELECT length(data || '') FROM checkpoint "
                                    "ORDER BY id DESC LIMIT 1;")


# ---------- elsewhere ----------

class Folder:
    """A store that is a folder."""

    def __init__(self, scratch):
        self.folder = tempfile.mkdtemp(dir=scratch)
        self.work = os.path.join(self.folder, "work")
        os.mkdir(self.work)
        self.file = os.path.join(self.work, "model.safetensors")
        self.prepare()

    def measure(self, path):
        shutil.copyfile(path, self.file)
        before = folder_bytes(self.store_folder())
        seconds = timed(self.keep)
        return folder_bytes(self.store_folder()) - before, seconds, None

    def store_base(self, path):
        return self.measure(path)

    def store(self, path, change):
        return self.measure(path)

    def git(self, *arguments):
        return run("git", "-c", "user.name=bench", "-c", "user.email=bench@localhost",
                   *arguments, cwd=self.work)


class GitLfs(Folder):
    name = "git-lfs"
    needs = "git-lfs"

    def prepare(self):
        self.git("init", "-q")
        self.git("lfs", "install", "--local")
        self.git("lfs", "track", "*.safetensors")

    def store_folder(self):
        return os.path.join(self.work, ".git")

    def keep(self):
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "version")

    def get(self):
        os.unlink(self.file)
        return timed(lambda: self.git("checkout", "-f", "-q", "HEAD"))


class Restic(Folder):
    name = "restic"
    needs = "restic"

    def prepare(self):
        self.repository = os.path.join(self.folder, "repository")
        os.environ.update(RESTIC_PASSWORD="bench", RESTIC_REPOSITORY=self.repository,
                          RESTIC_CACHE_DIR=os.path.join(self.folder, "cache"))
        run("restic", "init", "-q")

    def store_folder(self):
        return self.repository

    def keep(self):
        run("restic", "backup", "-q", self.file)

    def get(self):
        return timed(lambda: run("restic", "restore", "-q", "latest", "--target",
                                 os.path.join(self.folder, "out")))


class Zstd(Folder):
    """A difference to the base, as files are patched."""
    name = "zstd --patch-from"
    needs = "zstd"

    def prepare(self):
        self.base = None

    def store_folder(self):
        return self.folder

    def store_base(self, path):
        self.patch = os.path.join(self.folder, "base.zst")
        self.base = path
        seconds = timed(lambda: run("zstd", "-q", "-3", "-f", path, "-o", self.patch))
        return os.path.getsize(self.patch), seconds, None

    def store(self, path, change):
        self.patch = os.path.join(self.folder, "patch.zst")
        seconds = timed(lambda: run("zstd", "-q", "-3", "--long=31", "-f",
                                    "--patch-from=" + self.base, path, "-o", self.patch))
        return os.path.getsize(self.patch), seconds, None

    def get(self):
        return timed(lambda: run("zstd", "-q", "-d", "-f", "--long=31", "--memory=2048MB",
                                 "--patch-from=" + self.base, self.patch,
                                 "-o", os.path.join(self.folder, "out")))


class StoreError(Exception):
    """A store that cannot do what it is asked for."""


class Program(Folder):
    """A store that a program of another Python speaks for (stores.py), for
    what comes from PyPI."""

    def __init__(self, scratch, python, name):
        self.name = name
        self.program = subprocess.Popen(
            [python, "-B", os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                        "stores.py"), name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            cwd=tempfile.mkdtemp(dir=scratch),
            stderr=subprocess.DEVNULL, universal_newlines=True)
        answer = self.program.stdout.readline().strip()
        if not answer.startswith("ready"):
            raise ImportError(answer or "it could not be started")
        self.name = answer[len("ready "):]
        self.base = None

    def ask(self, **question):
        self.program.stdin.write(json.dumps(question) + "\n")
        self.program.stdin.flush()
        answer = self.program.stdout.readline()
        if not answer:
            raise SystemExit(self.name + " gave up")
        answer = json.loads(answer)
        if "error" in answer:
            raise StoreError(answer["error"])
        return answer

    def measure(self, path):
        answer = self.ask(store=path)
        return answer["bytes"], answer["seconds"], None

    def get(self):
        return self.ask(get=True)["seconds"]


# ---------- the table ----------

def stores(scratch, session):
    """The stores that are here, and lines about those that are not."""
    found = [Modelopt(session), Bytea(session)]
    missing = []
    for kind in (GitLfs, Restic, Zstd):
        if shutil.which(kind.needs):
            found.append(kind(scratch))
        else:
            missing.append("%s is not installed" % kind.name)
    for name in ("zipnn", "dvc", "mlflow", "git-theta"):
        try:
            found.append(Program(scratch, os.environ.get("STORES_PYTHON", sys.executable), name))
        except ImportError as e:
            missing.append("%s: %s" % (name, e))
    return found, missing


def number(value, form):
    return "" if value is None else form % value


def show(what, store, raw, result, get=None, diff=None):
    stored, seconds, wal = result
    print("  %-12s %-22s %8s %8s %8s %8s %8s" % (
        what, store.name, "%.2f %%" % (100 * stored / raw),
        number(wal and 100 * wal / raw, "%.2f %%"), "%.2f s" % seconds,
        number(get, "%.2f s"), number(diff, "%.2f s")), flush=True)


def measure_change(change, path, raw, found, missing):
    """Stores a file by all; what cannot be stored by one is not asked of it
    again."""
    for store in list(found):
        try:
            result = (store.store_base(path) if change == "base" else
                      store.store(path, change))
            get = None if change == "base" else store.get()
        except StoreError as e:
            found.remove(store)
            missing.append("%s: %s" % (store.name, e))
            continue
        diff = (store.diff() if change != "base" and hasattr(store, "diff")
                else None)
        show(change, store, raw, result, get, diff)


def save_pruned(path, session, model):
    """The file that others get of what modelopt prunes."""
    session.run("SELECT model_save(prune(modelopt.get('%s#1'), 0.5), '%s');"
                % (model, path))


def measure(folder, scratch, weights, dtype, session):
    found, missing = stores(scratch, session)
    ours = found[0]
    print("\n%s\n  %-12s %-22s %8s %8s %8s %8s %8s" % (
        dtype, "change", "store", "new", "WAL", "store", "get", "diff"))
    base = os.path.join(folder, "%s_base.safetensors" % dtype.lower())
    changed = os.path.join(folder, "%s_changed.safetensors" % dtype.lower())
    raw = checkpoints.save(base, weights.base, dtype)
    os.chmod(base, 0o644)
    measure_change("base", base, raw, found, missing)
    for change in checkpoints.CHANGES:
        if change == "pruned":
            save_pruned(changed, session, ours.model)
        else:
            raw = checkpoints.save(changed, weights.changed(change), dtype)
            os.chmod(changed, 0o644)
        measure_change(change, changed, raw, found, missing)
        os.unlink(changed)
    os.unlink(base)
    for line in missing:
        print("  not measured: " + line)


def measure_pair(folder, scratch, session):
    """Two checkpoints of a network in training, one epoch apart."""
    found, missing = stores(scratch, session)
    before, after = checkpoints.trained_pair()
    path = os.path.join(folder, "f32_pair.safetensors")
    print("\nF32, a perceptron of %.1f million weights that learns handwritten digits, "
          "and an epoch later" % (sum(w.size for w in before.values()) / 1e6))
    for change, weights in (("base", before), ("epoch", after)):
        raw = checkpoints.save(path, weights, "F32")
        os.chmod(path, 0o644)
        measure_change(change, path, raw, found, missing)
    os.unlink(path)


# ---------- history ----------

def show_log(session):
    """Ten thousand versions of a small model."""
    session.run("SET client_min_messages = warning;"
                "CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$ BEGIN"
                " FOR i IN 1 .. 10000 LOOP PERFORM modelopt.commit('many',"
                " model_agg('w', ARRAY[i]::real[]), 'version ' || i); COMMIT; END LOOP; END $$;")
    commit = session.seconds("CALL fill();") / 10000
    session.run("ANALYZE; SELECT count(*) FROM modelopt.log('many');")
    log = harness.median([session.seconds("SELECT count(*) FROM modelopt.log('many');")
                          for _ in range(9)])
    print("\nlog of 10 000 versions: %.1f ms (goal: 50); a commit of a small model: %.2f ms"
          % (1000 * log, 1000 * commit))


def show_first(folder, session, repeats):
    """The first commit of 400 MB against inserting it as bytea, and getting it
    against reading bytea, in turns; values are in memory before."""
    path = os.path.join(folder, "first.safetensors")
    weights = checkpoints.Weights(480)
    raw = 0
    session.run("DROP TABLE IF EXISTS kept, checkpoint;"
                "CREATE TABLE kept (m model); CREATE TABLE checkpoint (data bytea);"
                "ALTER TABLE checkpoint ALTER data SET STORAGE EXTERNAL;")
    inserts, commits, gets, reads = [], [], [], []
    for turn in range(repeats):
        tensors = {"%d.%s" % (i, name): weights.noise(weight, 1e-2)
                   for i in range(2) for name, weight in weights.base.items()}
        raw = checkpoints.save(path, tensors, "F32")
        os.chmod(path, 0o644)
        session.run("CHECKPOINT;")
        inserts.append(session.seconds_within(
            "data := pg_read_binary_file('%s')" % path,
            "0; INSERT INTO checkpoint VALUES (data)", "int"))
        session.run("CHECKPOINT;")
        commits.append(session.seconds_within(
            "m := model_load('%s')" % path,
            "modelopt.commit('first', m)", "int"))
        reads.append(session.seconds("SELECT length(data || '') FROM checkpoint;"))
        gets.append(session.seconds("SELECT length(bytea(modelopt.get('first')));"))
        session.run("TRUNCATE checkpoint; SELECT modelopt.drop('first');")
    os.unlink(path)
    insert, commit, read, get = map(harness.median, (inserts, commits, reads, gets))
    print("\nfirst commit of %.0f MB: %.2f s; INSERT of as much bytea: %.2f s; %.2f x (goal: 1.5)"
          % (raw / 1e6, commit, insert, insert / commit))
    print("get of it, whole: %.2f s; reading the bytea: %.2f s; %.2f x (goal: 1)"
          % (get, read, read / get))


def show_one_of_many(folder, session):
    """A commit that changes one tensor of many costs what that tensor costs."""
    session.run("DROP TABLE IF EXISTS many_tensors; CREATE TABLE many_tensors AS SELECT model_agg('t' || t, data) AS m FROM (SELECT t, array_agg(random()::real) AS data "
                "FROM generate_series(1, 200) t, generate_series(1, 65536) GROUP BY t) d;"
                "SELECT modelopt.commit('tensors', m) FROM many_tensors;")
    one = harness.median([session.seconds(
        "SELECT modelopt.commit('tensors', model_set(modelopt.get('tensors'), 't%d',"
        " (SELECT array_agg(random()::real) FROM generate_series(1, 65536))));" % t) for t in range(1, 8)])
    alone = harness.median([session.seconds(
        "SELECT modelopt.commit('alone%d', model_agg('t', data)) FROM (SELECT array_agg(random()::real) AS data"
        " FROM generate_series(1, 65536)) d;" % t) for t in range(7)])
    print("\none of 200 tensors changed: %.1f ms; that tensor as a model of its own: %.1f ms"
          % (1000 * one, 1000 * alone))


def main():
    folder, width, repeats = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    scratch = tempfile.mkdtemp(prefix="modelopt-bench-")
    session = harness.Session()
    try:
        weights = checkpoints.Weights(width)
        print("Storage: %.0f million weights; new bytes and WAL as a share of the model"
              % (sum(w.size for w in weights.base.values()) / 1e6))
        for dtype in ("BF16", "F32"):
            measure(folder, scratch, weights, dtype, session)
        del weights
        measure_pair(folder, scratch, session)
        show_first(folder, session, repeats)
        show_one_of_many(folder, session)
        show_log(session)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
