"""
A transformer's weights and what becomes of them: the pairs of checkpoints that
storage is measured with.

Weights are normal with a deviation of 0.02: twelve layers of q, k, v, o, up and
down, an embedding of tokens and a head.  Each change is one that people make
between two versions.
"""
import json
import os
import struct

import numpy

LAYERS = 12

CHANGES = ("identical", "last layer", "dense 1e-5", "dense 1e-4", "dense 1e-3",
           "sparse 1 %", "lora", "appended", "pruned")


class Weights:
    def __init__(self, width):
        self.random = numpy.random.default_rng(7)
        self.width = width
        tokens = 34 * width
        shapes = {"embed": (tokens, width)}
        for layer in range(LAYERS):
            for name in ("q", "k", "v", "o"):
                shapes["layer.%d.%s" % (layer, name)] = (width, width)
            shapes["layer.%d.up" % layer] = (4 * width, width)
            shapes["layer.%d.down" % layer] = (width, 4 * width)
        shapes["head"] = (tokens, width)
        self.base = {name: self.normal(shape) * numpy.float32(0.02)
                     for name, shape in shapes.items()}

    def normal(self, shape):
        return self.random.standard_normal(shape, dtype=numpy.float32)

    def noise(self, weight, deviation):
        return weight + self.normal(weight.shape) * numpy.float32(deviation)

    def changed(self, change):
        """The tensors after a change; those that stay are the same objects.
        Pruning is left to whom it is measured for."""
        kind, _, amount = change.partition(" ")
        return {name: getattr(self, kind)(name, weight, amount)
                for name, weight in self.base.items()}

    def identical(self, name, weight, amount):
        return weight

    pruned = identical

    def last(self, name, weight, amount):
        there = name.startswith("layer.%d." % (LAYERS - 1)) or name == "head"
        return self.noise(weight, 1e-3) if there else weight

    def dense(self, name, weight, amount):
        return self.noise(weight, float(amount))

    def sparse(self, name, weight, amount):
        touched = self.random.random(weight.shape, dtype=numpy.float32) < 0.01
        return numpy.where(touched, self.noise(weight, 1e-3), weight)

    def lora(self, name, weight, amount):
        if name.rpartition(".")[2] not in ("q", "v"):
            return weight
        rows, columns = weight.shape
        return weight + (self.normal((rows, 8)) @ self.normal((8, columns))
                         ) * numpy.float32(1e-4)

    def appended(self, name, weight, amount):
        if name != "embed":
            return weight
        return numpy.concatenate([weight, self.normal((16, self.width)) *
                                  numpy.float32(0.02)])


def to_bf16(weight):
    """Rounded to nearest even."""
    bits = weight.astype(numpy.float32, copy=False).view(numpy.uint32)
    return ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16)


def save(path, weights, dtype):
    """A safetensors file; returns the bytes of the tensors."""
    header = {}
    stored = []
    offset = 0
    for name, weight in weights.items():
        data = to_bf16(weight) if dtype == "BF16" else weight
        header[name] = {"dtype": dtype, "shape": list(weight.shape),
                        "data_offsets": [offset, offset + data.nbytes]}
        offset += data.nbytes
        stored.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for data in stored:
            file.write(numpy.ascontiguousarray(data).tobytes())
    return offset


DIGITS = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      "..", "test", "data", "digits_test.csv")


def trained_pair():
    """The weights of a perceptron that learns the digits of the tests, after
    twenty epochs and after one more, as arrays by name."""
    import torch
    rows = numpy.loadtxt(DIGITS, delimiter=",", skiprows=1, dtype=numpy.float32)
    labels = torch.tensor(rows[:, 0]).long()
    pixels = torch.tensor(rows[:, 1:] / 16)
    torch.manual_seed(7)
    layers = torch.nn.Sequential(
        torch.nn.Linear(64, 2048), torch.nn.ReLU(),
        torch.nn.Linear(2048, 2048), torch.nn.ReLU(),
        torch.nn.Linear(2048, 10))
    adam = torch.optim.Adam(layers.parameters(), lr=1e-4)
    pair = []
    for epoch in range(21):
        for batch in torch.randperm(len(labels)).split(10):
            adam.zero_grad()
            torch.nn.functional.cross_entropy(layers(pixels[batch]),
                                              labels[batch]).backward()
            adam.step()
        if epoch >= 19:
            pair.append({name: weight.detach().numpy().copy()
                         for name, weight in layers.state_dict().items()})
    return pair
