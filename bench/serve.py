"""
serve.py FOLDER ROWS REPEATS BARE

Measures what predictions take on the server that libpq's environment names,
whose data directory FOLDER is: beside BARE (bare.c, built), which is what ONNX
Runtime takes by itself, and beside clients and a service in Python
(BENCH_PYPI's, see run) that predict a table of so many rows and write it back.
"""
import math
import os
import socket
import subprocess
import sys
import time

import torch

import harness

HERE = os.path.dirname(os.path.abspath(__file__))
COLUMNS = 16
# Widths of the hidden layers: a model as small as many that score payments are,
# one whose arithmetic outweighs the handing over of rows, and one of 100 MB.
MODELS = {"small": (64, 32), "wide": (512, 512), "large": (5000, 5000)}
SINGLE = 100000         # rows that are predicted one by one
BATCH = 256             # rows at once, where both sides take as many
REQUEST = 10000         # rows at once, where clients may choose


class Worker:
    """A program that obeys lines, each with a line of seconds."""

    def __init__(self, *command, ready=None):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            universal_newlines=True)
        if ready and self.process.stdout.readline().strip() != ready:
            raise SystemExit("%s did not start" % command[0])

    def seconds(self, *line):
        self.process.stdin.write(" ".join(map(str, line)) + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Service:
    """uvicorn with serve_service.py; one process, as ONNX Runtime is one."""

    def __init__(self, python, model):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [python, "-m", "uvicorn", "serve_service:app", "--app-dir", HERE,
             "--host", "127.0.0.1", "--port", str(self.port),
             "--timeout-keep-alive", "3600", "--log-level", "warning"],
            env=dict(os.environ, BENCH_MODEL=model,
                     PYTHONDONTWRITEBYTECODE="1"))
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.05)
        raise SystemExit("the service did not start")

    def close(self):
        self.process.terminate()
        self.process.wait()


def make_model(folder, session, name):
    """Commits a perceptron and saves it as an ONNX file, whose path it
    returns."""
    torch.manual_seed(1)
    widths = (COLUMNS,) + MODELS[name] + (1,)
    weights = {}
    for i, (taken, given) in enumerate(zip(widths, widths[1:]), 1):
        weights["layer%d.weight" % i] = (
            torch.randn(given, taken) / math.sqrt(taken))
        weights["layer%d.bias" % i] = torch.randn(given) / 10
    checkpoint = os.path.join(folder, name + ".pth")
    torch.save(weights, checkpoint)
    os.chmod(checkpoint, 0o644)
    path = os.path.join(folder, name + ".onnx")
    session.run("""
        SELECT modelopt.commit('{0}', set_graph(model_load('{0}.pth'),
            'layer1:linear relu layer2:linear relu layer3:linear'));
        SELECT model_save(modelopt.get('{0}'), '{1}');
        """.format(name, path))
    return path


def make_tables(session, rows):
    session.run("""
        CREATE TABLE samples AS SELECT i::bigint AS id,
            (SELECT array_agg(sin(i * 7919.0 + j * j)::real)
             FROM generate_series(1, %d) j) AS features
            FROM generate_series(1, %d) i;
        CREATE TABLE scores (id bigint, score real);
        VACUUM ANALYZE samples;
        """ % (COLUMNS, rows))


class Bench:
    def __init__(self, folder, rows, repeats, bare):
        self.rows = rows
        self.single = min(SINGLE, rows)
        self.repeats = repeats
        self.mean = None        # of the scores, which all ways must agree on
        self.report = harness.Report()
        self.session = harness.Session()
        make_tables(self.session, rows)
        self.files = {name: make_model(folder, self.session, name)
                      for name in MODELS}
        self.bare = {name: Worker(bare, os.environ["ONNXRUNTIME_LIBRARY"],
                                  path, str(COLUMNS))
                     for name, path in self.files.items()}

    def statement(self, text):
        return lambda: self.session.seconds(text)

    # ---------- row by row ----------

    def row_by_row(self):
        """What a call takes beyond the runtime's, and beyond reading the
        row."""
        rows = "FROM samples WHERE id <= %d;" % self.single
        bare, read, *modes = harness.alternate(
            self.repeats,
            lambda: self.bare["small"].seconds("run", 1, self.single),
            self.statement("SELECT sum(features[1]) " + rows),
            *(lambda mode=mode: self.in_mode(
                mode, "SELECT sum((predict('small', features))[1]) " + rows)
              for mode in ("isolated", "inprocess")))
        for mode, limit, taken in zip(("runner", "in process"), (25, 5),
                                      modes):
            self.report.add_limit(
                "predict, a row beyond the C API's, " + mode,
                (taken - read - bare) / self.single, "us", limit,
                harness.readable(taken / self.single, "us"),
                harness.readable(bare / self.single, "us"),
                "the C API's Run alone")
        return modes[0]

    def in_mode(self, mode, text):
        self.session.run("SET modelopt.run_mode = %s;" % mode)
        try:
            return self.session.seconds(text)
        finally:
            self.session.run("RESET modelopt.run_mode;")

    # ---------- many rows ----------

    def batches(self):
        """Where arithmetic counts: what is added to the C API's time and to
        that of the query itself."""
        query = "SELECT id, features FROM samples WHERE id <= %d" % self.single
        ours, bare, read = harness.alternate(
            self.repeats,
            self.statement("SELECT sum(prediction[1]) FROM "
                           "predict_rows('wide', $$%s$$, batch_size => %d);"
                           % (query, BATCH)),
            lambda: self.bare["wide"].seconds("run", BATCH,
                                              self.single // BATCH),
            self.statement("SELECT sum(features[1]) FROM (%s) q;" % query))
        self.report.add_limit(
            "predict_rows, %d rows at once" % BATCH, ours / (bare + read), "x",
            1.05, harness.readable(ours, "s"),
            harness.readable(bare + read, "s"), "the query, and the C API's Run")

    # ---------- the first call ----------

    def first_call(self):
        """In a session that has just begun, so with all that it takes."""
        def ours():
            session = harness.Session()
            try:
                return session.seconds(
                    "SELECT predict('large', (SELECT features FROM samples "
                    "LIMIT 1));")
            finally:
                session.close()
        taken, bare = harness.alternate(
            self.repeats, ours, lambda: self.bare["large"].seconds("load"))
        self.report.add_limit(
            "first predict of 100 MB, new session", taken / bare, "x", 1.3,
            harness.readable(taken, "s"), harness.readable(bare, "s"),
            "file to session to row by the C API")

    # ---------- tables ----------

    def tables(self, python):
        service = Service(python, self.files["small"])
        client = Worker(python, "-B", os.path.join(HERE, "serve_client.py"),
                        self.files["small"], str(service.port), str(COLUMNS),
                        ready="ready")
        rows = self.statement(
            "INSERT INTO scores SELECT id, prediction[1] FROM predict_rows("
            "'small', 'SELECT id, features FROM samples');")
        theirs = {
            "psycopg, ONNX Runtime": ("direct", "rows", 5),
            "psycopg, HTTP service": ("service", "rows", 5),
            "psycopg COPY + numpy, ONNX Runtime": ("direct", "copy", None),
            "psycopg COPY + numpy, HTTP service": ("service", "copy", None)}
        try:
            ours, *others = harness.alternate(
                self.repeats, *map(self.emptied, [rows] + [
                    lambda way=way, form=form: client.seconds(way, form,
                                                              REQUEST)
                    for way, form, _ in theirs.values()]))
            request = client.seconds("single", 2000) / 2000
        finally:
            client.close()
            service.close()
        what = "%d rows predicted and written back" % self.rows
        for (against, (_, _, goal)), other in zip(theirs.items(), others):
            self.report.add("predict_rows, " + what, ours, against, other,
                            faster=goal)
        return request

    def emptied(self, way):
        """Begins with an empty table, and looks whether all came."""
        def turn():
            self.session.run("TRUNCATE scores; CHECKPOINT;")
            seconds = way()
            count, mean = map(float, self.session.run(
                "SELECT count(*), avg(score) FROM scores;").split("|"))
            if self.mean is None:
                self.mean = mean
            if count != self.rows or abs(mean - self.mean) > 1e-5:
                raise SystemExit("%d scores of mean %g, and not %d of mean %g"
                                 % (count, mean, self.rows, self.mean))
            return seconds
        return turn

    def close(self):
        for worker in self.bare.values():
            worker.close()
        self.session.close()


def main():
    folder, rows, repeats, bare = sys.argv[1:]
    bench = Bench(folder, int(rows), int(repeats), bare)
    print("Serving: a perceptron of %d inputs and %s hidden units"
          % (COLUMNS, "+".join(map(str, MODELS["small"]))))
    isolated = bench.row_by_row()
    bench.batches()
    bench.first_call()
    python = os.environ.get("SERVE_PYTHON")
    if python:
        request = bench.tables(python)
        bench.report.add("predict, a row", isolated / bench.single,
                         "a request to the HTTP service", request, "us", 5)
    else:
        print("What PyPI has could not be installed: no clients in Python.")
    bench.report.show()
    bench.close()


if __name__ == "__main__":
    main()
