"""Small classifiers with permutations, rescalings, signs, norms, matrices and tied weights."""

import functools

import torch
from torch import nn
from torch.nn import functional as F

import toroids as td


class Attention(nn.Module):
    """Two heads on three tokens, in which matrices mix what is inside a head."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(5, 6) for _ in range(3))
        self.out, self.last = nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, x):
        q, k, v = (f(x).view(-1, 3, 2, 3).transpose(1, 2) for f in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, 3, 6)
        return self.last(F.relu(self.out(mixed)).mean(dim=1))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.b.weight = self.a.weight
        self.last = nn.Linear(4, 3)

    def forward(self, x):
        return self.last(torch.tanh(self.b(torch.tanh(self.a(x)))))


def convolution():
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip
    with torch.no_grad():
        for tensor in (model[1].running_mean, model[1].weight, model[1].bias):
            tensor.copy_(torch.linspace(0.5, 1.5, 3))
        model[1].running_var.copy_(torch.tensor([0.5, 1.0, 2.0]))
    return model


MAKERS = {
    "relu": lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)),
    "tanh": lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)),
    "convolution": convolution,
    "attention": Attention,
    "tied": Tied,
}  # fmt: skip
SHAPES = {"convolution": (1, 4, 4), "attention": (3, 5)}


def made(name):
    """A model and inputs."""
    torch.manual_seed(0)
    return MAKERS[name]().double().eval(), torch.randn(30, *SHAPES.get(name, (4,))).double()


@functools.cache
def found(name, output):
    """The group of a model, which many tests look at."""
    model, inputs = made(name)
    return td.discover(model, inputs[:2], output=output)


def build(name, output="classifier", device="cpu", wrong=6):
    """Group, model, parameters and data of which `wrong` labels are not what the model says."""
    group = found(name, output)
    model, inputs = made(name)
    labels = model(inputs).argmax(dim=1)
    labels[:wrong] = (labels[:wrong] + 1) % 3
    model = model.to(device)
    params = {key: tensor.detach() for key, tensor in model.state_dict().items()}
    return group, model, params, (inputs.to(device), labels.to(device))
