#!/usr/bin/python3
"""
Makes cut.csv: what is left of the networks of this folder when layers, nodes
and edges are cut, by torch and not by modelopt.  Columns: case, tensor, shape,
and the SHA-256 of the elements, big-endian as PostgreSQL sends them.  Also
which nodes go, in cut_nodes.csv: case, layer, indexes.

Needs torch 1.13 or later and the .pth files that make.py makes.
"""
import csv
import hashlib
import os

import torch

HERE = os.path.dirname(os.path.abspath(__file__))


def load(file):
    found = torch.load(os.path.join(HERE, file))
    return dict(found.get("state_dict", found))


def keep_of(n, gone):
    return torch.tensor([i for i in range(n) if i not in set(gone)])


def without(state, name, axis, gone):
    t = state[name]
    state[name] = t.index_select(axis, keep_of(t.shape[axis], gone))


def lowest(state, members, k, power):
    """The k nodes of the smallest importance: rows of the weights that make
    them, columns of those that read them, scales of norms."""
    total = 0
    for name, axis, per in members:
        if not name.endswith("weight"):
            continue
        t = state[name].double().abs() ** power
        t = t.transpose(0, axis).reshape(t.shape[axis] // per, -1).sum(1)
        total = total + t
    return sorted(torch.argsort(total, stable=True)[:k].tolist())


MLP = {"layer1": [("layer1.weight", 0, 1), ("layer1.bias", 0, 1),
                  ("layer2.weight", 1, 1)],
       "layer2": [("layer2.weight", 0, 1), ("layer2.bias", 0, 1),
                  ("layer3.weight", 1, 1)]}
NORM = ("weight", "bias", "running_mean", "running_var")
CNN = {"conv1": [("conv1.weight", 0, 1), ("conv2.weight", 1, 1)]
       + [("bn1." + leaf, 0, 1) for leaf in NORM],
       # a channel is four features of the linear layer
       "conv2": [("conv2.weight", 0, 1), ("fc.weight", 1, 4)]
       + [("bn2." + leaf, 0, 1) for leaf in NORM]}


def cut(state, groups, count, power=2):
    """Returns what is left, and what went of each group's layer."""
    gone = {layer: lowest(state, members, count(layer), power)
            for layer, members in groups.items()}
    state = dict(state)
    for layer, members in groups.items():
        for name, axis, per in members:
            without(state, name, axis,
                    [i * per + j for i in gone[layer] for j in range(per)])
    return state, gone


def half(sizes, fraction):
    return lambda layer: round(fraction * sizes[layer])


def bn_scale(state):
    gone = {layer: sorted(torch.argsort(
        state[norm + ".weight"].abs(), stable=True)[:k].tolist())
            for layer, norm, k in (("conv1", "bn1", 2), ("conv2", "bn2", 4))}
    state = dict(state)
    for layer, members in CNN.items():
        for name, axis, per in members:
            without(state, name, axis,
                    [i * per + j for i in gone[layer] for j in range(per)])
    return state, gone


def edges(state, amount, names):
    """The smallest magnitudes of all weights together become zero."""
    state = {n: t.clone() for n, t in state.items()}
    flat = torch.cat([state[n].reshape(-1).abs() for n in names])
    k = round(amount * flat.numel())
    order = torch.argsort(flat, stable=True)[:k]
    mask = torch.ones(flat.numel(), dtype=torch.bool)
    mask[order] = False
    at = 0
    for n in names:
        t = state[n]
        t[~mask[at:at + t.numel()].reshape(t.shape)] = 0
        at += t.numel()
    return state


def dead(state):
    """Of the perceptron: nodes that nothing reads, or that are always zero."""
    weights = [state["layer%d.weight" % i] for i in (1, 2, 3)]
    biases = [state["layer%d.bias" % i] for i in (1, 2, 3)]
    zero = [torch.zeros(64, dtype=torch.bool)]
    for w, b in zip(weights, biases):
        zero.append(((w != 0) & ~zero[-1]).sum(1) + (b != 0) == 0)
    live = torch.ones(10, dtype=torch.bool)
    gone = {}
    for i in (2, 1):
        live = ((weights[i] != 0) & live[:, None]).any(0) & ~zero[i]
        gone["layer%d" % i] = torch.nonzero(~live).reshape(-1).tolist()
    state = dict(state)
    for layer, members in MLP.items():
        for name, axis, _ in members:
            without(state, name, axis, gone[layer])
    return state, gone


def cases():
    mlp, cnn = load("digits_mlp.pth"), load("digits_cnn.pth")
    sizes = {"layer1": 32, "layer2": 16, "conv1": 8, "conv2": 16}
    yield "mlp_0.3", *cut(mlp, MLP, half(sizes, 0.3))
    yield "mlp_l1_0.5", *cut(mlp, MLP, half(sizes, 0.5), 1)
    yield "mlp_count_5", *cut(mlp, MLP, lambda layer: 5)
    # Of 32 nodes 22 would stay, of 16 nodes 11: 24 and 8 are nearest.
    yield "mlp_round_8", *cut(mlp, MLP,
                              lambda layer: {"layer1": 8, "layer2": 8}[layer])
    yield "cnn_0.5", *cut(cnn, CNN, half(sizes, 0.5))
    yield "cnn_bn_scale", *bn_scale(cnn)
    pruned = edges(mlp, 0.9, ["layer%d.weight" % i for i in (1, 2, 3)])
    yield "mlp_edges_0.9", pruned, {}
    yield "mlp_dead_0.9", *dead(pruned)


def main():
    with open(os.path.join(HERE, "cut.csv"), "w", newline="") as sums, \
            open(os.path.join(HERE, "cut_nodes.csv"), "w", newline="") as went:
        sums, went = (csv.writer(f, lineterminator="\n") for f in (sums, went))
        sums.writerow(["case", "tensor", "shape", "sha256"])
        went.writerow(["case", "layer", "indexes"])
        for case, state, gone in cases():
            for layer, indexes in gone.items():
                went.writerow([case, layer,
                               "{%s}" % ",".join(map(str, indexes))])
            for name, t in state.items():
                data = t.float().numpy().astype(">f4").tobytes()
                sums.writerow([case, name,
                               "{%s}" % ",".join(map(str, t.shape)),
                               hashlib.sha256(data).hexdigest()])


if __name__ == "__main__":
    main()
