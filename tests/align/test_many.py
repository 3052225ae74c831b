"""Many networks: one element each, whatever their order."""

import itertools

import pytest
import torch
from discovery.function import Function

import toroids as td
from toroids.errors import ParamsError, ToroidsError


def networks(count, first=0, widths=(6, 16, 12, 3)):
    return [
        td.models.fully_connected(widths, seed=first + s).double().state_dict()
        for s in range(count)
    ]


def mean_similarity(group, params):
    pairs = itertools.combinations(params, 2)
    values = [sum(float((a[n] * b[n]).sum()) for n in group.parameters) for a, b in pairs]
    return sum(values) / len(values)


def test_the_similarity_is_the_mean_over_all_pairs_and_rises():
    some = networks(4)
    group = td.symmetry.fully_connected_group(some[0])
    together = td.align_many(group, some)
    assert together.similarity == pytest.approx(mean_similarity(group, together.params))
    starts = [td.canonicalize(group, network) for network in some]
    assert together.similarity_before == pytest.approx(mean_similarity(group, starts))
    assert together.similarity > together.similarity_before
    for start, element, moved in zip(starts, together.elements, together.params, strict=True):
        again = group.apply(element, start)
        assert all(torch.equal(again[name], moved[name]) for name in group.parameters)


@pytest.mark.parametrize("first", [0, 10, 20])
def test_the_order_of_the_networks_does_not_matter(first):
    some = networks(4, first)
    group = td.symmetry.fully_connected_group(some[0])
    together = td.align_many(group, some)
    order = [2, 0, 3, 1]
    again = td.align_many(group, [some[i] for i in order])
    assert order[again.centre] == together.centre
    for place, number in enumerate(order):
        one, other = again.params[place], together.params[number]
        assert all(torch.equal(one[name], other[name]) for name in group.parameters)


def test_the_mean_is_better_than_that_of_a_chain():
    """Over ten sets: a chain aligns each network to the one before."""
    gains = []
    for first in range(0, 50, 5):
        some = networks(5, first)
        group = td.symmetry.fully_connected_group(some[0])
        chain = [td.canonicalize(group, some[0])]
        for network in some[1:]:
            chain.append(td.align(group, network, to=chain[-1]).params)
        together = td.align_many(group, some)
        assert together.converged
        gains.append(together.similarity - mean_similarity(group, chain))
    assert min(gains) > 0


def test_moved_copies_of_one_network_meet():
    (a,) = networks(1)
    group = td.symmetry.fully_connected_group(a)
    copies = [group.apply(group.random(torch.Generator().manual_seed(s)), a) for s in range(4)]
    together = td.align_many(group, copies)
    toroid = td.Toroid(group)
    for one, other in itertools.combinations(together.params, 2):
        assert toroid.distance(one, other) < 1e-11
    assert toroid.distance(together.mean, together.params[0]) < 1e-11


def test_moved_copies_meet_where_rows_and_columns_of_one_matrix_move():
    torch.manual_seed(0)
    w = torch.nn.Parameter(torch.randn(5, 4, dtype=torch.float64))
    model = Function(lambda m, x: x * m.w.std(1).sum(), w=w)
    group = td.discover(model, torch.randn(2, 3, dtype=torch.float64))
    copies = [
        group.apply(group.random(torch.Generator().manual_seed(s)), {"w": w.detach()})
        for s in (1, 2)
    ]
    mean = td.align_many(group, copies).mean
    assert mean.converged
    assert td.Toroid(group).distance(mean, td.align(group, copies[0], to=mean).params) < 1e-11


def test_the_mean_minimises_the_squared_distances():
    some = networks(3)
    group = td.symmetry.fully_connected_group(some[0])
    together = td.align_many(group, some)
    toroid = td.Toroid(group)

    def spread(point):
        return sum(toroid.distance(point, network) ** 2 for network in together.params)

    assert spread(together.mean) < min(spread(network) for network in together.params)


def test_a_budget_stops_early_and_nothing_is_worse():
    some = networks(4)
    group = td.symmetry.fully_connected_group(some[0])
    stopped = td.align_many(group, some, budget=1e-9)
    assert not stopped.converged
    assert stopped.similarity == pytest.approx(stopped.similarity_before)


def test_bad_requests():
    some = networks(2)
    group = td.symmetry.fully_connected_group(some[0])
    with pytest.raises(ToroidsError, match="there are 1 networks to align; pass two or more"):
        td.align_many(group, some[:1])
    with pytest.raises(ToroidsError, match="the method 'activations' compares what units"):
        td.align_many(group, some, method="activations")
    with pytest.raises(ParamsError, match="has shape"):
        td.align_many(group, [some[0], networks(1, widths=(6, 15, 12, 3))[0]])
