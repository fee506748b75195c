"""
ONNX graphs put together at random, of operators that hand nodes on, mix them or
fix them, with weights of which many are zero.

Values are [1, places, features]; what a graph takes is "x" of [1, 3, 4] and
what it gives is [1, 3].  The same seed gives the same graph.
"""
import random
import struct

import numpy

from onnx_wire import bytes_field, integer_field, varint

ELEMENT_TYPES = {"float32": 1, "int64": 7}
MOST_PLACES, MOST_FEATURES = 10, 14


def text(number, string):
    return bytes_field(number, string.encode())


def attribute(name, value):
    if isinstance(value, float):
        content = varint(2 << 3 | 5) + struct.pack("<f", value) + integer_field(20, 1)
    elif isinstance(value, int):
        content = integer_field(3, value) + integer_field(20, 2)
    else:
        content = b"".join(integer_field(8, v) for v in value) + integer_field(20, 7)
    return bytes_field(5, text(1, name) + content)


def value_info(number, name, dims):
    shape = b"".join(bytes_field(1, integer_field(1, d)) for d in dims)
    tensor = integer_field(1, 1) + bytes_field(2, shape)
    return bytes_field(number, text(1, name) + bytes_field(2, bytes_field(1, tensor)))


class Graph:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.numbers = numpy.random.RandomState(seed)
        self.nodes = self.initializers = b""
        self.names = 0
        self.values = [("x", 3, 4)]
        for _ in range(self.random.randint(4, 24)):
            self.random.choice(STEPS)(self, *self.pick())
        self.close()

    # ---------- pieces ----------

    def name(self):
        self.names += 1
        return "v%d" % self.names

    def node(self, op, *inputs, outputs=1, **attributes):
        names = [self.name() for _ in range(outputs)]
        self.nodes += bytes_field(1, b"".join(
            [text(1, i) for i in inputs] + [text(2, o) for o in names]
            + [text(3, "n_" + names[0]), text(4, op)]
            + [attribute(*a) for a in attributes.items()]))
        return names[0] if outputs == 1 else names

    def constant(self, array):
        name = self.name()
        self.initializers += bytes_field(5, b"".join(
            [integer_field(1, d) for d in array.shape]
            + [integer_field(2, ELEMENT_TYPES[array.dtype.name]), text(8, name),
               bytes_field(9, array.tobytes())]))
        return name

    def integers(self, *numbers):
        return self.constant(numpy.array(numbers, "int64"))

    def weights(self, *shape):
        """Few numbers, exact in binary, whole rows and columns of zeros."""
        w = self.numbers.randint(1, 5, size=shape) / 4 * self.numbers.choice([-1, 1], shape)
        w *= self.numbers.rand(*shape) < self.random.choice([.15, .3, .5, 1])
        for axis in range(len(shape) if len(shape) > 1 else 0):
            if self.random.random() < .6:
                gone = [slice(None)] * len(shape)
                gone[axis] = self.numbers.rand(shape[axis]) < .4
                w[tuple(gone)] = 0
        return self.constant(w.astype("float32"))

    def pick(self, fits=lambda places, features: True):
        """A value, mostly one of the last; itself always fits itself."""
        found = [v for v in self.values if fits(*v[1:])]
        return self.random.choice(found[-6:] if self.random.random() < .7 else found)

    def add(self, name, places, features):
        if places <= MOST_PLACES and features <= MOST_FEATURES:
            self.values.append((name, places, features))

    def turned(self, x):
        return self.node("Transpose", x, perm=[0, 2, 1])

    def close(self):
        """The output is made of the last values."""
        parts = [self.node("ReduceSum", self.node("MatMul", x, self.weights(features, 3)),
                           self.integers(1), keepdims=1)
                 for x, places, features in self.values[-3:]]
        self.output = parts[0]
        for part in parts[1:]:
            self.output = self.node("Add", self.output, part)
        self.output = self.node("Squeeze", self.output, self.integers(1))

    def file(self):
        graph = (self.nodes + text(2, "random") + self.initializers
                 + value_info(11, "x", [1, 3, 4]) + value_info(12, self.output, [1, 3]))
        return (integer_field(1, 8) + bytes_field(7, graph)
                + bytes_field(8, text(1, "") + integer_field(2, 17)))


# ---------- steps: what comes of a value x of n places and m features ----------

def linear(g, x, n, m):
    out = g.random.randint(2, 6)
    w = g.weights(m, out) if g.random.random() < .7 else \
        g.node("Transpose", g.weights(out, m), perm=[1, 0])
    y = g.node("MatMul", x, w)
    if g.random.random() < .4:
        y = g.node("Add", *g.random.sample([y, g.weights(out)], 2))
    g.add(y, n, out)


def left_linear(g, x, n, m):
    out = g.random.randint(2, 5)
    g.add(g.node("MatMul", g.weights(out, n), x), out, m)


def unary(g, x, n, m):
    g.add(g.node(g.random.choice(["Relu", "Tanh", "LeakyRelu", "Sigmoid", "Neg", "Abs",
                                  "Erf", "Softplus", "Identity", "Elu", "Round"]), x), n, m)


def binary(g, x, n, m):
    y, others, _ = g.pick(lambda places, features: features == m and places in (1, n))
    op = g.random.choice(["Add", "Mul", "Sub", "Max", "Min", "Sum"])
    g.add(g.node(op, *g.random.sample([x, y], 2)), max(n, others), m)


def with_vector(g, x, n, m):
    shape = g.random.choice([(m,), (1, n, m), (1, n, 1)])
    g.add(g.node(g.random.choice(["Mul", "Add", "PRelu", "Max"]), x, g.weights(*shape)), n, m)


def concat_features(g, x, n, m):
    y, _, others = g.pick(lambda places, features: places == n)
    g.add(g.node("Concat", *g.random.sample([x, y], 2), axis=2), n, m + others)


def concat_places(g, x, n, m):
    y, others, _ = g.pick(lambda places, features: features == m)
    g.add(g.node("Concat", *g.random.sample([x, y, g.weights(1, 1, m)], 3), axis=1),
          n + others + 1, m)


def split(g, x, n, m):
    part = g.random.randint(1, m - 1) if m > 1 else 0
    if part == 0:
        return
    a, b = g.node("Split", x, g.integers(part, m - part), outputs=2, axis=2) \
        if 2 * part != m else g.node("Split", x, outputs=2, axis=2)
    g.add(a, n, part)
    g.add(b, n, m - part)


def take_slice(g, x, n, m):
    start = g.random.randrange(m)
    end = g.random.randint(start + 1, m)
    g.add(g.node("Slice", x, g.integers(start), g.integers(end), g.integers(2)), n, end - start)


def gather(g, x, n, m):
    wanted = [g.random.randrange(n) for _ in range(g.random.randint(1, 3))]
    g.add(g.node("Gather", x, g.integers(*wanted), axis=1), len(wanted), m)
    wanted = [g.random.randrange(m) for _ in range(g.random.randint(1, 4))]
    g.add(g.node("Gather", x, g.integers(*wanted), axis=2), n, len(wanted))


def shuffle(g, x, n, m):
    if m % 2 == 0:
        y = g.node("Reshape", x, g.integers(*g.random.choice([(1, n, 2, m // 2), (0, 0, 2, -1)])))
        y = g.node("Transpose", y, perm=[0, 1, 3, 2])
        g.add(g.node("Reshape", y, g.integers(*g.random.choice([(1, n, m), (0, 0, -1)]))), n, m)


def heads(g, x, n, m):
    if m % 2 == 0:
        y = g.node("Reshape", x, g.integers(0, 0, 2, m // 2))
        y = g.node("Transpose", y, perm=[0, 2, 1, 3])
        scores = g.node("MatMul", y, g.node("Transpose", y, perm=[0, 1, 3, 2]))
        y = g.node("Transpose", g.node("MatMul", scores, y), perm=[0, 2, 1, 3])
        g.add(g.node("Reshape", y, g.integers(0, 0, -1)), n, m)


def flatten(g, x, n, m):
    out = g.random.randint(2, 6)
    y = g.node("Flatten", x, axis=1) if g.random.random() < .5 else \
        g.node("Reshape", x, g.integers(1, -1))
    y = g.node("Gemm", y, g.weights(out, n * m), g.weights(out), transB=1)
    g.add(g.node("Unsqueeze", y, g.integers(1)), 1, out)


def norm(g, x, n, m):
    if g.random.random() < .5:
        g.add(g.node("LayerNormalization", x, g.weights(m), g.weights(m), axis=-1), n, m)
    else:
        y = g.node("InstanceNormalization", g.turned(x), g.weights(m), g.weights(m))
        g.add(g.turned(y), n, m)


def reduce(g, x, n, m):
    g.add(g.node("ReduceMean", x, axes=[1], keepdims=1), 1, m)
    g.add(g.node("ReduceMax", x, axes=[2], keepdims=1), n, 1)


def expand(g, x, n, m):
    y = g.node("ReduceMean", x, axes=[1], keepdims=1)
    g.add(g.node("Expand", y, g.integers(1, 4, g.random.choice([1, m]))), 4, m)


def softmax(g, x, n, m):
    g.add(g.node("Softmax", x, axis=g.random.choice([1, 2])), n, m)


def product(g, x, n, m):
    y, others, _ = g.pick(lambda places, features: features == m)
    g.add(g.node("MatMul", x, g.turned(y)), n, others)


def conv(g, x, n, m):
    groups = g.random.choice([1, 1, 2, m])
    if m % groups == 0:
        out = groups * g.random.randint(1, 2) if groups > 1 else g.random.randint(2, 6)
        y = g.node("Conv", g.turned(x), g.weights(out, m // groups, 3), g.weights(out),
                   group=groups, pads=[1, 1], kernel_shape=[3])
        g.add(g.turned(y), n, out)


def conv_transpose(g, x, n, m):
    y = g.node("ConvTranspose", g.turned(x), g.weights(m, 3, 3), pads=[1, 1], kernel_shape=[3])
    y = g.node("BatchNormalization", y, g.weights(3), g.weights(3), g.weights(3),
               g.constant(numpy.ones(3, "float32")))
    g.add(g.turned(y), n, 3)


def pool(g, x, n, m):
    if n > 1:
        y = g.node(g.random.choice(["MaxPool", "AveragePool"]), g.turned(x), kernel_shape=[2],
                   strides=[1])
        g.add(g.turned(y), n - 1, m)


def by_size(g, x, n, m):
    size = g.node("Size", x) if g.random.random() < .3 else \
        g.node("Gather", g.node("Shape", x), g.integers(2), axis=0)
    g.add(g.node("Div", x, g.node("Sqrt", g.node("Cast", size, to=1))), n, m)


STEPS = [linear, linear, linear, linear, left_linear, unary, binary, binary, with_vector,
         concat_features, concat_places, split, take_slice, gather, shuffle, heads, flatten,
         norm, reduce, expand, softmax, product, conv, conv_transpose, pool, by_size]
