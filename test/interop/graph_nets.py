"""
Networks and the architectures that say the same: (name, net, architecture,
inputs), with weights that are all different.
"""
import torch
from torch import nn
from torch.nn import functional as F


class Residual(nn.Module):
    """Blocks as in ResNet, one of which halves the picture."""

    class Block(nn.Module):
        def __init__(self, width, out, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(width, out, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(out)
            self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(out)
            self.downsample = (nn.Sequential(
                nn.Conv2d(width, out, 1, stride, bias=False),
                nn.BatchNorm2d(out)) if stride > 1 else nn.Identity())

        def forward(self, x):
            y = F.relu(self.bn1(self.conv1(x)))
            return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))

    def __init__(self, width=8, blocks=3, classes=5):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = nn.Sequential(*(self.Block(width, width, 1)
                                      for _ in range(blocks)))
        self.layer2 = nn.Sequential(self.Block(width, 2 * width, 2))
        self.fc = nn.Linear(2 * width, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer2(self.layer1(x))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))

    @staticmethod
    def architecture(blocks=3, stem="conv1:conv2d(padding=1) bn1:batchnorm"):
        steps = [stem + " b0:relu"]
        before = "b0"
        for i in range(blocks):
            name = "layer1.%d" % i
            steps.append("""
                {0}.conv1:conv2d(padding=1) {0}.bn1:batchnorm relu
                {0}.conv2:conv2d(padding=1) {0}.bn2:batchnorm add({1})
                b{2}:relu""".format(name, before, i + 1))
            before = "b%d" % (i + 1)
        steps.append("""
            layer2.0.conv1:conv2d(stride=2, padding=1) layer2.0.bn1:batchnorm
            relu layer2.0.conv2:conv2d(padding=1) layer2.0.bn2:batchnorm""")
        steps.append("""
            layer2.0.downsample.0:conv2d(from=%s, stride=2)
            layer2.0.downsample.1:batchnorm add(layer2.0.bn2) relu
            global_avgpool flatten fc:linear""" % before)
        return " ".join(steps)


class Transformer(nn.Module):
    """Encoder blocks with the norm before or after, and a head."""

    class Block(nn.Module):
        def __init__(self, width, heads, before):
            super().__init__()
            self.before = before
            self.norm1 = nn.LayerNorm(width)
            self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
            self.norm2 = nn.LayerNorm(width)
            self.fc1 = nn.Linear(width, 3 * width)
            self.fc2 = nn.Linear(3 * width, width)

        def forward(self, x):
            if self.before:
                y = self.norm1(x)
                x = x + self.attn(y, y, y, need_weights=False)[0]
                return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))
            x = self.norm1(x + self.attn(x, x, x, need_weights=False)[0])
            return self.norm2(x + self.fc2(F.gelu(self.fc1(x))))

    def __init__(self, width=24, heads=4, blocks=3, words=11, before=True):
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.layers = nn.ModuleList(self.Block(width, heads, before)
                                    for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, words)

    def forward(self, words):
        x = self.embed(words)
        for layer in self.layers:
            x = layer(x)
        return F.softmax(self.head(self.norm(x)), -1)

    @staticmethod
    def architecture(heads=4, blocks=3, before=True):
        steps = ["embed:embedding"]
        x = "embed"
        for i in range(blocks):
            if before:
                steps.append("""
                    layers.{0}.norm1:layernorm
                    layers.{0}.attn:attention(heads={1}) a{0}:add({2})
                    layers.{0}.norm2:layernorm layers.{0}.fc1:linear gelu
                    layers.{0}.fc2:linear h{0}:add(a{0})"""
                             .format(i, heads, x))
                x = "h%d" % i
            else:
                steps.append("""
                    layers.{0}.attn:attention({1}) add({2})
                    layers.{0}.norm1:layernorm layers.{0}.fc1:linear gelu
                    layers.{0}.fc2:linear add(layers.{0}.norm1)
                    layers.{0}.norm2:layernorm""".format(i, heads, x))
                x = "layers.%d.norm2" % i
        steps.append("norm:layernorm head:linear softmax")
        return " ".join(steps)


class Wide(nn.Module):
    """Branches that are concatenated, grouped and depthwise convolutions."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 6, 3, padding=1)
        self.b = nn.Conv2d(3, 4, (1, 3), dilation=(1, 2), padding="same")
        self.c = nn.Conv2d(3, 2, 5, padding=2)
        self.depthwise = nn.Conv2d(12, 24, 3, padding=1, groups=12)
        self.grouped = nn.Conv2d(24, 8, 3, stride=2, groups=4)
        self.fc = nn.Linear(8, 7)

    def forward(self, x):
        x = torch.cat([F.silu(self.a(x)), F.leaky_relu(self.b(x), 0.2),
                       torch.sigmoid(self.c(x))], 1)
        x = F.avg_pool2d(torch.tanh(self.depthwise(x)), 2, padding=1)
        x = F.max_pool2d(self.grouped(x), (2, 1), (1, 2))
        return self.fc(x.flatten(1))

    ARCHITECTURE = """
        a:conv2d(padding=1) one:silu
        b:conv2d(from=input, dilation=1x2, padding=same) two:leaky_relu(0.2)
        c:conv2d(from=input, padding=2x2) three:sigmoid
        concat(one, two, three) depthwise:conv2d(padding=1, groups=12) tanh
        avgpool(2, padding=1) grouped:conv2d(stride=2, groups=4)
        maxpool(2x1, stride=1x2) flatten fc:linear"""


class Signal(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(2, 5, 4, 2, 1)
        self.bn1 = nn.BatchNorm1d(5, eps=1e-3)
        self.norm = nn.LayerNorm(5)
        self.fc = nn.Linear(5, 3, bias=False)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.adaptive_max_pool1d(x, 1).flatten(1)
        return self.fc(self.norm(F.dropout(x, 0.1, False)))

    ARCHITECTURE = """conv1:conv1d(stride=2, padding=1)
        bn1:batchnorm(eps=1e-3) relu global_maxpool flatten dropout(0.1)
        norm:layernorm fc:linear"""


def perceptron(*sizes):
    net = nn.Sequential()
    for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
        net.add_module("layer%d" % (i + 1), nn.Linear(a, b))
        if i + 2 < len(sizes):
            net.add_module("act%d" % (i + 1), nn.ReLU())
    return net


def perceptron_architecture(*sizes):
    return " relu ".join("layer%d:linear" % (i + 1)
                         for i in range(len(sizes) - 1))


def fill(net, seed):
    """Weights, and statistics of batch norms, from a generator of our own:
    the same with every torch."""
    generator = torch.Generator().manual_seed(seed)
    for name, t in net.state_dict().items():
        if not t.is_floating_point():
            continue
        t.copy_(torch.randn(t.shape, generator=generator, dtype=torch.float64)
                / max(1, t[0].numel() if t.dim() > 1 else 4) ** 0.5)
        if name.endswith("running_var"):
            t.abs_().add_(0.5)
        if t.dim() == 1 and name.endswith("weight"):
            t.add_(1)
    return net.eval()


def nets():
    torch.manual_seed(5)
    made = [
        ("perceptron", perceptron(12, 20, 20, 20, 4),
         perceptron_architecture(12, 20, 20, 20, 4), torch.randn(6, 12)),
        ("residual", Residual(), Residual.architecture(),
         torch.randn(2, 3, 9, 8)),
        ("transformer", Transformer(), Transformer.architecture(),
         torch.randint(0, 11, (2, 7))),
        ("transformer_after", Transformer(before=False),
         Transformer.architecture(before=False), torch.randint(0, 11, (3, 5))),
        ("wide", Wide(), Wide.ARCHITECTURE, torch.randn(2, 3, 8, 8)),
        ("signal", Signal(), Signal.ARCHITECTURE, torch.randn(4, 2, 20))]
    for i, (name, net, architecture, x) in enumerate(made):
        yield name, fill(net, i), architecture, x
