"""
ONNX models read, written and compared: every model of the ONNX project's own
test set as Debian packages it, and models made here with what those lack.

The files are compared as bytes (onnx_wire.py).  Where the onnx package is
there, its checker and its reading are asked too; where ONNX Runtime is, it
computes with the file before and after.
"""
import base64
import glob
import importlib.util
import inspect
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import warnings

import numpy
import torch

import digits_nets
import onnx_wire
from harness import (
    back, check, check_same, data_load, DatabaseError, digits, HERE, quote,
    scalar, skip, sql, store)

try:
    import onnx
    import onnx_models
except ImportError:
    onnx = None

CORPUS = os.environ.get("ONNX_TESTDATA", "/usr/share/libonnx-testdata/data")
SAFETENSORS = {"f64": "F64", "f32": "F32", "f16": "F16", "bf16": "BF16",
               "f8e4m3": "F8_E4M3", "f8e5m2": "F8_E5M2",
               "f8e4m3fnuz": "F8_E4M3FNUZ", "f8e5m2fnuz": "F8_E5M2FNUZ",
               "f8e8m0": "F8_E8M0", "i64": "I64",
               "i32": "I32", "i16": "I16", "i8": "I8", "u64": "U64",
               "u32": "U32", "u16": "U16", "u8": "U8", "bool": "BOOL"}


# ---------- through the database ----------

class Trip:
    """A file, and what came back for it."""

    def __init__(self, name, before):
        self.name = name
        self.before = before
        self.after = self.tensors = self.signature = self.nodes = None


def read_and_write(files):
    """Trips of (name, bytes), all in one statement."""
    trips = [Trip(name, data) for name, data in files]
    values = ",\n".join("(%d, decode('%s', 'hex'))" % (i, t.before.hex())
                        for i, t in enumerate(trips))
    rows = sql("""
        CREATE TEMP TABLE read AS
            SELECT i, model_read(data) AS m FROM (VALUES %s) v (i, data);
        SELECT i, encode(model_write(m, 'onnx'), 'base64'),
            CASE WHEN EXISTS (SELECT FROM tensors(m)
                              WHERE dtype IN ('i4', 'u4')) THEN ''
                 ELSE encode(model_write(m, 'safetensors'), 'base64') END,
            (SELECT json_agg(json_build_array(name, dtype, shape))
                FROM inputs(m)),
            (SELECT json_agg(json_build_array(name, dtype, shape))
                FROM outputs(m)),
            (SELECT json_agg(json_build_array(name, op_type, domain, inputs,
                    outputs, attributes) ORDER BY position) FROM nodes(m)),
            model_metadata(m) -> 'onnx', m::text::model = m
        FROM read ORDER BY i;""" % values)
    for i, after, tensors, ins, outs, nodes, metadata, same in rows:
        trip = trips[int(i)]
        trip.after = base64.b64decode(after)
        trip.tensors = base64.b64decode(tensors)
        trip.signature = [json.loads(x) if x != "NULL" else []
                          for x in (ins, outs)]
        trip.nodes = json.loads(nodes) if nodes != "NULL" else []
        trip.metadata = json.loads(metadata)
        trip.stored = same == "t"
    return trips


# ---------- byte by byte ----------

def bytes_problem(trip):
    """What is different in the file that was written, or ''."""
    if onnx_wire.is_raw(trip.before) and trip.after != trip.before:
        return "is not the same file, though its elements were raw_data"
    if onnx_wire.skeleton(trip.after) != onnx_wire.skeleton(trip.before):
        return "differs in something that is not elements"
    before = onnx_wire.initializers(trip.before)
    after = onnx_wire.initializers(trip.after)
    for a, b in zip(before, after):
        if (a.name, a.shape, a.type) != (b.name, b.shape, b.type):
            return "has another tensor for " + a.name
        if a.elements() != b.elements():
            return "has other elements in " + a.name
    return "" if len(before) == len(after) else "has other tensors"


def tensors_problem(trip):
    """Our tensors against the elements in the file."""
    if not trip.tensors:
        return ""
    found = onnx_wire.safetensors(trip.tensors)
    expected = {t.name: (SAFETENSORS[t.dtype], t.shape, t.elements())
                for t in onnx_wire.initializers(trip.before)}
    return "" if found == expected else "has other tensors in the database"


def check_files(what, files):
    trips = read_and_write(files)
    for title, problem in (("written as it was", bytes_problem),
                           ("its tensors are bit for bit those in the file",
                            tensors_problem)):
        wrong = ["%s %s" % (t.name, problem(t)) for t in trips if problem(t)]
        check(trips and not wrong, "%s: %d models, each %s"
              % (what, len(trips), title), "\n".join(wrong))
    check(all(t.stored for t in trips), "%s: each survives its text" % what)
    check_checker(what, trips)
    check_signatures(what, trips)
    return trips


# ---------- with the onnx package ----------

def checker_says(data):
    model = onnx.load_from_string(data)
    for full in (False, True):
        try:
            onnx.checker.check_model(model, full_check=full)
        except Exception as e:      # its own kinds, and those of inference
            return "%s: %s" % (type(e).__name__, e)
    return ""


def check_checker(what, trips):
    title = "%s: onnx.checker says of each what it said before" % what
    if onnx is None:
        skip(title, "there is no onnx package")
        return
    before = {t.name: checker_says(t.before) for t in trips}
    wrong = ["%s: %s" % (t.name, checker_says(t.after)) for t in trips
             if checker_says(t.after) != before[t.name]]
    good = sum(not said for said in before.values())
    check(not wrong, "%s (it passes %d of %d)" % (title, good, len(trips)),
          "\n".join(wrong))


def element_type(number):
    return onnx_models.TYPE_NAMES.get(number, "type %d" % number if number
                                      else "unknown")


def type_text(type_proto):
    kind = type_proto.WhichOneof("value")
    value = getattr(type_proto, kind) if kind else None
    if kind == "tensor_type":
        return element_type(value.elem_type)
    if kind == "sparse_tensor_type":
        return "sparse(%s)" % element_type(value.elem_type)
    if kind in ("sequence_type", "optional_type"):
        return "%s(%s)" % (kind.split("_")[0], type_text(value.elem_type))
    if kind == "map_type":
        return "map(%s, %s)" % (element_type(value.key_type),
                                type_text(value.value_type))
    return "unknown"


def shape_of(type_proto):
    kind = type_proto.WhichOneof("value")
    if kind not in ("tensor_type", "sparse_tensor_type"):
        return None
    value = getattr(type_proto, kind)
    if not value.HasField("shape"):
        return None
    return [str(d.dim_value) if d.HasField("dim_value")
            else d.dim_param or None for d in value.shape.dim]


def signature_of(graph):
    given = {t.name for t in graph.initializer}
    given |= {t.values.name for t in graph.sparse_initializer}
    return [[[v.name, type_text(v.type) if v.HasField("type") else None,
              shape_of(v.type)] for v in values if v.name not in given]
            for values in (graph.input, graph.output)]


def attribute_value(a):
    """A number, a string or a list of them as nodes() has it, or None for
    what it only describes."""
    value = onnx.helper.get_attribute_value(a)
    few = value[:65] if isinstance(value, (list, tuple)) else [value]
    if len(few) > 64 or any(not isinstance(v, (bytes, int, float))
                            for v in few):
        return None
    try:
        return json.loads(json.dumps(value, default=bytes.decode))
    except UnicodeDecodeError:
        return None


def same_attributes(node, ours):
    if [a.name for a in node.attribute] and set(ours) != {
            a.name for a in node.attribute}:
        return False
    for a in node.attribute:
        expected = attribute_value(a)
        if expected is None:
            continue
        got = ours[a.name]
        numbers = numpy.array(expected, ndmin=1), numpy.array(got, ndmin=1)
        if numbers[0].dtype.kind == "f":
            numbers = [numpy.array(n, dtype="float32") for n in numbers]
            if not numpy.array_equal(*numbers, equal_nan=True):
                return False
        elif got != expected:
            return False
    return True


def same_nodes(graph, ours):
    if len(graph.node) != len(ours):
        return False
    for node, (name, op_type, domain, ins, outs, attributes) in zip(
            graph.node, ours):
        if ([node.name or None, node.op_type, node.domain or "ai.onnx",
             list(node.input), list(node.output)]
                != [name, op_type, domain, ins, outs]):
            return False
        if not same_attributes(node, attributes):
            return False
    return True


def check_signatures(what, trips):
    titles = ["%s: inputs and outputs are what onnx reads" % what,
              "%s: nodes and attributes are what onnx reads" % what]
    if onnx is None:
        for title in titles:
            skip(title, "there is no onnx package")
        return
    graphs = [onnx.load_from_string(t.before).graph for t in trips]
    wrong = ["%s: %s, expected %s" % (t.name, t.signature, signature_of(g))
             for t, g in zip(trips, graphs) if t.signature != signature_of(g)]
    check(not wrong, titles[0], "\n".join(wrong))
    wrong = ["%s: %s" % (t.name, t.nodes) for t, g in zip(trips, graphs)
             if not same_nodes(g, t.nodes)]
    check(not wrong, titles[1], "\n".join(wrong))


# ---------- with ONNX Runtime ----------

def has_runtime():
    return (onnx is not None
            and importlib.util.find_spec("onnxruntime") is not None)


def run(*arguments):
    """In a process of its own: some models end the one that runs them."""
    return subprocess.run(
        [sys.executable, os.path.join(HERE, "onnx_run.py")] + list(arguments),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        universal_newlines=True)


def check_runtime(what, trips, folders):
    title = "%s: ONNX Runtime computes the same" % what
    if not has_runtime():
        skip(title, "there is no onnxruntime")
        return
    with tempfile.TemporaryDirectory() as scratch:
        for trip in trips:
            for kind in ("before", "after"):
                with open(os.path.join(scratch, "%s.%s" % (
                        trip.name.replace("/", "."), kind)), "wb") as f:
                    f.write(getattr(trip, kind))
        done = run("compare", scratch, folders or "")
    lines = done.stdout.splitlines()
    wrong = [line for line in lines if line.startswith("differs")]
    same = sum(line.startswith("same") for line in lines)
    check(done.returncode == 0 and not wrong and same > 0,
          "%s (%d models run, %d do not run before either)"
          % (title, same, sum(line.startswith("refused") for line in lines)),
          "\n".join(wrong) or done.stderr[-2000:])


def computed(model, inputs):
    """What ONNX Runtime makes of a batch with a model, its bytes or its path, or
    None."""
    with tempfile.TemporaryDirectory() as scratch:
        path = model
        if isinstance(model, bytes):
            path = os.path.join(scratch, "model.onnx")
            with open(path, "wb") as f:
                f.write(model)
        numpy.save(os.path.join(scratch, "input.npy"), inputs)
        done = run("compute", scratch, path)
        if done.returncode != 0:
            check(False, "ONNX Runtime computes", done.stderr[-2000:])
            return None
        return numpy.load(os.path.join(scratch, "output.npy"))


# ---------- the test set ----------

def corpus():
    for path in sorted(glob.glob(os.path.join(CORPUS, "*", "*",
                                              "model.onnx"))):
        with open(path, "rb") as f:
            yield os.path.relpath(os.path.dirname(path), CORPUS), f.read()


def check_corpus():
    files = list(corpus())
    if not files:
        skip("models of the ONNX test set", "there are none in %s; Debian has"
             " them in libonnx-testdata" % CORPUS)
        return
    print("# %d models of the ONNX test set" % len(files))
    trips = check_files("test set", files)
    check_runtime("test set", trips, CORPUS)


# ---------- models made here ----------

def check_made():
    if onnx is None:
        skip("models made here", "there is no onnx package")
        return
    trips = check_files("made here", list(onnx_models.models()))
    check_runtime("made here", trips, None)


def exported(net, inputs):
    """A network as torch writes it in ONNX."""
    out = io.BytesIO()
    options = {"opset_version": 15, "input_names": ["in"],
               "output_names": ["out"],
               "dynamic_axes": {"in": {0: "batch"}, "out": {0: "batch"}}}
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        options["dynamo"] = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net.eval(), (inputs,), out, **options)
    return out.getvalue()


def check_exported():
    pixels, _ = digits()
    nets = {"mlp": (digits_nets.DigitsMLP(), data_load("digits_mlp.pth")),
            "cnn": (digits_nets.DigitsCNN(),
                    data_load("digits_cnn.pth")["state_dict"])}
    for net, weights in nets.values():
        net.load_state_dict(weights)
    files = [(name, exported(net, pixels[:1]))
             for name, (net, _) in nets.items()]
    check_files("exported by torch", files)
    for name, data in files:
        store("exported." + name, data)
        sql("INSERT INTO interop.models SELECT 'pruned.%s', prune(m, 0.6) "
            "FROM interop.models WHERE name = 'exported.%s';" % (name, name))
    check_same(nets["mlp"][1], back("exported.mlp"),
               "exported by torch: the perceptron's weights are its own")
    check_computing(nets, pixels)


def as_onnx(name):
    return base64.b64decode(scalar(
        "SELECT encode(model_write(m, 'onnx'), 'base64') "
        "FROM interop.models WHERE name = %s;" % quote(name)))


def check_computing(nets, pixels):
    """torch and ONNX Runtime about the same weights, whole and pruned."""
    title = "exported by torch: ONNX Runtime computes what torch does"
    if not has_runtime():
        skip(title, "there is no onnxruntime")
        return
    pruned = digits_nets.DigitsMLP()
    pruned.load_state_dict(back("pruned.mlp"))
    for what, net in (("exported.mlp", nets["mlp"][0]),
                      ("exported.cnn", nets["cnn"][0]),
                      ("pruned.mlp", pruned)):
        with torch.no_grad():
            expected = net.eval()(pixels).numpy()
        found = computed(as_onnx(what), pixels.numpy())
        check(found is not None
              and numpy.allclose(found, expected, rtol=1e-4, atol=1e-5)
              and (found.argmax(1) == expected.argmax(1)).all(),
              "%s, %s" % (title, what))
    whole = computed(as_onnx("exported.mlp"), pixels.numpy())
    check(not numpy.allclose(whole, computed(as_onnx("pruned.mlp"),
                                             pixels.numpy())),
          "exported by torch: pruning makes a difference")


# ---------- elements in other files ----------

def external_files(folder):
    """Paths of models whose elements are beside them, as onnx saves them."""
    perceptron = dict(onnx_models.perceptrons())["perceptron_raw"]
    many = onnx_models.model(onnx_models.identity("many", [
        onnx_models.tensor("t%d" % i, data_type, [16, i])
        for i, data_type in enumerate((1, 2, 7, 9, 10, 11))]))
    for name, made in (("perceptron", perceptron), ("many", many)):
        for one_file in (False, True):
            path = os.path.join(folder, "%s_%d.onnx" % (name, one_file))
            copy = onnx.ModelProto.FromString(made.SerializeToString())
            onnx.save_model(copy, path, save_as_external_data=True,
                            all_tensors_to_one_file=one_file, size_threshold=0,
                            location="%s.data" % name if one_file else None)
            yield path, made


def check_external():
    title = "elements in other files are read from there"
    if onnx is None:
        skip(title, "there is no onnx package")
        return
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        made = list(external_files(folder))
        for name in os.listdir(folder):
            os.chmod(os.path.join(folder, name), 0o644)
        for path, whole in made:
            what = "%s: %s" % (os.path.basename(path), title)
            try:
                sql("INSERT INTO interop.models SELECT %s, model_load(%s);"
                    % (quote(what), quote(path)))
            except DatabaseError as e:
                if e.sqlstate in ("58P01", "42501"):
                    skip(what, "the server cannot read files of this host")
                    continue
                raise
            expected = {t.name: t.elements() for t in onnx_wire.initializers(
                whole.SerializeToString())}
            found = {t.name: t.elements()
                     for t in onnx_wire.initializers(as_onnx(what))}
            check(found == expected, what)


def save_apart(name, path):
    """Saves a model with its weights in a second file; false when the server
    cannot write files of this host."""
    try:
        sql("SET modelopt.onnx_external_data_threshold = 0;"
            "SELECT model_save(m, %s) FROM interop.models WHERE name = %s;"
            % (quote(path), quote(name)))
    except DatabaseError as e:
        if e.sqlstate in ("58P01", "42501"):
            return False
        raise
    return True


def check_apart():
    """Models in two files, as those beyond the limit of the format are."""
    title = "saved in two files"
    if onnx is None:
        skip(title, "there is no onnx package")
        return
    pixels, _ = digits()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        for name in ("exported.mlp", "exported.cnn"):
            path = os.path.join(folder, name + ".onnx")
            if not save_apart(name, path):
                skip(title, "the server cannot write files of this host")
                return
            whole = as_onnx(name)
            beside = [f for f in os.listdir(folder)
                      if f.startswith(name + ".onnx.")]
            check(len(beside) == 1 and os.path.getsize(path) < len(whole) / 2,
                  "%s: %s has its weights in the second one" % (title, name))
            loaded = onnx.load(path)
            for tensor in loaded.graph.initializer:
                tensor.ClearField("data_location")
                tensor.ClearField("external_data")
            check(loaded == onnx.load_from_string(whole),
                  "%s: onnx loads %s as the whole one" % (title, name))
            check_computing_apart("%s: ONNX Runtime computes the same with %s"
                                  % (title, name), path, whole,
                                  pixels.numpy())
            # Last: old ones put what they have inferred into the file.
            try:
                onnx.checker.check_model(path, full_check=True)
                said = ""
            except Exception as e:      # its own kinds, and those of inference
                said = str(e)
            check(not said, "%s: onnx.checker passes %s" % (title, name), said)


def check_computing_apart(title, path, whole, inputs):
    if not has_runtime():
        skip(title, "there is no onnxruntime")
        return
    found = computed(path, inputs)
    expected = computed(whole, inputs)
    check(found is not None and found.tobytes() == expected.tobytes(), title)


# ---------- damaged models ----------

def mutants(data, rng, count):
    """Models with a byte or two changed, but not those of their elements,
    where nearly every change is another good model."""
    elements = [t.elements() for t in onnx_wire.initializers(data)]
    inside = set()
    for raw in elements:
        at = data.find(raw) if len(raw) > 4 else -1
        inside.update(range(at, at + len(raw)) if at >= 0 else ())
    places = [i for i in range(len(data)) if i not in inside]
    for _ in range(count):
        out = bytearray(data)
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.choice(places)
            out[at] = rng.choice((0, 1, 0xFF, 0x80, out[at] ^ 1
                                  << rng.randrange(8), out[at] + 1 & 0xFF))
        if bytes(out) != data:
            yield bytes(out)


def readable(datas):
    """Those of some files that are read."""
    sql("""CREATE OR REPLACE FUNCTION interop.is_onnx(data bytea)
        RETURNS boolean LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM model_read(data, 'onnx');
            RETURN true;
        EXCEPTION WHEN data_exception OR feature_not_supported
            OR program_limit_exceeded THEN
            RETURN false;
        END $$;""")
    answers = sql("SELECT interop.is_onnx(decode(x, 'hex')) FROM "
                  "unnest(ARRAY[%s]) WITH ORDINALITY AS t(x, i) ORDER BY i;"
                  % ",".join("'%s'" % data.hex() for data in datas))
    return [data for data, (answer,) in zip(datas, answers) if answer == "t"]


def reading_problem(trip):
    """How the onnx package's reading differs from ours, or ''."""
    try:
        graph = onnx.load_from_string(trip.before).graph
    except Exception as e:      # of whichever protocol buffers it uses
        return "cannot be read by onnx: %s" % e
    if trip.signature != signature_of(graph):
        return "has other inputs or outputs for onnx: %s, not %s" % (
            signature_of(graph), trip.signature)
    if not same_nodes(graph, trip.nodes):
        return "has other nodes for onnx"
    ours = {t.name: t for t in onnx_wire.initializers(trip.after)}
    theirs = {t.name: t for t in graph.initializer
              if t.data_type in onnx_wire.TYPES}
    if set(ours) != set(theirs):
        return "has other tensors for onnx"
    for name, t in theirs.items():
        array = onnx.numpy_helper.to_array(t)
        if (list(array.shape) != ours[name].shape
                or t.data_type not in (16, 17, 19, 21, 22)
                and array.tobytes() != ours[name].elements()):
            return "has another tensor %s for onnx" % name
    return bytes_problem(trip)


def check_damaged():
    """
    Whatever damage the reader lets pass, others read the same model out of
    it: there is no second interpretation for somebody to hide in.
    """
    if onnx is None:
        skip("damaged models", "there is no onnx package")
        return
    rng = random.Random(7)
    wrong = []
    accepted = total = 0
    for name, data in onnx_models.models():
        tries = list(mutants(data, rng, 60))
        read = readable(tries)
        total += len(tries)
        accepted += len(read)
        for trip in read_and_write((name, data) for data in read) if read \
                else ():
            if reading_problem(trip):
                wrong.append("%s %s: %s" % (name, reading_problem(trip),
                                            trip.before.hex()))
    check(not wrong, "damaged models: %d of %d are read, all of them as onnx "
          "does" % (accepted, total), "\n".join(wrong))
    check(0 < accepted < total, "damaged models: some are read, some not")


CHECKS = [("onnx: test set", check_corpus), ("onnx: made here", check_made),
          ("onnx: exported", check_exported),
          ("onnx: other files", check_external),
          ("onnx: in two files", check_apart),
          ("onnx: damaged", check_damaged)]
