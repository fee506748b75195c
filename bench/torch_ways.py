"""
What one would do without modelopt, with PyTorch or NumPy: the same results
by torch's own functions, and by what somebody would write who knows better.
"""
import io
import os
import sys

import numpy
import torch
from torch.nn.utils import prune

SEED = 1
EDGE = 2000                     # of a weight matrix


def make_weights(millions):
    """Normal weights, in matrices of 4 million."""
    torch.manual_seed(SEED)
    rows = [EDGE] * (millions // 4)
    if millions % 4:
        rows.append(EDGE * (millions % 4) // 4)
    return {"layers.%d.weight" % i: torch.randn(n, EDGE)
            for i, n in enumerate(rows)}


def modules(weights):
    """Modules whose weights these are, as torch prunes no tensors."""
    made = []
    for weight in weights.values():
        module = torch.nn.Module()
        module.weight = torch.nn.Parameter(weight, requires_grad=False)
        made.append(module)
    return made


# ---------- half of the weights, over all tensors ----------

def prune_globally(owners, amount=0.5):
    where = [(owner, "weight") for owner in owners]
    prune.global_unstructured(where, pruning_method=prune.L1Unstructured,
                              amount=amount)
    for owner, name in where:
        prune.remove(owner, name)
    return [owner.weight for owner in owners]


def prune_by_kthvalue(weights, amount=0.5):
    magnitudes = torch.cat([w.abs().view(-1) for w in weights.values()])
    k = round(amount * magnitudes.numel())
    threshold = magnitudes.kthvalue(k).values
    return [w * (w.abs() > threshold) for w in weights.values()]


def prune_by_partition(weights, amount=0.5):
    """weights are arrays."""
    magnitudes = numpy.concatenate([numpy.abs(w).ravel()
                                    for w in weights.values()])
    k = round(amount * magnitudes.size)
    magnitudes.partition(k - 1)
    threshold = magnitudes[k - 1]
    return [w * (numpy.abs(w) > threshold) for w in weights.values()]


# ---------- other methods ----------

def prune_rows(owners, amount=0.5):
    for owner in owners:
        prune.ln_structured(owner, "weight", amount, n=2, dim=0)
        prune.remove(owner, "weight")
    return [owner.weight for owner in owners]


def keep_two_of_four(weights):
    result = []
    for w in weights.values():
        groups = w.view(-1, 4)
        mask = torch.zeros_like(groups)
        mask.scatter_(1, groups.abs().topk(2, dim=1).indices, 1)
        result.append((groups * mask).view(w.shape))
    return result


def statistics(weights):
    """As stats() has them."""
    return [(w.min().item(), w.max().item(), w.mean().item(), w.std().item(),
             w.abs().sum().item(), w.norm().item(), (w == 0).sum().item(),
             w.isnan().sum().item(), w.isinf().sum().item())
            for w in weights.values()]


# ---------- files ----------

def save_to_memory(weights):
    out = io.BytesIO()
    torch.save(weights, out)
    return out


def sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def prune_file(source, destination):
    """The job that updates a table's row: from file to file, on disk."""
    weights = torch.load(source)
    owners = modules(weights)
    pruned = prune_globally(owners)
    torch.save(dict(zip(weights, pruned)), destination)
    sync(destination)


def main():
    """Prunes a file in a process of its own, and prints seconds and peak."""
    import time
    import harness
    torch.set_num_threads(1)
    memory = harness.PeakMemory(os.getpid())
    began = time.perf_counter()
    prune_file(sys.argv[1], sys.argv[2])
    print(time.perf_counter() - began, memory.stop())


if __name__ == "__main__":
    main()
