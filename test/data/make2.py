#!/usr/bin/env python3
"""
Makes the checkpoints of this folder that need torch 2.x (2.7 or later): newer
dtypes, the newer record layout, and an exported program.  Run it after
make.py, with nothing but torch and numpy installed.
"""
import os
import sys
from collections import OrderedDict

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import digits_nets  # noqa: E402
import make  # noqa: E402


def new_dtypes():
    """All 256 bit patterns of the 8-bit floats, limits of the integers."""
    tensors = OrderedDict()
    patterns = torch.arange(256).to(torch.uint8).reshape(16, 16)
    for name in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz",
                 "float8_e5m2fnuz", "float8_e8m0fnu"):
        tensors[name] = patterns.view(getattr(torch, name))
    for name in ("uint16", "uint32", "uint64"):
        dtype = getattr(torch, name)
        top = torch.iinfo(dtype).max
        tensors[name] = torch.tensor([[0, 1, top], [top // 3, 2, 7]],
                                     dtype=dtype)
    return tensors


def main():
    torch.save(new_dtypes(), make.path("dtypes2.pth"))
    net = digits_nets.DigitsMLP()
    net.load_state_dict(torch.load(make.path("digits_mlp.pth")))
    torch.save(net.state_dict(), make.path("digits_mlp2.pth"))
    program = torch.export.export(net.eval(), (torch.zeros(1, 64),))
    for node in program.graph.nodes:
        # where each line of source was on the machine that ran this
        node.meta.pop("stack_trace", None)
    torch.export.save(program, make.path("exported.pt2"))
    make.write_sums("sums2.csv", "dtypes2.pth", "dtypes_big_endian.pth",
                    "digits_mlp2.pth")


if __name__ == "__main__":
    main()
