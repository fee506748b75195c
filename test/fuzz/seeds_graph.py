"""
Architectures for the model of fuzz_graph.c, and graphs that others made.
"""
import os

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(os.path.dirname(HERE), "data")

TEXTS = {
    "mlp": "l:linear relu s:linear gelu b.0:linear silu",
    "blocks": "l:linear x:relu b.0:linear y:add(x) b.1:linear add(y)",
    "conv": "input(3x?x9) c:conv2d(padding=1, stride=2) bn:batchnorm relu "
            "d:conv2d(groups=6, padding=same) g:conv2d(groups=3) "
            "maxpool(2) flatten",
    "sized": "input(3x6x6) c:conv2d q:avgpool(2x2, stride=1, padding=1) "
             "leaky_relu(0.2) concat(q) flatten softmax(-1)",
    "tokens": "e:embedding n:layernorm(eps=1e-3) a:attention(heads=3) "
              "add(e) s:linear(from=e) tanh",
    "signal": "w:conv1d(dilation=2) relu global_avgpool flatten dropout(0.1) "
              "s:linear",
    "shared": "l:linear s:linear s:linear z:sigmoid add(s, z)",
}

REFUSED = {
    "nothing": "", "unknown": "l:linaer", "open": "l:linear(", "name": ":relu",
    "sizes": "l:linear l:linear", "heads": "e:embedding a:attention(4)",
    "missing": "x:linear", "input": "relu", "range": "input(0) l:linear"}

GRAPHS = ("digits_mlp.onnx", "digits_cnn.onnx", "graph_unknown.onnx")


def without_elements(data):
    """A ModelProto without the elements of its initializers: raw_data, field 9
    of field 5 of field 7, becomes empty."""
    def varint(n):
        out = b""
        while n > 127:
            out += bytes([n & 127 | 128])
            n >>= 7
        return out + bytes([n])

    def read(data, at):
        n = shift = 0
        while True:
            byte = data[at]
            at += 1
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return n, at

    def strip(data, path):
        out, at = b"", 0
        while at < len(data):
            start = at
            tag, at = read(data, at)
            if tag & 7 == 2:
                size, at = read(data, at)
                content = data[at:at + size]
                at += size
                if tag >> 3 == path[0]:
                    inner = strip(content, path[1:]) if path[1:] else b""
                    out += varint(tag) + varint(len(inner)) + inner
                    continue
            elif tag & 7 == 0:
                _, at = read(data, at)
            else:
                at += {1: 8, 5: 4}[tag & 7]
            out += data[start:at]
        return out

    return strip(data, (7, 5, 9))


def graphs():
    for name in GRAPHS:
        with open(os.path.join(DATA, name), "rb") as f:
            yield name, without_elements(f.read())
