"""Networks of a few units per space whose elements can all be listed."""

import torch
import torch.nn.functional as F
from discovery.rotary import Attention, half_split
from torch import nn


class Recurrence(nn.Module):
    """Its recurrent weight carries the space twice."""

    def __init__(self):
        super().__init__()
        self.into, self.again, self.out = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        h = torch.tanh(self.into(x))
        for _ in range(2):
            h = torch.tanh(self.into(x) + self.again(h))
        return self.out(h)


class Heads(nn.Module):
    """Two heads of three entries with a gate, so that entries are permuted and not mixed."""

    def __init__(self):
        super().__init__()
        self.into, self.out = nn.Linear(3, 6), nn.Linear(6, 2)
        self.q = nn.Linear(3, 6)

    def forward(self, x):
        q, h = self.q(x).view(-1, 2, 3), F.relu(self.into(x)).view(-1, 2, 3)
        return self.out((h * torch.sigmoid(q)).softmax(2).reshape(-1, 6))


class SignedHeads(nn.Module):
    """Two heads of two odd queries and keys: entries flip both, heads queries and the output."""

    def __init__(self):
        super().__init__()
        self.q, self.k = nn.Linear(3, 4), nn.Linear(3, 4)
        self.v, self.out = nn.Linear(3, 2), nn.Linear(2, 2)

    def forward(self, x):
        q, k = (torch.tanh(layer(x)).view(-1, 2, 2) for layer in (self.q, self.k))
        return self.out((q * k).sum(2) * torch.sigmoid(self.v(x)))


def sequential(*widths, act=nn.ReLU):
    layers = [nn.Linear(widths[0], widths[1])]
    for i, o in zip(widths[1:], widths[2:], strict=False):
        layers += [act(), nn.Linear(i, o)]
    return nn.Sequential(*layers)


SMALL = {
    "relu, one layer": lambda: sequential(3, 4, 2),
    "relu, two layers": lambda: sequential(3, 4, 4, 2),
    "relu, three layers": lambda: sequential(3, 3, 4, 3, 2),
    "tanh": lambda: sequential(3, 3, 3, 2, act=nn.Tanh),
    "convolution": lambda: nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(8, 2),
    ),
    "recurrence": Recurrence,
    "heads": Heads,
    "heads, shared signs": SignedHeads,
}  # fmt: skip


def small(name, seed):
    torch.manual_seed(seed)
    model = SMALL[name]().double().eval()
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if key.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif tensor.is_floating_point() and tensor.ndim == 1:
                tensor.normal_()
    shape = (2, 1, 4, 4) if name == "convolution" else (2, 3)
    return model, torch.randn(shape, dtype=torch.float64)


class Layer(nn.Module):
    """Attention of several queries per key with rotary positions, and a gated feed-forward."""

    def __init__(self, width, gains):
        super().__init__()
        self.norms = nn.ModuleList(nn.RMSNorm(width, eps=0.01) for _ in range(2))
        self.attention = Attention(half_split, heads=4, keys=2, width=width, gains=gains)
        self.gate, self.up = (nn.Linear(width, 12, bias=False) for _ in range(2))
        self.down = nn.Linear(12, width, bias=False)

    def forward(self, x):
        x = x + self.attention(self.norms[0](x))
        y = self.norms[1](x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class LanguageModel(nn.Module):
    """Its stream rotates, unless the embedding is tied; `gains` stand on queries and keys."""

    def __init__(self, layers, tied=False, gains=False, width=8, words=16):
        super().__init__()
        self.embedding, self.head = nn.Embedding(words, width), nn.Linear(width, words, bias=False)
        self.layers = nn.Sequential(*(Layer(width, gains) for _ in range(layers)))
        self.norm = nn.RMSNorm(width, eps=0.01)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, ids):
        return self.head(self.norm(self.layers(self.embedding(ids))))
