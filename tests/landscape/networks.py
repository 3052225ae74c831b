"""Trained and untrained networks on which the landscape is tested."""

import functools

import torch
from torch import nn

import toroids as td


@functools.cache
def digits(width=32):
    """Two networks trained apart on 300 digits, with their group and the data."""
    data = td.data.digits(train=300)

    def make(seed):
        return td.models.fully_connected([64, width, width, 10], seed=seed)

    a, b = (td.solvers.SGD(budget=40).train(make, data.train, seed=seed).params for seed in (1, 2))
    return make(0), td.symmetry.fully_connected_group(a, output="classifier"), a, b, data


def normed(seed=0):
    """A convolutional network with batch norms, its statistics those of no data."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, bias=False),
        nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
    ).double().eval()  # fmt: skip


def images(count=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 1, 7, 7, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(3, (count,), generator=generator)


def own_statistics(model, data):
    """The parameters with the statistics of the data, estimated by torch in one batch."""
    model = model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None
            module.reset_running_stats()
    with torch.no_grad():
        model(data[0])
    return {name: tensor.clone() for name, tensor in model.eval().state_dict().items()}
