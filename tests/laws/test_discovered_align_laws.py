"""The laws of alignment over every network that discovery is tested on."""

import pytest
import torch
from discovery.written import NAMES
from laws.test_discovered_canonical_laws import difference, large, subject

import toroids as td


@pytest.fixture(params=NAMES, scope="module")
def name(request):
    return request.param


@pytest.mark.parametrize("seed", range(2))
def test_descent_undoes_a_planted_element(name, seed):
    group, a, _ = subject(name)
    g = large(group, torch.Generator().manual_seed(seed))
    alignment = td.align(group, group.apply(g, a), to=a, method="descent")
    scale = max(float(alignment.reference[n].abs().max()) for n in group.parameters)
    assert difference(alignment.params, alignment.reference, group.parameters) < 1e-10 * scale
    start = td.canonicalize(group, group.apply(g, a))
    applied = group.apply(alignment.element, start)
    assert difference(applied, alignment.params, group.parameters) == 0


def test_descent_undoes_a_planted_element_under_noise(name):
    """The matched units are those that were planted: noise moves no unit to another's place."""
    group, a, _ = subject(name)
    generator = torch.Generator().manual_seed(5)
    noisy = {
        n: t * (1 + 0.01 * torch.randn(t.shape, generator=generator, dtype=t.dtype))
        if t.is_floating_point()
        else t
        for n, t in a.items()
    }
    noisy = {n: noisy[group.tied.get(n, n)] for n in noisy}
    g = group.random(torch.Generator().manual_seed(1))
    plain = td.align(group, noisy, to=a)
    planted = td.align(group, group.apply(g, noisy), to=a)
    assert planted.similarity == pytest.approx(plain.similarity, rel=1e-9)


def test_descent_never_ends_below_its_start_and_keeps_the_function(name):
    group, a, outputs = subject(name, 1)
    b = subject(name, 2)[1]
    alignment = td.align(group, b, to=a)
    rounding = 1e-12 * abs(alignment.similarity)
    assert alignment.similarity >= alignment.similarity_before - rounding
    assert alignment.similarity >= td.align(group, b, to=a, method="greedy").similarity - rounding
    for found, expected in zip(outputs(alignment.params), outputs(b), strict=True):
        assert (found - expected).abs().max() < 1e-9 * expected.abs().max()
