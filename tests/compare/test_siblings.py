"""A look at a few rows tells networks of one base from all others."""

import pytest
import torch
from torch import nn

import toroids as td
from toroids.compare.siblings import lie_alike


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(80, 96), nn.ReLU(), nn.Linear(96, 64)).double()


def test_children_of_one_base_lie_alike_and_no_others():
    model = network(0)
    base = model.state_dict()
    children = [
        {n: x + noise * x.std() * torch.randn_like(x) for n, x in base.items()}
        for noise in (0.01, 0.1, 0.3)
    ]
    found = [lie_alike(base, child) for child in children]
    assert all(cosine is not None and cosine > 0.9 for cosine in found)
    assert found == sorted(found, reverse=True)
    assert lie_alike(base, network(1).state_dict()) is None
    group = td.discover(model, torch.randn(2, 80, dtype=torch.float64))
    moved = group.apply(group.random(torch.Generator().manual_seed(0)), base)
    assert lie_alike(base, moved) is None


def test_one_matrix_that_differs_is_enough():
    base = network(0).state_dict()
    assert lie_alike(base, {**base, "2.weight": base["2.weight"].flip(1)}) is None
    assert (
        lie_alike(base, {**base, "2.weight": torch.full_like(base["2.weight"], torch.nan)}) is None
    )


def test_what_cannot_be_compared_does_not_count():
    base = network(0).state_dict()
    assert lie_alike(base, {**base, "2.weight": base["2.weight"][:5]}) == pytest.approx(1.0)
    assert lie_alike({}, base) is None
    assert lie_alike({"a": torch.zeros(64, 64)}, {"a": torch.zeros(64, 64)}) == 1.0
    assert lie_alike({"a": torch.ones(64, 64).half()}, {"a": torch.ones(64, 64)}) == 1.0
