"""Sketches of many units: they give what all products give, or nothing."""

import pytest
import torch
from torch import nn

import toroids as td
from toroids.align import bound, sketch
from toroids.align.block import blocks, rows_of, tables
from toroids.align.choose import choose


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(sketch, "MANY", 30)
    monkeypatch.setattr(sketch, "NUMBERS", 128)


def network(activation, seed):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(600, 40), activation, nn.Linear(40, 100), activation,
                          nn.Linear(100, 10)).double()  # fmt: skip
    return model, td.discover(model, torch.randn(2, 600, dtype=torch.float64))


def planted(group, params, noise):
    element = group.random(torch.Generator().manual_seed(1))
    moved = group.apply(element, params)
    return {
        name: x * (1 + noise * torch.randn(x.shape, dtype=x.dtype)) for name, x in moved.items()
    }


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Tanh()])
def test_a_clear_match_is_the_best_one(activation, noise):
    model, group = network(activation, 0)
    a = td.canonicalize(group, model.state_dict())
    b = td.canonicalize(group, planted(group, model.state_dict(), noise))
    block = next(x for x in blocks(group) if x.space.size == 40)
    assert sketch.is_sketched(block)
    rows = rows_of(a, b)
    legs = [leg for leg in block.legs[block.space.name] if leg.tensor.startswith("0.")]

    def parts():
        return ((block.legs[block.space.name][leg], *rows(block.space, leg)) for leg in legs)

    found = sketch.sketched(block, parts)
    only = type(block)(block.space, (), {block.space.name: {
        leg: block.legs[block.space.name][leg] for leg in legs}})  # fmt: skip
    expected = choose(only, tables(only, rows))
    assert found is not None
    assert torch.equal(found.steps[0][1].permutation, expected.steps[0][1].permutation)
    if found.steps[0][1].signs is not None:
        assert torch.equal(found.steps[0][1].signs, expected.steps[0][1].signs)
    assert found.value == pytest.approx(expected.value)
    assert found.before == pytest.approx(expected.before)


def test_networks_trained_apart_need_all_products():
    model, group = network(nn.Tanh(), 0)
    other, _ = network(nn.Tanh(), 1)
    a, b = (td.canonicalize(group, m.state_dict()) for m in (model, other))
    block = next(x for x in blocks(group) if x.space.size == 40)
    rows = rows_of(a, b)
    legs = block.legs[block.space.name].items()
    assert sketch.sketched(block, lambda: ((p, *rows(block.space, x)) for x, p in legs)) is None


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Tanh()])
def test_a_planted_element_is_found_by_sketches(activation):
    model, group = network(activation, 0)
    b = planted(group, model.state_dict(), 0.0)
    found = td.align(group, b, to=model.state_dict())
    toroid = td.Toroid(group)
    assert toroid.distance(found.reference, found.params) < 1e-10


def test_lengths_bound_large_networks(monkeypatch):
    model, group = network(nn.Tanh(), 0)
    other, _ = network(nn.Tanh(), 1)
    found = td.align(group, other.state_dict(), to=model.state_dict())
    close = found.bound
    monkeypatch.setattr(bound, "LARGE", 0)
    by_lengths = bound.upper_bound(group, found.reference, found.params)
    assert found.similarity <= close <= by_lengths
    same = td.align(group, planted(group, model.state_dict(), 0.0), to=model.state_dict())
    assert same.bound == pytest.approx(same.similarity, rel=1e-10)
