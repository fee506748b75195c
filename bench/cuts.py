"""
Cutting nodes, against Torch-Pruning where Python has it, and against picking
rows and columns by hand, the nodes being known.
"""
import copy
import io
import os
import sys

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "test", "interop"))
import graph_nets  # noqa: E402

try:
    import torch_pruning
except ImportError:
    torch_pruning = None


def nets():
    """(name, net, architecture, an input, layers whose outputs stay)"""
    sizes = (4096, 4096, 4096, 4096, 1000)
    yield ("perceptron", graph_nets.perceptron(*sizes),
           graph_nets.perceptron_architecture(*sizes),
           torch.randn(1, sizes[0]), "layer4")
    yield ("residual", graph_nets.Residual(256, 6, 1000),
           graph_nets.Residual.architecture(6), torch.randn(1, 3, 32, 32),
           "fc")


def parameters(net):
    return sum(p.numel() for p in net.parameters())


def checkpoint(net):
    out = io.BytesIO()
    torch.save(net.state_dict(), out)
    return out.getvalue()


def torch_prunes(net, x, output):
    """Torch-Pruning, from tracing to the smaller network."""
    pruner = torch_pruning.pruner.MagnitudePruner(
        net, x, importance=torch_pruning.importance.GroupMagnitudeImportance(
            p=2), pruning_ratio=0.5,
        ignored_layers=[dict(net.named_modules())[output]])
    pruner.step()
    return net


def copies(net):
    """Networks that can be pruned, each once."""
    return copy.deepcopy(net)
