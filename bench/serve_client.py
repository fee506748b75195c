"""
Clients that predict the rows of a table and write back what comes out: what one
does without models in the database.

    serve_client.py MODEL PORT COLUMNS

obeys lines of its input, each with a line of seconds:

    direct rows BATCH    rows through psycopg to ONNX Runtime in this process
    service rows BATCH   rows through psycopg to an HTTP service, BATCH a request
    direct copy BATCH, service copy BATCH
                         the same by binary COPY, whose bytes numpy takes apart,
                         which is as fast as a client can be
    single ROWS          requests of one row to the service; no database

The table is "samples" (id, features), the result goes to "scores" (id, score).
"""
import http.client
import os
import sys
import time

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy  # noqa: E402
import onnxruntime  # noqa: E402
import psycopg  # noqa: E402

FETCHED = 10000
COLUMNS = int(sys.argv[3])


class Local:
    def __init__(self, model):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def predict(self, rows):
        return self.session.run(None, {self.input: rows})[0][:, 0]


class Service:
    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port)

    def predict(self, rows):
        self.connection.request("POST", "/", body=rows.tobytes())
        return numpy.frombuffer(self.connection.getresponse().read(),
                                numpy.float32)


# ---------- as one does it ----------

def fetch_rows(connection):
    """Ids and rows, in parts, from a cursor of the server."""
    with connection.cursor("samples", binary=True) as cursor:
        cursor.itersize = FETCHED
        cursor.execute("SELECT id, features FROM samples")
        while part := cursor.fetchmany(FETCHED):
            yield ([id_ for id_, _ in part],
                   numpy.array([features for _, features in part],
                               numpy.float32))


def write_rows(connection, parts):
    with connection.cursor() as cursor, cursor.copy(
            "COPY scores FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["int8", "float4"])
        for ids, scores in parts:
            for row in zip(ids, scores.tolist()):
                copy.write_row(row)


# ---------- as fast as it gets ----------

HEAD = b"PGCOPY\n\377\r\n\0" + bytes(8)
END = b"\377\377"
# A row of binary COPY, when all arrays have one shape and no NULLs.
SAMPLE = numpy.dtype([
    ("fields", ">i2"), ("id_size", ">i4"), ("id", ">i8"),
    ("array_size", ">i4"), ("array_head", ">i4", 5),
    ("elements", [("size", ">i4"), ("value", ">f4")], COLUMNS)])
SCORE = numpy.dtype([("fields", ">i2"), ("id_size", ">i4"), ("id", ">i8"),
                     ("score_size", ">i4"), ("score", ">f4")])


def fetch_copy(connection):
    def split(part):
        table = numpy.frombuffer(b"".join(part), SAMPLE)
        return table["id"], table["elements"]["value"].astype(numpy.float32)

    with connection.cursor() as cursor, cursor.copy(
            "COPY (SELECT id, features FROM samples) TO STDOUT"
            " (FORMAT binary)") as copy:
        part = []
        for data in copy:
            data = bytes(data)
            part.append(data[len(HEAD):] if data.startswith(HEAD) else data)
            if len(part) > FETCHED:
                last = part.pop()
                yield split(part)
                part = [last]
        part[-1] = part[-1][:-len(END)] if part[-1] != END else b""
        yield split(part)


def write_copy(connection, parts):
    with connection.cursor() as cursor, cursor.copy(
            "COPY scores FROM STDIN (FORMAT binary)") as copy:
        copy.write(HEAD)
        for ids, scores in parts:
            rows = numpy.zeros(len(ids), SCORE)
            rows["fields"], rows["id_size"], rows["score_size"] = 2, 8, 4
            rows["id"], rows["score"] = ids, scores
            copy.write(rows.tobytes())
        copy.write(END)


FORMS = {"rows": (fetch_rows, write_rows), "copy": (fetch_copy, write_copy)}


def score(way, form, batch):
    """Two connections, since each is busy with a statement of its own."""
    fetch, write = FORMS[form]
    with psycopg.connect() as reading, psycopg.connect() as writing:
        def parts():
            for ids, rows in fetch(reading):
                for at in range(0, len(rows), batch):
                    yield (ids[at:at + batch],
                           way.predict(rows[at:at + batch]))
        write(writing, parts())


def single(service, requests):
    row = numpy.ones((1, COLUMNS), numpy.float32)
    for _ in range(requests):
        service.predict(row)


def main(model, port):
    local, service = Local(model), Service(int(port))
    single(service, 10)
    print("ready", flush=True)
    ways = {"direct": local, "service": service}
    for line in sys.stdin:
        command, *arguments = line.split()
        began = time.perf_counter()
        if command == "single":
            single(service, int(arguments[0]))
        else:
            score(ways[command], arguments[0], int(arguments[1]))
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
