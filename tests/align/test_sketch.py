"""Sketches of many units: they give what all products give, or nothing."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

import toroids as td
from toroids.align import bound, sketch
from toroids.align.block import blocks, cosines, products, rows_of, tables
from toroids.align.choose import choose
from toroids.align.signs import with_best_signs


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
    own = {leg: block.legs[block.space.name][leg] for leg in legs}
    only = replace(block, inner=(), legs={block.space.name: own})
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


@cache
def block_of(signed):
    _, group = network(nn.Tanh() if signed else nn.ReLU(), 0)
    return next(x for x in blocks(group) if x.space.size == 40)


def told(a, b, signed=False, cosine=False):
    """What sketches tell of the rows of two matrices, and what all products do."""
    block = block_of(signed)
    space = replace(block.space, size=len(a))
    one = ((1.0,) if signed else (), a[None], b[None])
    found = sketch.sketched(replace(block, space=space), lambda: iter([one]), cosine)
    table = (cosines if cosine else lambda parts: products(parts, False))([one])
    values = with_best_signs(space, table)[0]
    rows, columns = linear_sum_assignment(values.numpy(), maximize=True)
    return found, float(values[rows, columns].sum())


def rows(count, seed=0, noise=0.0):
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(count, 700, generator=generator, dtype=torch.float64)
    return a, noise * torch.randn(a.shape, generator=generator, dtype=torch.float64)


def shuffled(a):
    return a[torch.randperm(len(a), generator=torch.Generator().manual_seed(5))]


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("kind", ["dead", "equal", "near", "all", "lengths"])
def test_odd_units_are_matched_as_by_all_products(kind, signed, cosine):
    a, noise = rows(60, noise=0.05)
    if kind in ("dead", "all"):
        a[[3, 10, 11]], noise[[3, 10, 11]] = 0.0, 0.0
    if kind in ("equal", "all"):
        a[20:24] = a[20]
        noise[20:24] = 0.0
    if kind in ("near", "all"):
        a[30:35] = a[30] + 0.1 * a[31:36]
    if kind == "lengths":
        a *= torch.logspace(-3, 0, 60, dtype=torch.float64)[:, None]
        noise *= torch.logspace(-3, 0, 60, dtype=torch.float64)[:, None]
    sign = torch.ones(60, 1, dtype=torch.float64)
    sign[::2] = -1.0 if signed else 1.0
    found, best = told(a, shuffled(sign * (a + noise)), signed, cosine)
    if kind == "lengths" and not cosine:  # a long unit may be the best match of short ones
        assert found is None or found.value == pytest.approx(best)
        return
    assert found is not None
    assert found.value == pytest.approx(best, rel=1e-12)
    ((_, step),) = found.steps
    assert step.permutation.sort().values.tolist() == [list(range(60))]


def test_units_that_want_the_same_match_share_it_out_by_prices():
    a, noise = rows(40, noise=0.01)
    b = a + noise
    a[1] = a[0] + 0.1 * a[1]
    b[1] = 0.9 * a[0] + 0.4 * b[1]
    found, best = told(a, shuffled(b))
    assert found is not None
    assert found.value == pytest.approx(best, rel=1e-12)


def test_large_entries_that_fall_into_one_sum_are_not_trusted():
    a, _ = rows(60)
    generator = torch.Generator().manual_seed(9)
    a *= 1e-3
    heavy = torch.randperm(700, generator=generator)[:3]
    a[:, heavy] += torch.randn(60, 3, generator=generator, dtype=torch.float64)
    for seed in range(20):
        some = a[:, torch.randperm(700, generator=torch.Generator().manual_seed(seed))]
        found, best = told(some, shuffled(some))
        assert found is None or found.value == pytest.approx(best, rel=1e-12)


def test_a_unit_more_than_there_are_matches_needs_all_products():
    a, _ = rows(40)
    b = a.clone()
    b[1] = rows(1, seed=3)[0][0]
    a[1] = a[0]
    assert told(a, shuffled(b))[0] is None


def test_prices_are_those_of_an_assignment():
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        w = torch.rand(4, 6, generator=generator, dtype=torch.float64).numpy()
        _, column = linear_sum_assignment(w, maximize=True)
        prices = sketch._prices(w, column)
        worth = w[range(4), column] - prices[column]
        assert (prices >= 0).all()
        assert (worth[:, None] + 1e-12 >= w - prices).all()
        assert prices.sum() == prices[column].sum()


def test_the_bound_needs_no_table_of_all_entries():
    u, v = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(0)).double()
    whole = float(torch.linalg.svdvals(u @ v.T).sum())
    assert bound._nuclear(u, v) == pytest.approx(whole)
