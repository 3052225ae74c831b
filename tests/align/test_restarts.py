"""Restarts without a budget, which moved copies are worth."""

import pytest
import torch

import toroids as td
from toroids.align.problem import Effort, Found, problem_of
from toroids.align.restarts import restarts


def network(seed):
    return td.models.fully_connected([4, 6, 6, 3], seed=seed).double().state_dict()


def found_from(start, reference):
    group = td.symmetry.fully_connected_group(reference)
    problem = problem_of(group, start, reference, Effort())
    nothing = Found(group.identity(), 0, True, "descent")
    return group, restarts(problem, nothing), nothing


@pytest.mark.parametrize("seed", range(3))
def test_a_copy_is_looked_for_until_it_comes_back(seed):
    params = td.canonicalize(td.symmetry.fully_connected_group(network(0)), network(0))
    units = td.symmetry.fully_connected_group(params).restricted({"permute"})
    moved = units.apply(units.random(torch.Generator().manual_seed(seed)), params)
    group, found, _ = found_from(moved, params)
    for name, tensor in group.apply(found.element, moved).items():
        torch.testing.assert_close(tensor, params[name])


def test_other_networks_are_left_where_they_are():
    _, found, before = found_from(network(1), network(0))
    assert found is before
