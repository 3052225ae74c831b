"""Scales of several spaces that act on the same weights are told apart together."""

import dataclasses

import pytest
import torch

import toroids as td
from toroids.canonical.plan import Plan
from toroids.canonical.told import Rows, Told


def legs(*places):
    return tuple(td.symmetry.Leg(tensor, axis, "write", tensor) for tensor, axis in places)


def heads_and_pairs() -> td.SymmetryGroup:
    """Queries, keys and values, where queries and keys scale by heads as well as by pairs."""
    scales = tuple(
        td.symmetry.Generator("rescale", powers) for powers in ((1.0, 0.0, -1.0), (0.0, 1.0, -1))
    )
    pairs = (td.symmetry.Generator("rescale", (1.0, -1.0)),)
    actions = frozenset({"rescale"})
    return td.SymmetryGroup(
        spaces=(
            td.symmetry.Space("pairs", 3, 1, actions, legs(("q", 1), ("k", 1)), pairs),
            td.symmetry.Space("heads", 2, 1, actions, legs(("q", 0), ("k", 0), ("v", 0)), scales),
        ),
        shapes={"q": (2, 3, 4), "k": (2, 3, 4), "v": (2, 5)},
    )


def network(seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = heads_and_pairs().shapes.items()
    return {name: torch.randn(s, dtype=torch.float64, generator=generator) for name, s in shapes}


def function(params):
    return torch.einsum("hpi,hpj,hd->ijd", params["q"], params["k"], params["v"])


@pytest.mark.parametrize("seed", range(3))
def test_scales_that_no_norms_of_one_tell_have_one_form_that_keeps_the_function(seed):
    group, params = heads_and_pairs(), network(seed)
    once = td.canonicalize(group, params)
    torch.testing.assert_close(function(once), function(params))
    element = group.random(torch.Generator().manual_seed(seed))
    moved = td.canonicalize(group, group.apply(element, params))
    for name, tensor in once.items():
        torch.testing.assert_close(moved[name], tensor, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(td.canonicalize(group, once)[name], tensor)
    td.Toroid(group).check(once)


def test_pivots_are_independent_over_all_spaces():
    plan = Plan(heads_and_pairs(), bias=True)
    assert plan.lacking == ["heads"]
    assert all(len(steps) == 1 for steps in plan.scales)


def test_rows_that_are_combinations_of_others_are_refused():
    a, b, c = (("rows", 0), ("columns", 0), ("columns", 1))
    told = Told("rescale")
    assert told.add({a: 1.0, b: -1.0}) and told.add({b: 2.0, c: 1.0})
    assert not told.add({a: 2.0, c: 1.0})
    assert told.add({c: 3.0})


def test_rows_of_signs_count_modulo_two():
    told = Told("flip")
    assert told.add({("rows", 0): 1.0, ("columns", 0): 1.0})
    assert not told.add({("rows", 0): -1.0, ("columns", 0): 3.0, ("columns", 1): 2.0})


def test_what_moves_in_part_need_not_move_in_step():
    group = heads_and_pairs()
    pairs, heads = group.spaces
    first = tuple(dataclasses.replace(leg, positions=(0, 1)) for leg in pairs.legs)
    part = dataclasses.replace(pairs, size=2, legs=first)
    row = Rows(dataclasses.replace(group, spaces=(part, heads)), "rescale").of(heads.legs[0])
    assert ("pairs", 0) not in row and len(row) == 2
    assert Rows(group, "rescale").of(heads.legs[0]) == {("pairs", 0): 1.0, ("heads", 0): 1.0}
