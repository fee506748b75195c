"""
Networks whose layers depend on each other in all ways that a graph can have
them: the cases that Torch-Pruning tests, and some more.  No biases, and only
operators that leave zeros as they are, so that a node that goes is the same as
one whose weights are zero.
"""
import torch
from torch import nn
from torch.nn import functional as F


def conv(a, b, k=3, **options):
    options.setdefault("padding", k // 2)
    return nn.Conv2d(a, b, k, bias=False, **options)


def linear(a, b):
    return nn.Linear(a, b, bias=False)


class Concat(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = conv(3, 5), conv(3, 10), conv(3, 20)
        self.merge, self.fc = conv(35, 8), linear(8, 4)

    def forward(self, x):
        x = torch.cat([F.relu(self.a(x)), self.b(x), F.relu(self.c(x))], 1)
        return self.fc(F.relu(self.merge(x)).mean((2, 3)))


class CascadedConcat(nn.Module):
    """Concatenations of concatenations, as in densely connected networks."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = conv(3, 5), conv(5, 10), conv(15, 15)
        self.d, self.fc = conv(30, 30), linear(30, 4)

    def forward(self, x):
        a = F.relu(self.a(x))
        ab = torch.cat([a, F.relu(self.b(a))], 1)
        abc = torch.cat([F.relu(self.c(ab)), ab], 1)
        return self.fc(F.relu(self.d(abc)).amax((2, 3)))


class ConcatSplit(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = conv(3, 8), conv(3, 4)
        self.c, self.d, self.e = conv(6, 6), conv(4, 4), conv(2, 3)
        self.fc = linear(13, 4)

    def forward(self, x):
        x = torch.cat([self.a(x), self.b(x)], 1)
        c, d, e = torch.split(x, [6, 4, 2], 1)
        x = torch.cat([self.c(c), self.e(e), self.d(d)], 1)
        return self.fc(F.relu(x).flatten(2).mean(2))


class Chunk(nn.Module):
    """Equal parts, which stay equal; one of them gates the other."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.fc = conv(3, 12), conv(6, 5), linear(5, 3)

    def forward(self, x):
        a, b = self.a(x).chunk(2, 1)
        x = self.b(a * torch.sigmoid(b))
        return self.fc(F.relu(x).mean((2, 3)))


class Slices(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = conv(3, 10), conv(4, 6), conv(6, 6)
        self.fc = linear(6, 3)

    def forward(self, x):
        x = F.relu(self.a(x))
        x = self.b(x[:, :4]) + self.c(x[:, 4:])
        return self.fc(x.mean((2, 3)))


class Reshapes(nn.Module):
    """Pictures become features in several ways."""

    def __init__(self):
        super().__init__()
        self.a, self.b = conv(3, 6), conv(6, 4, stride=2)
        self.fc1, self.fc2 = linear(6 * 64, 9), linear(4 * 16, 9)
        self.fc3 = linear(9, 3)

    def forward(self, x):
        x = F.relu(self.a(x))
        y = self.b(x)
        one = self.fc1(x.view(x.size(0), -1))
        two = self.fc2(y.reshape(-1, 4 * 16))
        return self.fc3(F.relu(one + two))


class Tokens(nn.Module):
    """A picture becomes a sequence."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 12, 4, 4, bias=False)
        self.up, self.down = linear(12, 20), linear(20, 12)
        self.head = linear(12, 3)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = x + self.down(F.relu(self.up(x)))
        return self.head(x[:, 0] + x.mean(1))


class Attention(nn.Module):
    """As vision transformers write it: queries, keys and values in one."""

    def __init__(self, width=16, heads=4):
        super().__init__()
        self.heads, self.width = heads, width
        self.inner = linear(6, width)
        self.qkv, self.project = linear(width, 3 * width), linear(width, width)
        self.head = linear(width, 3)

    def forward(self, x):
        x = self.inner(x)
        b, n = x.shape[:2]
        size = self.width // self.heads
        qkv = self.qkv(x).reshape(b, n, 3, self.heads, size)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        a = F.softmax(q @ k.transpose(-2, -1) * 0.5, -1) @ v
        x = x + self.project(a.transpose(1, 2).reshape(b, n, self.width))
        return self.head(x)


class Computed(nn.Module):
    """The same, with sizes that the graph computes from others: the width of
    the heads is that of the residual stream, and neither can go."""

    def __init__(self):
        super().__init__()
        self.inner, self.qkv = linear(6, 8), linear(8, 24)
        self.up, self.down = linear(8, 10), linear(10, 8)
        self.project, self.head = linear(8, 8), linear(8, 3)

    def forward(self, x):
        x = self.inner(x)
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, 2, c // 2)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        a = F.softmax(q @ k.transpose(-2, -1) * 0.5, -1) @ v
        x = x + self.project(a.transpose(1, 2).reshape(b, n, c))
        return self.head(x + self.down(F.relu(self.up(x))))


class Separate(nn.Module):
    """Queries, keys and values of their own."""

    def __init__(self, width=16, heads=4):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (linear(6, width) for _ in range(3))
        self.project = linear(width, 3)

    def forward(self, x):
        def heads(t):
            return t.view(t.size(0), t.size(1), self.heads, -1).transpose(1, 2)
        q, k, v = heads(self.q(x)), heads(self.k(x)), heads(self.v(x))
        a = F.softmax(q @ k.transpose(-2, -1), -1) @ v
        return self.project(a.transpose(1, 2).flatten(2))


class Groups(nn.Module):
    """Inverted residuals: depthwise between pointwise, and groups."""

    def __init__(self):
        super().__init__()
        self.stem = conv(3, 8)
        self.expand, self.project = conv(8, 24, 1), conv(24, 8, 1)
        self.depthwise = conv(24, 24, groups=24)
        self.grouped, self.last = conv(8, 12, groups=4), conv(12, 6, groups=2)
        self.fc = linear(6, 3)

    def forward(self, x):
        x = self.stem(x)
        y = F.relu6(self.depthwise(F.relu6(self.expand(x))))
        x = x + self.project(y)
        return self.fc(self.last(F.relu(self.grouped(x))).mean((2, 3)))


class Transposed(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = conv(3, 8, stride=2)
        self.up = nn.ConvTranspose2d(8, 6, 2, 2, bias=False)
        self.out = conv(6 + 3, 2, 1)

    def forward(self, x):
        y = F.relu(self.up(F.relu(self.down(x))))
        return self.out(torch.cat([y, x], 1))


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self):
        super().__init__()
        self.a, self.b = conv(3, 8), conv(8, 6)
        self.squeeze, self.excite = linear(8, 4), linear(4, 8)
        self.slope, self.fc = nn.PReLU(6), linear(6, 3)

    def forward(self, x):
        x = F.relu(self.a(x))
        s = F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1)
        s = torch.sigmoid(self.excite(F.relu(self.squeeze(s))))
        x = x * s.unsqueeze(-1).unsqueeze(-1)
        return self.fc(self.slope(self.b(x)).mean((2, 3)))


class Two(nn.Module):
    """Two inputs and two outputs, and a layer that is used twice."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.shared = linear(5, 9), linear(7, 9), linear(9, 9)
        self.c, self.d = linear(9, 4), linear(9, 2)

    def forward(self, x, y):
        x, y = F.relu(self.a(x)), F.relu(self.b(y))
        x, y = F.relu(self.shared(x)), F.relu(self.shared(y))
        return self.c(x + y), self.d(y)


def nets():
    torch.manual_seed(11)
    picture = torch.randn(2, 3, 8, 8)
    sequence = torch.randn(2, 5, 6)
    for make, inputs in ((Concat, (picture,)), (CascadedConcat, (picture,)),
                         (ConcatSplit, (picture,)), (Chunk, (picture,)),
                         (Slices, (picture,)), (Reshapes, (picture,)),
                         (Tokens, (picture,)), (Attention, (sequence,)),
                         (Computed, (sequence,)),
                         (Separate, (sequence,)), (Groups, (picture,)),
                         (Transposed, (picture,)), (Gate, (picture,)),
                         (Two, (torch.randn(3, 5), torch.randn(3, 7)))):
        yield make.__name__, make().eval(), inputs
