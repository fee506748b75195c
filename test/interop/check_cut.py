"""
Nodes that are cut, against the same done by hand: rows and columns of PyTorch's
tensors, and what the network computes with them.
"""
import inspect
import io
import json
import warnings

import numpy
import torch
from torch.nn import functional as F

import cut_nets
import graph_nets
from check_graph import check_file, close, expected, onnx, set_graph
from check_onnx import as_onnx, computed, has_runtime
from harness import back, check, check_same, quote, scalar, skip, sql, store

if onnx is not None:
    import onnx_torch

# By net the groups of layers that lose nodes together, and what goes with a
# node: (tensor, axis), with how many indexes a node has there.
def perceptron_groups():
    return {"layer%d" % i: [("layer%d.weight" % i, 0), ("layer%d.bias" % i, 0),
                            ("layer%d.weight" % (i + 1), 1)]
            for i in (1, 2, 3)}


def norm(name):
    return [("%s.%s" % (name, leaf), 0)
            for leaf in ("weight", "bias", "running_mean", "running_var")]


def residual_groups(blocks=3):
    stream = [("conv1.weight", 0)] + norm("bn1")
    groups = {"conv1": stream}
    for i in range(blocks):
        block = "layer1.%d." % i
        groups[block + "conv1"] = (
            [(block + "conv1.weight", 0), (block + "conv2.weight", 1)]
            + norm(block + "bn1"))
        stream += [(block + "conv1.weight", 1), (block + "conv2.weight", 0)]
        stream += norm(block + "bn2")
    block = "layer2.0."
    stream += [(block + "conv1.weight", 1), (block + "downsample.0.weight", 1)]
    groups[block + "conv1"] = (
        [(block + "conv1.weight", 0), (block + "conv2.weight", 1)]
        + norm(block + "bn1"))
    groups[block + "conv2"] = (
        [(block + "conv2.weight", 0), (block + "downsample.0.weight", 0),
         ("fc.weight", 1)] + norm(block + "bn2")
        + norm(block + "downsample.1"))
    return groups


def transformer_groups(blocks=3):
    stream = [("embed.weight", 1), ("norm.weight", 0), ("norm.bias", 0),
              ("head.weight", 1)]
    groups = {"embed": stream}
    for i in range(blocks):
        block = "layers.%d." % i
        for n in "norm1", "norm2":
            stream += [(block + n + ".weight", 0), (block + n + ".bias", 0)]
        stream += [(block + "attn.in_proj_weight", 1),
                   (block + "attn.out_proj.weight", 0),
                   (block + "attn.out_proj.bias", 0),
                   (block + "fc1.weight", 1), (block + "fc2.weight", 0),
                   (block + "fc2.bias", 0)]
        groups[block + "fc1"] = [(block + "fc1.weight", 0),
                                 (block + "fc1.bias", 0),
                                 (block + "fc2.weight", 1)]
    return groups


def dry_run(name, arguments):
    """{layer: (group, nodes, indexes that go, why none goes)}"""
    rows = sql("SELECT layer, \"group\", nodes, array_to_json(indexes), "
               "stays_because FROM interop.models, "
               "cut_nodes_dry_run(m, %s) WHERE name = %s;"
               % (arguments, quote(name)))
    return {layer: (int(group), int(nodes), json.loads(indexes), why)
            for layer, group, nodes, indexes, why in rows}


def cut(name, arguments, function="cut_nodes"):
    """The model that comes out, as tensors and as an ONNX file."""
    sql("INSERT INTO interop.models SELECT 'cut', %s(m, %s) "
        "FROM interop.models WHERE name = %s "
        "ON CONFLICT (name) DO UPDATE SET m = excluded.m;"
        % (function, arguments, quote(name)))
    return back("cut"), as_onnx("cut")


def without(t, axis, indexes):
    keep = [i for i in range(t.shape[axis]) if i not in set(indexes)]
    return t.index_select(axis, torch.tensor(keep, dtype=torch.int64))


def importance(state, members, power):
    """Of each node of a group, from weights and norms' scales."""
    total = 0
    for name, axis in members:
        t = state[name].double().abs() ** power
        if name.endswith("weight") and not name.startswith("embed"):
            total = total + t.transpose(0, axis).reshape(t.shape[axis],
                                                         -1).sum(1)
    return total


def by_hand(state, groups, fraction, power):
    """What is left, and which nodes went."""
    state = dict(state)
    gone = {}
    for layer, members in groups.items():
        order = importance(state, members, power).argsort(stable=True)
        k = round(fraction * len(order))
        gone[layer] = sorted(order[:k].tolist())
    for layer, members in groups.items():
        for name, axis in members:
            state[name] = without(state[name], axis, gone[layer])
    return state, gone


class Adapted:
    """A net whose modules take the sizes of other tensors."""

    def __init__(self, net, state):
        for name, module in net.named_modules():
            for leaf, t in list(module._parameters.items()):
                if t is not None:
                    module._parameters[leaf] = torch.nn.Parameter(
                        state[(name + "." if name else "") + leaf])
            for leaf, t in list(module._buffers.items()):
                if t is not None:
                    module._buffers[leaf] = state[name + "." + leaf]
            if isinstance(module, torch.nn.LayerNorm):
                module.normalized_shape = tuple(module.weight.shape)
            if isinstance(module, torch.nn.Conv2d) and module.groups > 1:
                module.groups = min(
                    module.groups, module.weight.shape[0]) if (
                        module.weight.shape[1] == 1) else module.groups
        self.net = net


def attention(attn, x, size):
    """Of heads of that size, as many as there are."""
    q, k, v = F.linear(x, attn.in_proj_weight, attn.in_proj_bias).chunk(3, -1)
    q, k, v = (t.unflatten(-1, (-1, size)).transpose(1, 2) for t in (q, k, v))
    a = F.softmax(q @ k.transpose(-1, -2) / size ** 0.5, -1) @ v
    return attn.out_proj(a.transpose(1, 2).flatten(2))


def transformer_forward(net, size):
    def forward(words):
        x = net.embed(words)
        for layer in net.layers:
            x = x + attention(layer.attn, layer.norm1(x), size)
            x = x + layer.fc2(F.gelu(layer.fc1(layer.norm2(x))))
        return F.softmax(net.head(net.norm(x)), -1)
    return forward


def check_computes(what, data, forward, x):
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    with torch.no_grad():
        wanted = forward(x)
    (found,) = onnx_torch.compute(data, x)
    check(close(found, wanted, 1e-5), "%s: the file computes the same" % what,
          (found.shape, wanted.shape))
    if has_runtime():
        found = computed(data, x.numpy())
        check(close(found, wanted, 1e-5), "%s: in ONNX Runtime too" % what)


def check_by_hand():
    nets = {name: rest for name, *rest in graph_nets.nets()}
    for name, groups in (("perceptron", perceptron_groups()),
                         ("residual", residual_groups()),
                         ("transformer", transformer_groups())):
        net, architecture, x = nets[name]
        set_graph("cut." + name, net, architecture)
        state = net.state_dict()
        for method, power in (("l2", 2), ("l1", 1)):
            for fraction in (0.3, 0.5, 0.9):
                what = "cut %s, %s, %s" % (name, method, fraction)
                left, gone = by_hand(state, groups, fraction, power)
                more = (", exclude => '{*.attn}'" if name == "transformer"
                        else "")
                arguments = "%s, '%s'%s" % (fraction, method, more)
                found = dry_run("cut." + name, arguments)
                check({k: found[k][2] for k in gone} == gone,
                      "%s: the same nodes go" % what,
                      [(k, v, found[k]) for k, v in gone.items()
                       if found[k][2] != v])
                tensors, data = cut("cut." + name, arguments)
                check_same(left, tensors, "%s: what is left" % what)
                if onnx is None:
                    continue
                other = {n: r for n, *r in graph_nets.nets()}[name][0]
                net2 = Adapted(other, left).net
                forward = (transformer_forward(net2, 6)
                           if name == "transformer" else net2)
                check_computes(what, data, forward, x)


def check_heads():
    """Heads go whole: rows of queries, keys and values, columns of the
    projection."""
    net, architecture, x = {n: r for n, *r in graph_nets.nets()}["transformer"]
    set_graph("cut.heads", net, architecture)
    state = dict(net.state_dict())
    size, width = 6, 24
    for i in range(3):
        name = "layers.%d.attn" % i
        w = state[name + ".in_proj_weight"].double() ** 2
        o = state[name + ".out_proj.weight"].double() ** 2
        heads = [sum(w[p * width + h * size:p * width + (h + 1) * size].sum()
                     for p in range(3))
                 + o[:, h * size:(h + 1) * size].sum() for h in range(4)]
        gone = numpy.argsort(heads)[:2]
        rows = [h * size + j for h in gone for j in range(size)]
        for leaf in "in_proj_weight", "in_proj_bias":
            state["%s.%s" % (name, leaf)] = without(
                state["%s.%s" % (name, leaf)], 0,
                [p * width + r for p in range(3) for r in rows])
        state[name + ".out_proj.weight"] = without(
            state[name + ".out_proj.weight"], 1, rows)
    tensors, data = cut("cut.heads", "0.5, include => '{*.attn}'")
    check_same(state, tensors, "cut heads: what is left")
    if onnx is not None:
        check_computes("cut heads", data,
                       transformer_forward(Adapted(net, state).net, size), x)


def check_properties():
    """Any cut of any net: shapes fit, the checker accepts it, and a second cut
    of nothing changes nothing."""
    for name, net, architecture, x in graph_nets.nets():
        set_graph("cut." + name, net, architecture)
        for arguments in ("0.25", "0.5, 'random', seed => 7",
                          "0.4, scope => 'global'", "0.6, round_to => 4"):
            what = "cut of %s(%s)" % (name, arguments)
            tensors, data = cut("cut." + name, arguments)
            check(scalar("SELECT cut_nodes(m, 0) = m FROM interop.models "
                         "WHERE name = 'cut';") == "t",
                  "%s: cutting nothing changes nothing" % what)
            if onnx is None:
                continue
            onnx.checker.check_model(onnx.load_from_string(data),
                                     full_check=True)
            (found,) = onnx_torch.compute(data, x)
            check(found.shape == expected(net, x).shape
                  and bool(found.isfinite().all()),
                  "%s: the file computes something of the same shape" % what,
                  found.shape)
            if has_runtime():
                check(close(computed(data, x.numpy()), found, 1e-5),
                      "%s: ONNX Runtime agrees" % what)


def dead_of_perceptron(state):
    """Nodes of layers 1 to 3 that cannot change an output, by definition:
    read by nothing that lives, or always zero."""
    layers = [(state["layer%d.weight" % i].numpy(),
               state["layer%d.bias" % i].numpy()) for i in range(1, 5)]
    zero = [numpy.zeros(layers[0][0].shape[1], bool)]
    for w, b in layers:
        zero.append(((w != 0) & ~zero[-1]).sum(1) + (b != 0) == 0)
    live = numpy.ones(len(layers[3][1]), bool)
    dead = {}
    for i in (3, 2, 1):
        live = ((layers[i][0] != 0) & live[:, None]).any(0) & ~zero[i]
        dead["layer%d" % i] = numpy.flatnonzero(~live).tolist()
    return dead


def check_dead():
    """After edges have gone: nodes that are dead by definition go, and the
    file computes the same."""
    for name, net, architecture, x in graph_nets.nets():
        for fraction in (0.5, 0.9, 0.97):
            what = "dead nodes of %s, %s of the edges gone" % (name, fraction)
            with torch.no_grad():
                for key, t in net.state_dict().items():
                    if key.endswith("bias") and t[0] < 0:
                        t[::2] = 0
            set_graph("dead", net, architecture)
            sql("UPDATE interop.models SET m = cut_edges(m, %s) "
                "WHERE name = 'dead';" % fraction)
            before, state = as_onnx("dead"), back("dead")
            rows = sql("SELECT layer, array_to_json(indexes), nodes "
                       "FROM interop.models, cut_dead_nodes_dry_run(m) "
                       "WHERE name = 'dead';")
            found = {layer: json.loads(i) for layer, i, _ in rows}
            if name == "perceptron":
                wanted = dead_of_perceptron(state)
                for layer, dead in wanted.items():
                    if len(dead) == 20:
                        dead.pop()
                check({k: found[k] for k in wanted} == wanted,
                      "%s: those that are by definition" % what,
                      (wanted, found))
            if onnx is None:
                continue
            sql("UPDATE interop.models SET m = cut_dead_nodes(m) "
                "WHERE name = 'dead';")
            (a,), (b,) = (onnx_torch.compute(data, x)
                          for data in (before, as_onnx("dead")))
            check(close(a, b, 1e-6),
                  "%s: %d of %d gone, and the file computes the same"
                  % (what, sum(map(len, found.values())),
                     sum(int(n) for *_, n in rows)), abs(a - b).max())


def exported(net, inputs, dynamic, folded):
    """A net as torch exports it, its batch a symbol or a number, and shapes
    computed from others or folded into constants."""
    out = io.BytesIO()
    names = ["x%d" % i for i in range(len(inputs))]
    options = {"input_names": names, "opset_version": 14,
               "do_constant_folding": folded}
    if dynamic:
        options["dynamic_axes"] = {n: {0: "batch"} for n in names}
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        options["dynamo"] = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, inputs, out, **options)
    return out.getvalue()


def zeroed(net, found):
    """The net with the weights zero that make the nodes which go."""
    modules = dict(net.named_modules())
    with torch.no_grad():
        for layer, (_, _, gone, _) in found.items():
            module = modules[layer]
            transposed = isinstance(module, torch.nn.ConvTranspose2d)
            module.weight[(slice(None),) * transposed + (gone,)] = 0
    return net


def check_operators():
    """What depends on each other goes together: the cut file computes what
    the net does whose nodes are zero instead."""
    if onnx is None:
        skip("cut: operators", "there is no onnx package")
        return
    for dynamic, folded in ((True, True), (True, False), (False, True)):
        for name, net, inputs in cut_nets.nets():
            what = "cut %s with a batch that is %s%s" % (
                name, "a symbol" if dynamic else "a number",
                "" if folded else ", not folded")
            store("cut.op", exported(net, inputs, dynamic, folded))
            before = as_onnx("cut.op")
            # Sequences of fixed length have queries that may not go alone.
            found = dry_run("cut.op", "0.5")
            _, data = cut("cut.op", "0.5")
            gone = {k: v[2] for k, v in found.items() if v[2]}
            free = [k for k, v in found.items() if v[3] == "NULL"]
            check(len(gone) > 0 and set(gone) == set(free),
                  "%s: all layers lose nodes but those that cannot: %s"
                  % (what, sorted(set(found) - set(free))), found)
            onnx.checker.check_model(onnx.load_from_string(data),
                                     full_check=True)
            with torch.no_grad():
                wanted = zeroed(net, found)(*inputs)
            wanted = wanted if isinstance(wanted, tuple) else (wanted,)
            computed_ = onnx_torch.compute(data, *inputs)
            check(len(data) < len(before)
                  and all(close(a, b, 1e-5)
                          for a, b in zip(computed_, wanted)),
                  "%s: the same as with zeros" % what)


CHECKS = [("cut: operators", check_operators), ("cut: dead nodes", check_dead), ("cut: by hand", check_by_hand), ("cut: heads", check_heads),
          ("cut: properties", check_properties)]
