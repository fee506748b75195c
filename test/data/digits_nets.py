"""
The networks whose trained weights lie in this folder.

They stand in a module of their own because digits_cnn_module.pth is a pickled
nn.Module and names its class as "digits_nets.DigitsCNN".  Runs with torch 1.13
and 2.x.
"""
import torch
from torch import nn
from torch.nn import functional as F


class DigitsMLP(nn.Module):
    """64 pixels of a handwritten digit to 10 classes."""

    def __init__(self):
        super().__init__()
        self.layer1 = nn.Linear(64, 32)
        self.layer2 = nn.Linear(32, 16)
        self.layer3 = nn.Linear(16, 10)

    def forward(self, x):
        return self.layer3(F.relu(self.layer2(F.relu(self.layer1(x)))))


class DigitsCNN(nn.Module):
    """The same 64 pixels as an 8x8 image, with batch normalisation."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.fc = nn.Linear(16 * 2 * 2, 10)

    def forward(self, x):
        x = x.reshape(-1, 1, 8, 8)
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        return self.fc(x.flatten(1))


class DigitsLogistic(nn.Module):
    """Multinomial regression, of bare parameters without any layer."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(10, 64))
        self.bias = nn.Parameter(torch.zeros(10))

    def forward(self, x):
        return x @ self.weight.t() + self.bias


class TiedTransformer(nn.Module):
    """
    One transformer block that predicts the next token.  The output projection
    is the embedding matrix, so one storage has two names in the checkpoint.
    """

    VOCABULARY, LENGTH, WIDTH = 16, 12, 32

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(self.VOCABULARY, self.WIDTH)
        self.position = nn.Embedding(self.LENGTH, self.WIDTH)
        self.attention = nn.MultiheadAttention(self.WIDTH, 2, batch_first=True)
        self.norm1 = nn.LayerNorm(self.WIDTH)
        self.up = nn.Linear(self.WIDTH, 64)
        self.down = nn.Linear(64, self.WIDTH)
        self.norm2 = nn.LayerNorm(self.WIDTH)
        self.output = nn.Linear(self.WIDTH, self.VOCABULARY, bias=False)
        self.output.weight = self.embed.weight

    def forward(self, tokens):
        n = tokens.shape[1]
        x = self.embed(tokens) + self.position(torch.arange(n))
        future = torch.ones(n, n, dtype=torch.bool).triu(1)
        x = self.norm1(x + self.attention(x, x, x, attn_mask=future,
                                          need_weights=False)[0])
        x = self.norm2(x + self.down(F.relu(self.up(x))))
        return self.output(x)
