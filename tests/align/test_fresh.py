"""Descent from nowhere: what it reaches is the same for all networks of two orbits."""

import pytest
import torch
from laws.test_discovered_canonical_laws import subject

import toroids as td

# A shuffle puts two spaces on one axis, copies lie in heads, streams rotate, recurrences come back.
NAMES = [
    "channel shuffle", "grouped-query attention", "lstm", "residual layer norm", "gated unit",
]  # fmt: skip


def random_weights(group, params, seed):
    generator = torch.Generator().manual_seed(seed)
    drawn = {}
    for name, tensor in params.items():
        noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        noise = 0.5 + noise.abs() if name.endswith("running_var") else noise
        drawn[name] = noise if tensor.is_floating_point() else tensor
    return {name: drawn[group.tied.get(name, name)] for name in drawn}


@pytest.mark.parametrize("name", NAMES)
def test_no_element_on_either_network_and_no_exchange_changes_the_similarity(name):
    group, params, _ = subject(name)
    a, b = (random_weights(group, params, seed) for seed in (1, 2))  # strangers: the hard case
    expected = td.align(group, b, to=a, method="fresh").similarity
    assert td.align(group, a, to=b, method="fresh").similarity == pytest.approx(expected, rel=1e-9)
    generator = torch.Generator().manual_seed(0)
    here, there = (group.apply(group.random(generator), x) for x in (a, b))
    moved = td.align(group, there, to=here, method="fresh")
    assert moved.method == "fresh"
    assert moved.similarity == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_networks_of_one_base_reach_the_same_as_they_lie_and_in_disguise(name):
    group, params, _ = subject(name)
    a = random_weights(group, params, 1)
    b = {
        n: x * (1 + 0.05 * random_weights(group, params, 2)[n]) if x.is_floating_point() else x
        for n, x in a.items()
    }
    expected = td.align(group, b, to=a, method="fresh")
    assert expected.similarity >= expected.similarity_before
    disguised = group.apply(group.random(torch.Generator().manual_seed(0)), b)
    moved = td.align(group, disguised, to=a, method="fresh")
    assert moved.similarity == pytest.approx(expected.similarity, rel=1e-9)


def test_its_element_leads_from_the_networks_as_they_are():
    group, params, _ = subject("grouped-query attention")
    a, b = (random_weights(group, params, seed) for seed in (1, 2))
    found = td.align(group, b, to=a, method="fresh")
    applied = group.apply(found.element, td.canonicalize(group, b))
    assert all(torch.equal(applied[name], found.params[name]) for name in group.parameters)
