"""
How good models are, by scikit-learn's metrics of what ONNX Runtime gives; what
goes on inside of them, by ONNX Runtime's calibrator and torch's hooks; and what
Wanda prunes by that.
"""
import base64
import json
import os
import tempfile

import numpy
import torch

from harness import check, data_bytes, digits, scalar, skip, sql

try:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnx
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, calibrate
except ImportError:
    onnxruntime = None
try:
    from sklearn import metrics
except ImportError:
    metrics = None

SERVED = bool(os.environ.get("ONNXRUNTIME_LIBRARY"))


def missing(what, needs):
    """Whether something that a check needs is not there; says so."""
    for there, name in needs:
        if not there:
            skip(what, "there is no " + name)
            return True
    return False


def put_rows(features, labels):
    """A table of features and labels."""
    sql("DROP TABLE IF EXISTS interop.holdout;"
        "CREATE TABLE interop.holdout (id integer, x real[], label %s);"
        % ("integer" if labels.dtype == numpy.int64 else "double precision"))
    rows = ",".join("(%d, '{%s}', %s)" % (i, ",".join(map(repr, map(float, x))), y)
                    for i, (x, y) in enumerate(zip(features, labels)))
    sql("INSERT INTO interop.holdout VALUES %s;" % rows)


def evaluate(model, query="SELECT x, label FROM interop.holdout ORDER BY id", **options):
    given = "".join(", %s => %s" % item for item in options.items())
    return {name: None if value == "NULL" else float(value) for name, value, _ in sql(
        "SELECT e.* FROM (%s) v (m), evaluate(m, '%s'%s) e;" % (model, query, given))}


def close(ours, theirs, within=1e-6):
    return all(abs(ours[name] - value) <= within * max(1, abs(value))
               for name, value in theirs.items())


def onnx_model(file):
    return "SELECT model_read(decode('%s', 'hex'))" % data_bytes(file).hex()


def outputs(data, features):
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: features})[0]


def softmax(scores):
    scores = scores.astype(numpy.float64)
    powers = numpy.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


# ---------- metrics ----------

def of_classes(labels, probabilities, guesses):
    two = probabilities.shape[1] == 2
    return {"accuracy": metrics.accuracy_score(labels, guesses),
            "f1": metrics.f1_score(labels, guesses, average="macro"),
            "auc": (metrics.roc_auc_score(labels, probabilities[:, 1]) if two else
                    metrics.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")),
            "log_loss": metrics.log_loss(labels, probabilities, labels=range(probabilities.shape[1]))}


def check_digits():
    needs = [(SERVED, "ONNX Runtime to serve with"), (onnxruntime, "onnxruntime"), (metrics, "scikit-learn")]
    if missing("evaluate of digits", needs):
        return
    features, labels = (t.numpy() for t in digits())
    put_rows(features, labels)
    for file in ("digits_mlp.onnx", "digits_cnn.onnx"):
        probabilities = softmax(outputs(data_bytes(file), features))
        ours = evaluate(onnx_model(file))
        theirs = of_classes(labels, probabilities, probabilities.argmax(axis=1))
        check(close(ours, theirs), "evaluate of %s is scikit-learn's" % file, (ours, theirs))


def linear(weight, bias, then=""):
    """A model that multiplies, from arrays."""
    def text(array):
        return json.dumps(array.tolist()).replace("[", "{").replace("]", "}")
    return ("SELECT set_graph(model_agg(name, data), 'fc:linear%s') FROM (VALUES "
            "('fc.weight', '%s'::real[]), ('fc.bias', '%s')) w (name, data)"
            % (then, text(weight), text(bias)))


def check_random_classes():
    if missing("evaluate of random classifiers", [(SERVED, "ONNX Runtime to serve with"), (metrics, "scikit-learn")]):
        return
    random = numpy.random.default_rng(6)
    for n, width, classes, coarse in ((500, 6, 3, False), (400, 3, 5, True), (300, 4, 2, False), (300, 2, 1, True)):
        features = random.normal(size=(n, width)).astype(numpy.float32)
        weight = random.normal(size=(classes, width)).astype(numpy.float32)
        bias = random.normal(size=classes).astype(numpy.float32)
        if coarse:              # with ties
            features, weight, bias = numpy.round(features * 2) / 2, numpy.round(weight), numpy.round(bias * 2) / 2
        labels = random.integers(0, max(classes, 2), size=n)
        put_rows(features, labels)
        scores = features.astype(numpy.float64) @ weight.T.astype(numpy.float64) + bias
        if classes == 1:
            p = 1 / (1 + numpy.exp(-scores[:, 0]))
            probabilities = numpy.stack([1 - p, p], axis=1)
            guesses = (scores[:, 0] >= 0).astype(int)
            model = linear(weight, bias)
            ours = evaluate(model, task="'classification'")
            end = linear(weight, bias, " sigmoid")
            ended = evaluate(end, task="'classification'")
        else:
            probabilities = softmax(scores)
            guesses = scores.argmax(axis=1)
            ours = evaluate(linear(weight, bias))
            end = linear(weight, bias, " softmax")
            ended = evaluate(end)
        theirs = of_classes(labels, probabilities, guesses)
        what = "%d classes, %d rows%s" % (classes, n, ", with ties" if coarse else "")
        # Rows with the same scores in another order tie, or not, as exp() rounds:
        # a pair of them is a few millionths of an area.
        check(close(ours, theirs, 2e-5 if coarse else 1e-6), "evaluate of %s is scikit-learn's" % what, (ours, theirs))
        if onnxruntime is None:
            continue
        # In floats probabilities near 0 and 1 are the same ones.
        p = outputs(base64.b64decode(scalar("SELECT encode(model_write(m, 'onnx'), 'base64') FROM (%s) v (m);" % end)), features)
        if classes == 1:
            p = numpy.concatenate([1 - p, p], axis=1)
        theirs = of_classes(labels, p, guesses)
        check(close(ended, theirs), "and of their probabilities", (ended, theirs))


def check_extreme_probabilities():
    """Probabilities of 0 and 1 in floats, of which the logarithm is cut off."""
    if missing("log_loss of certain rows", [(SERVED, "ONNX Runtime to serve with"), (metrics, "scikit-learn")]):
        return
    features = numpy.array([[200.0], [-200.0], [0.0], [1.0]], dtype=numpy.float32)
    labels = numpy.array([0, 0, 1, 1])
    put_rows(features, labels)
    p = (1 / (1 + numpy.exp(-features[:, 0].astype(numpy.float64)))).astype(numpy.float32)
    theirs = metrics.log_loss(labels, numpy.stack([1 - p, p], axis=1))
    ours = evaluate(linear(numpy.ones((1, 1)), numpy.zeros(1), " sigmoid"), task="'classification'")["log_loss"]
    check(abs(ours - theirs) < 1e-6 * theirs, "log_loss of certain rows is scikit-learn's", (ours, theirs))
    double = numpy.stack([-features[:, 0], features[:, 0]], axis=1).astype(numpy.float64)
    theirs = metrics.log_loss(labels, softmax(double))
    ours = evaluate(linear(numpy.array([[-1.0], [1.0]]), numpy.zeros(2)))["log_loss"]
    check(abs(ours - theirs) < 1e-6 * theirs, "and of logits that are far apart", (ours, theirs))


def check_regression():
    if missing("evaluate of a regression", [(SERVED, "ONNX Runtime to serve with"), (metrics, "scikit-learn")]):
        return
    random = numpy.random.default_rng(7)
    features = random.normal(size=(700, 5)).astype(numpy.float32)
    weight = random.normal(size=(1, 5)).astype(numpy.float32)
    labels = features.astype(numpy.float64) @ weight[0] + random.normal(size=700) + 1e6
    put_rows(features, labels)
    bias = numpy.array([1e6], dtype=numpy.float32)
    guesses = (features @ weight.T + bias)[:, 0].astype(numpy.float64)
    theirs = {"r2": metrics.r2_score(labels, guesses), "mse": metrics.mean_squared_error(labels, guesses),
              "mae": metrics.mean_absolute_error(labels, guesses)}
    ours = evaluate(linear(weight, bias))
    # Sums of products are in another order, of numbers of a million.
    check(close(ours, theirs, 0.02), "evaluate of a regression far from 0 is scikit-learn's", (ours, theirs))
    labels -= 1e6
    put_rows(features, labels)
    guesses = (features @ weight.T)[:, 0].astype(numpy.float64)
    theirs = {"r2": metrics.r2_score(labels, guesses), "mse": metrics.mean_squared_error(labels, guesses),
              "mae": metrics.mean_absolute_error(labels, guesses)}
    check(close(evaluate(linear(weight, numpy.zeros(1))), theirs), "and near it")


# ---------- calibration ----------

class Reader(CalibrationDataReader if onnxruntime else object):
    def __init__(self, name, features):
        self.rows = iter([{name: features[i:i + 10]} for i in range(0, len(features), 10)])

    def get_next(self):
        return next(self.rows, None)


def calibrated(file, rows):
    ranges, norms = sql(
        "SELECT c.activation_ranges, c.activation_norms FROM (%s) v (m), "
        "calibrate(m, 'SELECT x FROM interop.holdout WHERE id < %d', 7) c;" % (onnx_model(file), rows))[0]
    return json.loads(ranges), json.loads(norms)


def check_ranges():
    if missing("ranges of activations", [(SERVED, "ONNX Runtime to serve with"), (onnxruntime, "onnxruntime")]):
        return
    features, labels = (t.numpy() for t in digits())
    put_rows(features, labels)
    for file in ("digits_mlp.onnx", "digits_cnn.onnx"):
        ours, _ = calibrated(file, 50)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.onnx")
            with open(path, "wb") as out:
                out.write(data_bytes(file))
            calibrator = calibrate.create_calibrator(
                path, ["MatMul", "Gemm", "Conv"], augmented_model_path=os.path.join(folder, "more.onnx"))
            calibrator.collect_data(Reader(calibrator.infer_session.get_inputs()[0].name
                                           if calibrator.infer_session else "pixels", features[:50]))
            data = calibrator.compute_data().data
        theirs = {name: [float(numpy.min(v.range_value[0])), float(numpy.max(v.range_value[1]))]
                  for name, v in data.items() if name in ours}
        check(set(theirs) == set(ours), "%s: ONNX Runtime's calibrator looks at these values" % file,
              (sorted(ours), sorted(data)))
        check(all(numpy.allclose(ours[name], theirs[name], atol=1e-5) for name in theirs),
              "%s: and finds these ranges" % file, (ours, theirs))


def check_norms():
    """The norms that Wanda computes with hooks, and the masks by them."""
    if missing("norms of activations", [(SERVED, "ONNX Runtime to serve with"), (onnxruntime, "onnxruntime")]):
        return
    features, labels = digits()
    put_rows(features.numpy(), labels.numpy())
    _, norms = calibrated("digits_mlp.onnx", 50)
    weights = {t.name: torch.tensor(onnx.numpy_helper.to_array(t))
               for t in onnx.load_from_string(data_bytes("digits_mlp.onnx")).graph.initializer}
    net = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 16),
                              torch.nn.ReLU(), torch.nn.Linear(16, 10))
    names = dict(zip((0, 2, 4), ("layer1", "layer2", "layer3")))
    sums = {}

    def hook(name):
        def look(module, inputs, output):
            for row in inputs[0]:       # a sample at a time, as Wanda's WrappedGPT.add_batch
                total, n = sums.get(name, (0, 0))
                sums[name] = (total * n / (n + 1) + row.double() ** 2 / (n + 1), n + 1)
        return look

    with torch.no_grad():
        for i, name in names.items():
            net[i].weight.copy_(weights[name + ".weight"])
            net[i].bias.copy_(weights[name + ".bias"])
            net[i].register_forward_hook(hook(name + ".weight"))
        net(features[:50])
    theirs = {name: total.sqrt() for name, (total, _) in sums.items()}
    check(set(norms) == set(theirs) and
          all(numpy.allclose(norms[name], theirs[name], atol=1e-5) for name in theirs),
          "norms are those of Wanda's hooks")
    for name, norm in theirs.items():
        score = weights[name].abs() * norm.float().reshape(1, -1)
        mask = torch.zeros_like(score, dtype=torch.bool)
        mask.scatter_(1, torch.sort(score, dim=-1, stable=True)[1][:, :score.shape[1] // 2], True)
        ours = numpy.array(json.loads(scalar(
            "SELECT to_json(tensor(prune(m, 0.5, 'wanda', activation_norms => c.activation_norms), '%s')) "
            "FROM (%s) v (m), calibrate(m, 'SELECT x FROM interop.holdout WHERE id < 50') c;"
            % (name, onnx_model("digits_mlp.onnx")))))
        wanted = weights[name].masked_fill(mask, 0).numpy()
        check(((ours == 0) == (wanted == 0)).all(), "%s loses what Wanda takes" % name,
              "%d differ" % ((ours == 0) != (wanted == 0)).sum())


def check_matmul():
    """Weights whose inputs are the first dimension, and batches of a fixed size."""
    if missing("calibration of MatMul", [(SERVED, "ONNX Runtime to serve with"), (onnxruntime, "onnxruntime")]):
        return
    random = numpy.random.default_rng(8)
    first, second = (random.normal(size=shape).astype(numpy.float32) for shape in ((6, 6), (6, 3)))
    bias = numpy.array([5, -1, 3, 0.5, -2, 1], dtype=numpy.float32)
    make, numbers = onnx.helper, onnx.TensorProto.FLOAT
    graph = make.make_graph(
        [make.make_node("MatMul", ["x", "first"], ["a"]), make.make_node("Add", ["a", "bias"], ["b"]),
         make.make_node("Relu", ["b"], ["c"]), make.make_node("MatMul", ["c", "second"], ["y"])],
        "fixed", [make.make_tensor_value_info("x", numbers, [4, 6])], [make.make_tensor_value_info("y", numbers, [4, 3])],
        [onnx.numpy_helper.from_array(a, name) for a, name in ((first, "first"), (second, "second"), (bias, "bias"))])
    data = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8).SerializeToString()
    model = "SELECT model_read(decode('%s', 'hex'))" % data.hex()
    x = random.normal(size=(10, 6)).astype(numpy.float32)
    put_rows(x, random.integers(0, 3, size=10))
    ranges, norms = (json.loads(j) for j in sql(
        "SELECT c.activation_ranges, c.activation_norms FROM (%s) v (m), "
        "calibrate(m, 'SELECT x FROM interop.holdout') c;" % model)[0])
    # The last of three batches has two rows; what fills it is nobody's, though
    # its bias would be the greatest in some places.
    hidden = numpy.maximum(x @ first + bias, 0)
    theirs = {"x": [x.min(), x.max()], "c": [hidden.min(), hidden.max()]}
    check(set(ranges) == set(theirs) and all(numpy.allclose(ranges[n], theirs[n], atol=1e-5) for n in theirs),
          "ranges of a model with batches of four are those of the rows", (ranges, theirs))
    theirs = {"first": x, "second": hidden}
    check(all(numpy.allclose(norms[n], numpy.sqrt((theirs[n].astype(float) ** 2).mean(axis=0)), atol=1e-5) for n in theirs),
          "and so are norms", norms)
    for name, weight in (("first", first), ("second", second)):
        norm = numpy.sqrt((theirs[name].astype(float) ** 2).mean(axis=0)).astype(numpy.float32)
        score = numpy.abs(weight) * norm.reshape(-1, 1)
        wanted = weight.copy()
        for column in range(weight.shape[1]):
            wanted[numpy.argsort(score[:, column], kind="stable")[:3], column] = 0
        ours = numpy.array(json.loads(scalar(
            "SELECT to_json(tensor(prune(m, 0.5, 'wanda', activation_norms => c.activation_norms), '%s')) "
            "FROM (%s) v (m), calibrate(m, 'SELECT x FROM interop.holdout') c;" % (name, model))))
        check(((ours == 0) == (wanted == 0)).all(), "wanda compares the inputs of each output, %s" % str(weight.shape))


CHECKS = [("evaluate, digits", check_digits),
          ("evaluate, random classifiers", check_random_classes),
          ("evaluate, certain rows", check_extreme_probabilities),
          ("evaluate, regression", check_regression),
          ("calibrate, ranges", check_ranges),
          ("calibrate, norms and Wanda", check_norms),
          ("calibrate, MatMul and fixed batches", check_matmul)]
