"""
Layers that are cut, against networks in PyTorch that were built without them.
"""
import json

import numpy
import torch

import graph_nets
from check_cut import check_computes
from check_graph import expected, onnx, set_graph
from check_onnx import as_onnx
from harness import (back, check, check_same, DatabaseError, quote, saved, sql,
                     scalar, store)


def cut(name, arguments):
    sql("INSERT INTO interop.models SELECT 'cut', cut_layers(m, %s) "
        "FROM interop.models WHERE name = %s "
        "ON CONFLICT (name) DO UPDATE SET m = excluded.m;"
        % (arguments, quote(name)))
    return back("cut")


def renumbered(state, prefix, gone):
    """Tensors without some blocks, the others renumbered."""
    out = {}
    for name, t in state.items():
        if not name.startswith(prefix + "."):
            out[name] = t
            continue
        number, _, rest = name[len(prefix) + 1:].partition(".")
        if int(number) in gone:
            continue
        number = int(number) - sum(g < int(number) for g in gone)
        out["%s.%d.%s" % (prefix, number, rest)] = t
    return out


def check_blocks():
    cases = (
        ("transformer", "layers", 3,
         lambda n: graph_nets.Transformer(blocks=n)),
        ("transformer_after", "layers", 3,
         lambda n: graph_nets.Transformer(blocks=n, before=False)),
        ("residual", "layer1", 3, lambda n: graph_nets.Residual(blocks=n)))
    nets = {n: r for n, *r in graph_nets.nets()}
    for name, prefix, blocks, make in cases:
        net, architecture, x = nets[name]
        set_graph("layers." + name, net, architecture)
        store("names." + name, saved(net.state_dict()))
        for gone in ((1,), (0,), (2,), (0, 2), (1, 2)):
            what = "cut blocks %s of %s" % (gone, name)
            layers = ",".join("%s.%d" % (prefix, g) for g in gone)
            left = renumbered(net.state_dict(), prefix, gone)
            tensors = cut("layers." + name, quote("{%s}" % layers))
            check_same(left, tensors, "%s: what is left" % what)
            if onnx is not None:
                smaller = make(blocks - len(gone)).eval()
                smaller.load_state_dict(left)
                check_computes(what, as_onnx("cut"), smaller, x)
            tensors = cut("names." + name, quote("{%s}" % layers))
            check_same(left, tensors, "%s, without a graph" % what)
        left = renumbered(net.state_dict(), prefix, (1, 2))
        check_same(left, cut("layers." + name,
                             quote("%s.[1-2]" % prefix)),
                   "cut a range of blocks of " + name)


def check_fraction():
    """The block whose weights have the smallest mean magnitude goes."""
    net, architecture, x = {n: r for n, *r in graph_nets.nets()}["transformer"]
    set_graph("layers.fraction", net, architecture)
    state = net.state_dict()

    def mean(i):
        weights = [t.double().abs() for n, t in state.items()
                   if n.startswith("layers.%d." % i) and t.dim() > 1]
        return float(sum(w.sum() for w in weights)
                     / sum(w.numel() for w in weights))

    means = [mean(i) for i in range(3)]
    rows = sql("SELECT layer, importance FROM interop.models, "
               "cut_layers_dry_run(m, 0) WHERE name = 'layers.fraction' "
               "AND layer ~ '^layers.[0-9]$';")
    check(numpy.allclose([float(r[1]) for r in rows], means, rtol=1e-12),
          "importance of blocks is the mean magnitude", (rows, means))
    order = numpy.argsort(means)
    for fraction, k in ((0.25, 1), (0.5, 2), (0.7, 2), (1, 3)):
        left = renumbered(state, "layers", order[:k].tolist())
        check_same(left, cut("layers.fraction", str(fraction)),
                   "a fraction of %s of the blocks" % fraction)
    similarity = json.dumps({"layers.0": 0.5, "layers.1": 0.9,
                             "layers.2": 0.7})
    check_same(renumbered(state, "layers", [1]),
               cut("layers.fraction", "0.4, 'similarity', %s"
                   % quote(similarity)), "the most similar block goes")


def check_perceptron():
    """A layer in the middle goes with its activation."""
    net, architecture, x = {n: r for n, *r in graph_nets.nets()}["perceptron"]
    set_graph("layers.perceptron", net, architecture)
    for gone in (("layer2",), ("layer3",), ("layer2", "layer3")):
        left = {n: t for n, t in net.state_dict().items()
                if n.split(".")[0] not in gone}
        tensors = cut("layers.perceptron", quote("{%s}" % ",".join(gone)))
        check_same(left, tensors, "cut %s of a perceptron" % (gone,))
        if onnx is None:
            continue
        smaller = torch.nn.Sequential(*(
            m for n, m in net.named_children()
            if n not in gone and n.replace("act", "layer") not in gone))
        check_computes("cut %s of a perceptron" % (gone,), as_onnx("cut"),
                       smaller, x)
        nodes = sql("SELECT op_type FROM interop.models, nodes(m) "
                    "WHERE models.name = 'cut' ORDER BY position;")
        check(len(nodes) == 7 - 2 * len(gone),
              "cut %s of a perceptron: activations go too" % (gone,), nodes)
    for layer in "layer1", "layer4":
        try:
            cut("layers.perceptron", quote(layer))
            check(False, "%s does not fit" % layer)
        except DatabaseError as e:
            check(e.sqlstate == "22023", "%s does not fit" % layer, e)


CHECKS = [("layers: blocks", check_blocks),
          ("layers: fraction", check_fraction),
          ("layers: perceptron", check_perceptron)]
