"""
Predictions of models that are not a batch of rows of floats, each small enough
for NumPy to say what it computes.
"""
import os

import numpy

from harness import check, DatabaseError, quote, skip, sql, store

try:
    import onnx
    from onnx import helper, numpy_helper, TensorProto as types
except ImportError:
    onnx = None


def model(name, inputs, outputs, nodes, initializers=()):
    """Puts a model into the database; inputs and outputs are (name, type,
    shape)."""
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(*o) for o in outputs],
        [numpy_helper.from_array(array, array_name)
         for array_name, array in initializers])
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    store("predict." + name, made.SerializeToString())


def predict(name, call):
    """The rows of a call with the model m."""
    return sql("SELECT r FROM interop.models, LATERAL (SELECT %s AS r) s"
               " WHERE name = %s;" % (call, quote("predict." + name)))


def numbers(text):
    return numpy.array([float(n) for n in
                        text.replace("{", "").replace("}", "").split(",")])


def refused(what, sqlstate, name, call):
    try:
        predict(name, call)
        check(False, what, "it was taken")
    except DatabaseError as error:
        check(error.sqlstate == sqlstate, what, error)


def check_fixed_batch():
    """Rows are padded up to what the model takes at once."""
    rng = numpy.random.default_rng(1)
    w = rng.standard_normal((3, 2)).astype("f4")
    x = rng.standard_normal((10, 3)).astype("f4")
    model("fixed", [("x", types.FLOAT, [4, 3])], [("y", types.FLOAT, [4, 2])],
          [helper.make_node("MatMul", ["x", "w"], ["y"])], [("w", w)])
    (row,), = predict("fixed", "predict(m, %s::real[])"
                      % quote(str(x.tolist()).replace("[", "{").replace("]", "}")))
    check(numpy.allclose(numbers(row).reshape(10, 2), x @ w, 1e-5),
          "predict: ten rows through a model of batches of four", row)
    (row,), = predict("fixed", "predict(m, ARRAY%s::real[])" % x[7].tolist())
    check(numpy.allclose(numbers(row), x[7] @ w, 1e-5),
          "predict: one row through it", row)
    values = ", ".join("(%d, %s)" % (i, ", ".join("%.9g" % v for v in r))
                       for i, r in enumerate(x))
    (row,), = predict("fixed", "(SELECT array_agg(prediction ORDER BY id) FROM"
                      " predict_rows(m, 'VALUES %s'))" % values)
    check(numpy.allclose(numbers(row).reshape(10, 2), x @ w, 1e-5),
          "predict: a table through it", row)


def check_named_inputs():
    """Columns go to the inputs that are called like them."""
    model("named", [("a", types.FLOAT, ["n", 1]), ("b", types.INT64, ["n", 1])],
          [("y", types.FLOAT, ["n", 1])],
          [helper.make_node("Cast", ["b"], ["c"], to=types.FLOAT),
           helper.make_node("Sub", ["a", "c"], ["y"])])
    (row,), = predict("named", "(SELECT array_agg(prediction ORDER BY id) FROM"
                      " predict_rows(m, 'SELECT i AS id, i AS b, 0.5 AS a"
                      " FROM generate_series(1, 3) i'))")
    check(numbers(row).tolist() == [-0.5, -1.5, -2.5],
          "predict_rows: columns by the names of inputs", row)
    (row,), = predict("named", "predict(m, ARRAY[0.5, 2])")
    check(numbers(row).tolist() == [-1.5],
          "predict: the values of two inputs in a row", row)
    refused("predict_rows: a name that is no input, among others", "42703",
            "named", "(SELECT array_agg(prediction) FROM predict_rows(m,"
            " 'SELECT 1 AS id, 1 AS b, 0.5 AS other'))")
    refused("predict: a fraction for an integer", "22003", "named",
            "predict(m, ARRAY[0.5, 2.5])")


def check_texts():
    model("texts", [("t", types.STRING, ["n", 2])],
          [("y", types.FLOAT, ["n", 2])],
          [helper.make_node("Cast", ["t"], ["y"], to=types.FLOAT)])
    (row,), = predict("texts", "predict(m, ARRAY['1.5', '-2'])")
    check(numbers(row).tolist() == [1.5, -2], "predict: texts as features", row)
    refused("predict: numbers for texts", "42804", "texts",
            "predict(m, ARRAY[1, 2])")
    refused("predict: what the model cannot take fails it", "38000", "texts",
            "predict(m, ARRAY['1.5', 'x'])")
    rows = sql("SELECT p.id, p.prediction, p.error FROM interop.models,"
               " predict_rows(m, 'VALUES (1, ''1'', ''2''), (2, ''x'', ''3''),"
               " (3, ''4'', ''5'')', on_error => 'null') p"
               " WHERE name = 'predict.texts' ORDER BY id;")
    check([r[1] for r in rows] == ["{1,2}", "NULL", "{4,5}"]
          and rows[1][2] != "NULL",
          "predict_rows: a row that fails the model is reported, others not",
          rows)


def check_outputs():
    model("outputs", [("x", types.DOUBLE, ["n", 2])],
          [("whole", types.INT64, ["n", 2]), ("half", types.FLOAT16, ["n", 2]),
           ("same", types.DOUBLE, ["n", 2]), ("sum", types.DOUBLE, [])],
          [helper.make_node("Cast", ["x"], ["whole"], to=types.INT64),
           helper.make_node("Cast", ["x"], ["half"], to=types.FLOAT16),
           helper.make_node("Identity", ["x"], ["same"]),
           helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0)])
    (row,), = predict("outputs", "predict(m, ARRAY[3, 16777216])")
    check(row == "{3,1.6777216e+07}", "predict: integers come out", row)
    refused("predict: an integer that no real is", "22003", "outputs",
            "predict(m, ARRAY[3, 16777217])")
    (row,), = predict("outputs", "predict(m, ARRAY[0.1, 0.2], output => 'half')")
    check(numpy.array_equal(numbers(row).astype("f4"),
                            numpy.array([0.1, 0.2], "f2").astype("f4")),
          "predict: an output of f16 by its name", row)
    (row,), = predict("outputs", "predict(m, ARRAY[0.1, 0.2], output => 'sum')")
    check(numpy.allclose(numbers(row), [0.3]),
          "predict: an output for one row alone", row)
    refused("predict: such an output of several rows", "0A000", "outputs",
            "predict(m, ARRAY[[0.1, 0.2], [1, 2]], output => 'sum')")


def check_whole():
    model("vector", [("x", types.FLOAT, [3])], [("y", types.FLOAT, [1])],
          [helper.make_node("ReduceSum", ["x"], ["y"])])
    (row,), = predict("vector", "predict(m, ARRAY[1, 2, 4])")
    check(numbers(row).tolist() == [7], "predict: a model of one vector", row)
    refused("predict: a vector of another length", "22023", "vector",
            "predict(m, ARRAY[1, 2])")
    model("column", [("x", types.FLOAT, ["n"])], [("y", types.FLOAT, ["n"])],
          [helper.make_node("Neg", ["x"], ["y"])])
    (row,), = predict("column", "(SELECT array_agg(prediction ORDER BY id) FROM"
                      " predict_rows(m, 'SELECT i, i FROM generate_series(1, 3) i'))")
    check(numbers(row).tolist() == [-1, -2, -3],
          "predict_rows: a model of a column", row)
    model("open", [("x", types.FLOAT, ["n", "t"])], [("y", types.FLOAT, ["n", 1])],
          [helper.make_node("ReduceSum", ["x", "axes"], ["y"])],
          [("axes", numpy.array([1], "i8"))])
    (row,), = predict("open", "predict(m, ARRAY[[1, 2, 3], [4, 5, 6]])")
    check(numbers(row).tolist() == [6, 15], "predict: rows of any length", row)


def check_predict():
    if onnx is None:
        skip("predict", "there is no onnx package")
    elif not os.environ.get("ONNXRUNTIME_LIBRARY"):
        skip("predict", "there is no ONNX Runtime")
    else:
        check_fixed_batch()
        check_named_inputs()
        check_texts()
        check_outputs()
        check_whole()


CHECKS = [("predict: models of other shapes and types", check_predict)]
