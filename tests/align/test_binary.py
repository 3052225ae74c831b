"""Alignment of networks with weights of -1 and +1."""

import itertools

import pytest
import torch

import toroids as td

INPUTS = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=5)))
METHODS = ["descent", "greedy", "frank-wolfe", "best", "exact", "activations"]


def network(seed, hidden=4):
    return td.models.binary_fully_connected([5, hidden, 3], seed=seed).double()


def group_of(model):
    return td.discover(model, INPUTS[:3].double())


def settled(seed, hidden):
    """A network without duplicate or opposite units, whose alignment is unique."""
    for other in itertools.count(seed):
        params = network(other, hidden).state_dict()
        group = group_of(network(0, hidden))
        if not td.canonicalize(group, params).notes:
            return params


def options(method, model, group):
    if method != "activations":
        return {}
    return {"probe": td.probe.Probe(model, group, INPUTS.double())}


def best_by_hand(group, a, b):
    """The largest similarity over all permutations and flips."""
    a, b = (td.canonicalize(group, x) for x in (a, b))
    (space,) = group.spaces
    found = -float("inf")
    for order in itertools.permutations(range(space.size)):
        for signs in itertools.product((-1.0, 1.0), repeat=space.size):
            drawn = group.identity().choices[space.name]
            permutation = torch.tensor([order])
            flips = torch.tensor(signs).view_as(drawn.signs)
            choice = td.symmetry.SpaceElement(permutation, drawn.log_scales, flips)
            moved = group.apply(td.symmetry.Element({space.name: choice}), dict(a))
            found = max(found, sum(float((moved[n] * b[n]).sum()) for n in group.parameters))
    return found


@pytest.mark.parametrize("hidden", [3, 4])
@pytest.mark.parametrize("seed", [1, 2])
def test_methods_agree_with_all_permutations_and_flips(seed, hidden):
    model = network(0, hidden)
    group = group_of(model)
    a, b = network(seed, hidden).state_dict(), network(seed + 10, hidden).state_dict()
    best = best_by_hand(group, a, b)
    for method in ("descent", "frank-wolfe", "best", "exact"):
        found = td.align(group, a, b, method)
        assert found.similarity == pytest.approx(best), method
    assert td.align(group, a, b).bound >= best - 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_a_planted_element_is_found_and_weights_stay_binary(method):
    model = network(0)
    group = group_of(model)
    a = settled(3, 4)
    b = group.apply(group.random(torch.Generator().manual_seed(5)), a)
    found = td.align(group, b, a, method, **options(method, model, group))
    assert found.similarity == sum(a[name].numel() for name in group.parameters)
    for name in group.parameters:
        assert torch.equal(found.params[name], found.reference[name])
        assert bool((found.params[name].abs() == 1).all())


@pytest.mark.parametrize("method", [*METHODS, "loss"])
def test_aligned_networks_compute_what_they_did(method):
    model = network(0)
    group = group_of(model)
    a, b = network(1).state_dict(), network(2).state_dict()
    chosen = options(method, model, group)
    if method == "loss":
        data = (INPUTS.double(), torch.arange(32) % 3)
        chosen = {
            "probe": td.probe.Probe(model, group, INPUTS.double()),
            "landscape": td.Landscape(model, data),
        }
    found = td.align(group, a, b, method, **chosen)
    call = torch.func.functional_call
    with torch.no_grad():
        before = call(model, dict(a), (INPUTS.double(),))
        after = call(model, dict(found.params), (INPUTS.double(),))
    assert torch.equal(before, after)
    assert all(bool((found.params[name].abs() == 1).all()) for name in group.binary)


def test_the_mean_of_many_is_a_vote():
    group = group_of(network(0))
    a = settled(3, 4)
    orbit = [group.apply(group.random(torch.Generator().manual_seed(s)), a) for s in range(3)]
    found = td.align_many(group, orbit)
    assert found.similarity == sum(a[name].numel() for name in group.parameters)
    mean = found.mean
    assert all(torch.allclose(mean[name], found.params[0][name]) for name in group.parameters)
    others = td.align_many(group, [network(s).state_dict() for s in (1, 2, 3)])
    vote = td.canonicalize(group, others.mean)
    for name in group.parameters:
        assert torch.equal(vote[name].abs(), torch.ones_like(vote[name]))
