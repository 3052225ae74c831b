"""Units that never fire, in every layout of channels."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import toroids as td

DATA = (torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(6))


def killed(model, layer, units):
    """Weights with which these units of a layer never fire and all others do at once."""
    params = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    params[f"{layer}.bias"][:] = 5
    for unit in units:
        params[f"{layer}.weight"][unit] = 0
        params[f"{layer}.bias"][unit] = -1
    return params


class OneDimensional(nn.Module):
    """A 1-d convolution whose positions are as many as its channels, a norm over the last axis."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(3, 4, 5), nn.LayerNorm(4)

    def forward(self, x):
        x = self.conv(x.flatten(2)[:, :, :8])
        x = self.norm(x.transpose(1, 2)).permute(0, 2, 1)
        return F.max_pool1d(0.5 * x, 2).clamp(max=9).relu()


class Twice(nn.Module):
    """The same ReLU called twice, on what two layers write."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.relu = nn.Linear(192, 5), nn.Linear(5, 3), nn.ReLU(inplace=True)
        nn.init.constant_(self.a.bias, 5)  # all of its units fire at once

    def forward(self, x):
        return self.relu(self.b(self.relu(self.a(x.flatten(1)))))


SUBJECTS = {
    "convolution": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), "1", "2"),
    "one-dimensional": (OneDimensional(), "norm", ""),
    "flattened": (nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.ReLU6()), "1", "2"),
    "second call": (Twice(), "b", "relu:2"),
    "encoder layer": (
        nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(64, 2, 5, batch_first=True)),
        "1.linear1",
        "1",
    ),
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_finds_the_units_that_were_killed(name):
    model, layer, where = SUBJECTS[name]
    model.train()
    params = killed(model, layer, (0, 2))
    before = {key: tensor.clone() for key, tensor in params.items()}
    assert td.dead_units(model, params, DATA) == {where: (0, 2)}
    assert model.training
    assert all(torch.equal(params[key], before[key]) for key in params)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_unit_that_fires_once_is_alive():
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    params = model.state_dict()
    params["0.weight"][:] = torch.tensor([[1.0], [1.0]])
    params["0.bias"][:] = torch.tensor([-2.5, -3.5])
    data = (torch.arange(4.0)[:, None], torch.zeros(4))
    assert td.dead_units(model, params, data, batch_size=1) == {"1": (1,)}


def test_bad_requests():
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    params = model.state_dict()
    with pytest.raises(td.errors.DataError, match="no examples"):
        td.dead_units(model, params, (torch.zeros(0, 1), torch.zeros(0)))
    with pytest.raises(td.errors.DataError, match="no examples"):
        td.dead_units(model, params, [])
    with pytest.raises(td.errors.DataError, match="cannot run"):
        td.dead_units(model, params, (torch.zeros(1, 3), torch.zeros(1)))
    with pytest.raises(td.errors.ParamsError, match="lacks? `0.bias`"):
        td.dead_units(model, {"0.weight": params["0.weight"]}, (torch.zeros(1, 1), torch.zeros(1)))
    with pytest.raises(td.errors.ParamsError, match="NaN"):
        broken = {**params, "0.bias": torch.full((2,), torch.nan)}
        td.dead_units(model, broken, (torch.zeros(1, 1), torch.zeros(1)))
