"""
Computes with an ONNX model by PyTorch's functions, node by node: a second
opinion for machines without ONNX Runtime.  Knows the operators that the graphs
in these tests have, and raises KeyError for others.
"""
import onnx
import torch
from onnx import numpy_helper
from torch.nn import functional as F


def tensor(proto):
    return torch.tensor(numpy_helper.to_array(proto))


def listed(axes):
    """Axes as an attribute or, since opset 13, as an input."""
    return axes.tolist() if torch.is_tensor(axes) else axes


def conv(x, w, b=None, **a):
    n = w.dim() - 2
    pads = a.get("pads", [0] * 2 * n)
    if any(pads):
        around = [p for i in reversed(range(n))
                  for p in (pads[i], pads[n + i])]
        x = F.pad(x, around)
    function = (F.conv1d, F.conv2d, F.conv3d)[n - 1]
    return function(x, w, b, a.get("strides", 1), 0, a.get("dilations", 1),
                    a.get("group", 1))


def conv_transpose(x, w, b=None, **a):
    n = w.dim() - 2
    pads = a.get("pads", [0] * 2 * n)
    assert pads[:n] == pads[n:]
    function = (F.conv_transpose1d, F.conv_transpose2d)[n - 1]
    return function(x, w, b, a.get("strides", 1), pads[:n],
                    a.get("output_padding", 0), a.get("group", 1))


def pool(name):
    def compute(x, **a):
        n = x.dim() - 2
        pads = a.get("pads", [0] * 2 * n)
        assert pads[:n] == pads[n:]
        function = getattr(F, "%s_pool%dd" % (name, n))
        more = ({"count_include_pad": bool(a.get("count_include_pad", 0))}
                if name == "avg" else {})
        return function(x, a["kernel_shape"], a.get("strides", 1), pads[:n],
                        ceil_mode=bool(a.get("ceil_mode", 0)), **more)
    return compute


def gemm(a, b, c=None, **o):
    a = a.t() if o.get("transA", 0) else a
    b = b.t() if o.get("transB", 0) else b
    y = o.get("alpha", 1.0) * (a @ b)
    return y if c is None else y + o.get("beta", 1.0) * c


def batch_norm(x, scale, bias, mean, var, **a):
    return F.batch_norm(x, mean, var, scale, bias, False, 0,
                        a.get("epsilon", 1e-5))


def layer_norm(x, scale, bias=None, **a):
    axis = a.get("axis", -1) % x.dim()
    return F.layer_norm(x, x.shape[axis:], scale, bias, a.get("epsilon", 1e-5))


def reshape(x, shape, **a):
    return x.reshape([x.shape[i] if n == 0 else n
                      for i, n in enumerate(shape.tolist())])


def flatten(x, **a):
    axis = a.get("axis", 1)
    return x.reshape(int(torch.tensor(x.shape[:axis]).prod()) if axis else 1,
                     -1)


def split(x, sizes=None, **a):
    axis = a.get("axis", 0)
    sizes = sizes.tolist() if sizes is not None else a.get("split")
    return torch.split(x, sizes or x.shape[axis] // a["noutputs"], axis)


def cut(x, starts, ends, axes=None, steps=None, **a):
    axes = axes.tolist() if axes is not None else range(len(starts))
    steps = steps.tolist() if steps is not None else [1] * len(starts)
    where = [slice(None)] * x.dim()
    for start, end, axis, step in zip(starts.tolist(), ends.tolist(), axes,
                                      steps):
        where[axis] = slice(start, end, step)
    return x[tuple(where)]


def reduce(function):
    def compute(x, axes=None, **a):
        axes = listed(axes)
        return function(x, axes or list(range(x.dim())),
                        bool(a.get("keepdims", 1)))
    return compute


def unsqueeze(x, axes=None, **a):
    for axis in listed(axes):
        x = x.unsqueeze(axis)
    return x


def squeeze(x, axes=None, **a):
    for axis in sorted((n % x.dim() for n in listed(axes)), reverse=True):
        x = x.squeeze(axis)
    return x


def gather(x, index, **a):
    axis = a.get("axis", 0)
    picked = torch.index_select(x, axis, index.reshape(-1))
    return picked.reshape(x.shape[:axis] + index.shape + x.shape[axis + 1:])


OPERATORS = {
    "Identity": lambda x, **a: x, "Dropout": lambda x, *n, **a: x,
    "Relu": lambda x, **a: F.relu(x), "Tanh": lambda x, **a: torch.tanh(x),
    "Sigmoid": lambda x, **a: torch.sigmoid(x),
    "Erf": lambda x, **a: torch.erf(x), "Sqrt": lambda x, **a: torch.sqrt(x),
    "LeakyRelu": lambda x, **a: F.leaky_relu(x, a.get("alpha", 0.01)),
    "Clip": lambda x, low=None, high=None, **a: torch.clamp(x, low, high),
    "HardSwish": lambda x, **a: F.hardswish(x),
    "PRelu": lambda x, slope, **a: torch.where(x < 0, x * slope, x),
    "Add": lambda x, y, **a: x + y, "Sub": lambda x, y, **a: x - y,
    "Mul": lambda x, y, **a: x * y, "Div": lambda x, y, **a: (
        x / y if x.is_floating_point() else x // y),
    "Pow": lambda x, y, **a: x ** y, "MatMul": lambda x, y, **a: x @ y,
    "Softmax": lambda x, **a: F.softmax(x, a.get("axis", -1)),
    "LogSoftmax": lambda x, **a: F.log_softmax(x, a.get("axis", -1)),
    "ReduceMax": reduce(lambda x, axes, keep: x.amax(axes, keep)),
    "Gemm": gemm, "Conv": conv, "ConvTranspose": conv_transpose,
    "BatchNormalization": batch_norm, "LayerNormalization": layer_norm,
    "MaxPool": pool("max"), "AveragePool": pool("avg"),
    "GlobalAveragePool": lambda x, **a: x.mean(list(range(2, x.dim())), True),
    "GlobalMaxPool": lambda x, **a: x.amax(list(range(2, x.dim())), True),
    "ReduceMean": reduce(lambda x, axes, keep: x.mean(axes, keep)),
    "ReduceSum": reduce(lambda x, axes, keep: x.sum(axes, keep)),
    "Reshape": reshape, "Flatten": flatten, "Split": split, "Slice": cut,
    "Transpose": lambda x, **a: x.permute(
        a.get("perm", list(reversed(range(x.dim()))))),
    "Concat": lambda *x, **a: torch.cat(x, a["axis"]),
    "Unsqueeze": unsqueeze, "Squeeze": squeeze, "Gather": gather,
    "Shape": lambda x, **a: torch.tensor(x.shape),
    "Cast": lambda x, **a: x.to({1: torch.float32, 11: torch.float64,
                                 7: torch.int64}[a["to"]]),
    "ConstantOfShape": lambda s, **a: tensor(a["value"]).expand(s.tolist()),
    "Expand": lambda x, s, **a: x.expand(
        torch.broadcast_shapes(x.shape, tuple(s.tolist()))),
    "DequantizeLinear": lambda x, s, z=None, **a: s * (
        x.to(s.dtype) - (0 if z is None else z.to(s.dtype))),
}


def attributes(node):
    return {a.name: onnx.helper.get_attribute_value(a)
            for a in node.attribute}


def compute(data, *inputs):
    """The outputs of a model, given as bytes, for tensors in the order of its
    inputs."""
    graph = onnx.load_from_string(data).graph
    values = {t.name: tensor(t) for t in graph.initializer}
    names = [i.name for i in graph.input if i.name not in values]
    values.update(zip(names, inputs), **{"": None})
    for node in graph.node:
        if node.op_type == "Constant":
            (value,) = node.attribute
            values[node.output[0]] = (
                tensor(value.t) if value.name == "value"
                else torch.tensor(onnx.helper.get_attribute_value(value)))
            continue
        given = attributes(node)
        if node.op_type == "Split":
            given["noutputs"] = len(node.output)
        made = OPERATORS[node.op_type](*(values[n] for n in node.input),
                                       **given)
        values.update(zip(node.output,
                          made if isinstance(made, tuple) else (made,)))
    return [values[o.name] for o in graph.output]
