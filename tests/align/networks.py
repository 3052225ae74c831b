"""Networks of a few units per space whose elements can all be listed."""

import torch
import torch.nn.functional as F
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
