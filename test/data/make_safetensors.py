#!/usr/bin/env python3
"""
Makes the safetensors files of this folder and sums_safetensors.csv, which has
a line for each tensor as the reference library reads it.  Needs torch 2.7 or
later and safetensors, and the .pth files that make.py and make2.py make.
"""
import csv
import hashlib
import json
import math
import os
import sys
from collections import OrderedDict

import torch
from safetensors import safe_open
from safetensors.torch import save

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import make  # noqa: E402


def path(name):
    return os.path.join(HERE, name)


def save_file(tensors, name, metadata=None):
    with open(path(name), "wb") as f:
        f.write(save(tensors, metadata))


def all_dtypes():
    """Those of both checkpoints with a tensor of each, and rare shapes."""
    tensors = OrderedDict(torch.load(path("dtypes.pth")))
    # those of 8 bits are views of one storage there
    for name, t in torch.load(path("dtypes2.pth")).items():
        tensors[name] = t.clone()
    tensors["shapes.scalar"] = torch.tensor(2.5)
    tensors["shapes.empty"] = torch.empty(0)
    tensors["shapes.empty_middle"] = torch.empty(2, 0, 4, dtype=torch.int64)
    tensors["shapes.one"] = torch.full((1, 1, 1, 1, 1), 0.125)
    tensors["na\u00efve.\u91cd\u307f \"\\\t"] = torch.arange(3.0)
    return tensors


def make_shards(weights):
    """The perceptron in two files, as transformers splits what is large."""
    names = list(weights)
    shards = ["digits_mlp-00001-of-00002.safetensors",
              "digits_mlp-00002-of-00002.safetensors"]
    place = {name: shards[i >= 2] for i, name in enumerate(names)}
    for shard in shards:
        save_file({name: weights[name] for name in names
                   if place[name] == shard}, shard, {"format": "pt"})
    size = sum(t.numel() * t.element_size() for t in weights.values())
    with open(path("digits_mlp.safetensors.index.json"), "w") as f:
        json.dump({"metadata": {"total_size": size}, "weight_map": place}, f,
                  indent=2)
        f.write("\n")


def describe(file):
    with safe_open(path(file), "pt") as f:
        # in the order of the file, which keys() does not have
        for name in f.offset_keys():
            t = f.get_tensor(name)
            values = t.double().reshape(-1).tolist()
            finite = [v for v in values if math.isfinite(v)]
            yield [file, name, make.DTYPES[str(t.dtype)[len("torch."):]],
                   "{%s}" % ",".join(map(str, t.shape)),
                   repr(math.fsum(finite)), len(values) - len(finite),
                   hashlib.sha256(make.storage_bytes(t)).hexdigest()]


def main():
    weights = torch.load(path("digits_mlp.pth"))
    save_file(weights, "digits_mlp.safetensors", {"format": "pt"})
    save_file(all_dtypes(), "dtypes.safetensors",
              {"description": "a \"quoted\" \\ \u91cd\u307f\n\u0001 string",
               "": "an empty key", "empty": ""})
    save_file({}, "nothing.safetensors")
    make_shards(weights)
    with open(path("sums_safetensors.csv"), "w", newline="",
              encoding="utf-8") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(["file", "tensor", "dtype", "shape", "finite_sum",
                      "not_finite", "sha256"])
        for file in ("digits_mlp.safetensors", "dtypes.safetensors",
                     "digits_mlp-00001-of-00002.safetensors",
                     "digits_mlp-00002-of-00002.safetensors"):
            out.writerows(describe(file))


if __name__ == "__main__":
    main()
