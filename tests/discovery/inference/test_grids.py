"""Gains with several axes: every crossing of rows and columns has a scale of its own."""

import pytest
import torch
from torch import nn

import toroids as td


class Members(nn.Module):
    """An ensemble whose members share matrices and have gains and biases of their own."""

    def __init__(self, members=3, width=5):
        super().__init__()
        self.first, self.second = nn.Linear(4, width, bias=False), nn.Linear(width, 6, bias=False)
        self.into = nn.Parameter(torch.randn(members, 4))
        self.between = nn.Parameter(torch.randn(members, width))
        self.shift = nn.Parameter(torch.randn(members, width))
        self.after = nn.Parameter(torch.randn(members, 6))
        self.heads = nn.Parameter(torch.randn(members, 6, 2))

    def forward(self, x):
        h = torch.relu(self.first(x.unsqueeze(1) * self.into) * self.between + self.shift)
        h = torch.relu(self.second(h) * self.after)
        return torch.einsum("bkh,kho->bko", h, self.heads).mean(1)


class Pixels(nn.Module):
    """A layer norm over channels and pixels, whose gain a reader of all pixels takes back."""

    def __init__(self):
        super().__init__()
        self.maps, self.norm = nn.Conv2d(2, 3, 3, padding=1), nn.LayerNorm([3, 4, 4])
        self.out = nn.Linear(48, 2)

    def forward(self, x):
        return self.out(self.norm(self.maps(x)).flatten(1))


class Mask(nn.Module):
    """A matrix times another one, entry by entry, both learned: one scale for every weight."""

    def __init__(self):
        super().__init__()
        self.weight, self.gate = (nn.Parameter(torch.randn(5, 3)) for _ in range(2))
        self.out = nn.Linear(5, 2)

    def forward(self, x):
        return self.out(torch.tanh(x @ (self.weight * self.gate).T))


def moved(build):
    torch.manual_seed(0)
    model = build().double()
    for p in model.parameters():
        p.data += torch.randn_like(p) / 3
    return model


@pytest.mark.parametrize(("build", "shape"), [(Members, (4,)), (Pixels, (2, 4, 4)), (Mask, (3,))])
def test_planted_scales_of_crossings_are_found_again(build, shape):
    model = moved(build)
    group, params = td.discover(model, torch.randn(6, *shape).double()), model.state_dict()
    element = group.random(torch.Generator().manual_seed(0))
    alignment = td.align(group, group.apply(element, params), to=params)
    assert td.Toroid(group).distance(alignment.reference, alignment.params) < 1e-9


@pytest.mark.parametrize(("build", "shape", "crossings"), [
    (Members, (4,), 3 * 6), (Pixels, (2, 4, 4), 3 * 16), (Mask, (3,), 5 * 3)
])  # fmt: skip
def test_every_crossing_has_a_scale(build, shape, crossings):
    group = td.discover(moved(build), torch.randn(6, *shape).double())
    last = max(group.spaces, key=lambda space: space.dimension)
    assert len(last.of("rescale")) * last.size * last.copies == crossings


@pytest.mark.parametrize(("build", "shape"), [(Members, (4,)), (Mask, (3,))])
def test_no_scale_of_members_or_masks_is_unexplained(build, shape):
    audit = td.audit(moved(build), torch.randn(300, *shape).double())
    assert not audit.unexplained
