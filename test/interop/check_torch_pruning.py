"""
The same channels go as with Torch-Pruning, where Python has it, at the same
count: its own rounding of ratios is another one.
"""
import copy

import torch

import cut_nets
import graph_nets
from check_cut import cut, dry_run, exported
from check_graph import set_graph
from harness import check, check_same, skip, store

try:
    import torch_pruning
except ImportError:
    torch_pruning = None


def pruned(net, inputs, ratio, ignored, p, **options):
    """What Torch-Pruning leaves: its state."""
    net = copy.deepcopy(net)
    importance = torch_pruning.importance.GroupMagnitudeImportance(p=p)
    modules = dict(net.named_modules())
    pruner = torch_pruning.pruner.MagnitudePruner(
        net, inputs, importance=importance, pruning_ratio=ratio,
        ignored_layers=[modules[name] for name in ignored], **options)
    pruner.step()
    return net.state_dict()


def check_parity():
    title = "Torch-Pruning"
    if torch_pruning is None:
        skip(title, "there is no torch_pruning")
        return
    nets = {n: r for n, *r in graph_nets.nets()}
    # Ratios whose counts are whole numbers: both round them alike.
    for name, outputs in (("perceptron", ["layer4"]), ("residual", ["fc"])):
        net, architecture, x = nets[name]
        set_graph("tp." + name, net, architecture)
        for ratio in (0.25, 0.5, 0.75):
            for p in (1, 2):
                theirs = pruned(net, x, ratio, outputs, p)
                ours, _ = cut("tp." + name, "%s, 'l%d'" % (ratio, p))
                check_same(theirs, ours, "%s: %s, l%d, %s"
                           % (title, name, p, ratio))
    for name, net, inputs in cut_nets.nets():
        outputs = {"Concat": ["fc"], "CascadedConcat": ["fc"],
                   "Slices": ["fc"], "Groups": ["fc"]}.get(name)
        if outputs is None:
            continue
        store("tp.op", exported(net, inputs, False, True))
        with torch.enable_grad():
            theirs = pruned(net, inputs[0], 0.5, outputs, 2)
        found = dry_run("tp.op", "0.5")
        shapes = {layer: (theirs[layer + ".weight"].shape[0],
                          nodes - len(indexes))
                  for layer, (_, nodes, indexes, _) in found.items()}
        # Odd counts are rounded down there and half to even here.
        check(all(abs(a - b) <= 1 for a, b in shapes.values()),
              "%s: %s, as many stay" % (title, name), shapes)


CHECKS = [("Torch-Pruning", check_parity)]
