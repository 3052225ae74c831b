"""Restarts without a budget, which moved copies are worth."""

import pytest
import torch
from torch import nn

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


class Gated(nn.Module):
    """A stream whose layers have scales, so that whole tensors take signs that matrices take."""

    def __init__(self):
        super().__init__()
        self.into, self.out, self.norm = nn.Linear(3, 3), nn.Linear(3, 2), nn.RMSNorm(3)
        self.up, self.gate, self.down = (nn.Linear(3, 3) for _ in range(3))
        self.other, self.back = nn.Linear(3, 3), nn.Linear(3, 3)
        self.first, self.second = (nn.Parameter(torch.ones(())) for _ in range(2))

    def forward(self, x):
        h = self.into(x)
        n = self.norm(h)
        h = h + self.first * self.down(self.up(n) * self.gate(n).tanh())
        return self.out(h + self.second * self.back(self.other(h).tanh()))


@pytest.fixture(scope="module")
def gated():
    return td.discover(Gated(), torch.randn(4, 3))


@pytest.mark.parametrize("seed", [0, 2, 3, 4])
def test_signs_of_whole_tensors_come_back_together_with_what_turns(gated, seed):
    generator = torch.Generator().manual_seed(seed)
    params = {
        name: torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in gated.shapes.items()
    }
    moved = gated.apply(gated.random(generator), params)
    alignment = td.align(gated, moved, to=params)
    assert td.Toroid(gated).distance(alignment.reference, alignment.params) < 1e-9
    assert td.compare(gated, moved, params).verdict == "copy in disguise"


def test_signs_of_whole_tensors_leave_the_gains_of_what_turns(gated):
    turning = next(space for space in gated.spaces if space.of("rotate"))
    gains = {turning.legs[gain].tensor for gain in turning.gains}
    flips = [s for s in gated.spaces if s.size * s.copies == 1 and s.of("flip")]
    moved = {
        leg.tensor
        for space in flips
        for leg, power in zip(space.legs, space.of("flip")[0].exponents, strict=True)
        if power
    }
    assert gains == {"norm.weight"} and moved and not gains & moved
