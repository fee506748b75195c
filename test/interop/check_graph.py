"""
Graphs made of a short text: an ONNX file of a state_dict must compute what the
network in PyTorch does, to ONNX Runtime where it is there, and node by node to
PyTorch's functions (onnx_torch.py).
"""
import json
import os

import numpy
import torch

import graph_nets
from check_onnx import as_onnx, computed, has_runtime
from harness import check, DatabaseError, quote, saved, scalar, skip, sql, store

try:
    import onnx
    import onnx_torch
except ImportError:
    onnx = None


def set_graph(name, net, architecture):
    store(name, saved(net.state_dict()))
    sql("UPDATE interop.models SET m = set_graph(m, %s) WHERE name = %s;"
        % (quote(architecture), quote(name)))


def expected(net, x):
    with torch.no_grad():
        return net.eval()(x)


def close(found, wanted, tolerance):
    return (found is not None and tuple(found.shape) == tuple(wanted.shape)
            and bool((abs(torch.as_tensor(found) - wanted)
                      <= tolerance * (1 + abs(wanted))).all()))


def check_file(what, data, net, x):
    """A file against the network that it must be."""
    if onnx is None:
        skip("%s: the file computes what torch does" % what,
             "there is no onnx package")
        return
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    (found,) = onnx_torch.compute(data, x)
    double = next(net.parameters()).dtype == torch.float64
    wanted = expected(net, x)
    # Attributes, like the eps of a norm, are f32 in ONNX.
    check(close(found, wanted, 1e-8 if double else 1e-5),
          "%s: the file computes what torch does" % what,
          (found - wanted).abs().max() if found.shape == wanted.shape
          else (found.shape, wanted.shape))
    if double:      # which ONNX Runtime has few operators for
        return
    if not has_runtime():
        skip("%s: ONNX Runtime computes it" % what, "there is no onnxruntime")
        return
    found = computed(data, x.numpy())
    check(close(found, wanted, 1e-6),
          "%s: ONNX Runtime computes it" % what,
          found is not None and abs(torch.tensor(found) - wanted).max())


def check_prediction(name, net, x):
    """What the database predicts against the network."""
    what = "graph of %s: the database predicts what torch does" % name
    if not os.environ.get("ONNXRUNTIME_LIBRARY"):
        skip(what, "there is no ONNX Runtime")
        return
    found = json.loads(scalar(
        "SELECT predict_json(m, '%s') FROM interop.models WHERE name = %s;"
        % (json.dumps(x.tolist()), quote("graph." + name))))
    (output,) = found.values()
    wanted = expected(net, x)
    check(close(numpy.array(output, dtype=numpy.float32), wanted, 1e-6), what,
          abs(torch.tensor(output) - wanted).max())


def check_architectures():
    for name, net, architecture, x in graph_nets.nets():
        set_graph("graph." + name, net, architecture)
        check_file("graph of %s" % name, as_onnx("graph." + name), net, x)
        check_prediction(name, net, x)
        net.double()
        if x.is_floating_point():
            x = x.double()
        set_graph("graph64." + name, net, architecture)
        check_file("graph of %s, f64" % name, as_onnx("graph64." + name), net,
                   x)


CHECKS = [("graph: architectures", check_architectures)]
