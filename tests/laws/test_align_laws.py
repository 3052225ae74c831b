import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws.networks import element, largest_difference

import toroids as td
from toroids.align.alignment import METHODS, METHODS_ON_DATA

seeds = st.integers(0, 10_000)


# activations need a probe; exact refuses most of these networks, and is held against all elements
# in tests/align/test_exact.py, as is best, which hands back what one of the others found
@pytest.fixture(scope="module", params=sorted(METHODS.keys() - METHODS_ON_DATA - {"exact", "best"}))
def method(request):
    return request.param


def skip_what_greedy_cannot_see(case, method):
    """Greedy looks only at what writes a unit: with one incoming weight all units are +-1, tied."""
    families = {family.space for family in td.Toroid(case.group).spheres}
    if method == "greedy" and not families.issuperset(space.name for space in case.group.spaces):
        pytest.skip("units with one incoming weight are tied for greedy")


@given(seed=seeds)
def test_a_planted_element_is_recovered(case, method, seed):
    skip_what_greedy_cannot_see(case, method)
    a = case.other(seed)
    b = case.group.apply(element(case, seed + 1, 2.0), a)
    alignment = td.align(case.group, b, to=a, method=method)
    assert largest_difference(alignment.params, alignment.reference) < 1e-10
    assert td.Toroid(case.group).distance(alignment.reference, alignment.params) < 1e-9


@given(seed=seeds)
def test_a_planted_element_is_recovered_under_noise(case, method, seed):
    skip_what_greedy_cannot_see(case, method)
    a, noise, g = case.other(seed), case.other(seed + 1), element(case, seed + 2, 2.0)
    noisy = {name: tensor * (1 + 0.01 * noise[name]) for name, tensor in a.items()}
    b = case.group.apply(g, noisy)
    alignment = td.align(case.group, b, to=a, method=method)
    start = td.canonicalize(case.group, b)
    planted = case.group.inverse(g)
    for space in case.group.spaces:
        found = alignment.element.choices[space.name].permutation
        assert torch.equal(found, planted.choices[space.name].permutation)
    assert largest_difference(case.group.apply(alignment.element, start), alignment.params) == 0


@given(seed=seeds)
def test_the_function_stays_and_similarity_is_the_inner_product(case, method, seed):
    a, b = case.other(seed), case.other(seed + 1)
    alignment = td.align(case.group, b, to=a, method=method)
    expected = case.outputs(td.canonicalize(case.group, b))
    assert (case.outputs(alignment.params) - expected).abs().max() < 1e-10
    product = sum(
        float((alignment.reference[name] * alignment.params[name]).sum())
        for name in alignment.reference
    )
    assert alignment.similarity == pytest.approx(product)


def test_equal_calls_give_equal_results(case, method):
    first, second = (
        td.align(case.group, case.other(2), to=case.other(1), method=method) for _ in range(2)
    )
    assert largest_difference(first.params, second.params) == 0
