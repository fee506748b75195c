#!/usr/bin/python3
"""
Makes tied_shapes.model, the text form of a model whose 17 weights are all over
one payload of 65536 zeros, each in another shape: 65536 x 1, 32768 x 2 and so
on.
"""
import base64
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "hostile"))
import flatform  # noqa: E402

BITS = 16


def main():
    tensors = [flatform.Tensor("l%d.weight" % i, [1 << (BITS - i), 1 << i], 0)
               for i in range(BITS + 1)]
    zeros = flatform.sparse("f32", 4, {}, 1 << BITS)
    with open(os.path.join(HERE, "tied_shapes.model"), "wb") as f:
        f.write(base64.b64encode(flatform.build([zeros], tensors)))


if __name__ == "__main__":
    main()
