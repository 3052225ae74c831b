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


def on_one_axis() -> td.SymmetryGroup:
    """The same with all queries on one axis, each pair two entries that lie apart."""
    group = heads_and_pairs()
    places = torch.arange(12).view(2, 3, 2)  # heads, pairs, entries

    def flat(leg, *parts):
        positions = [tuple(part.flatten().tolist()) for part in parts]
        return [dataclasses.replace(leg, axis=0, positions=x) for x in positions]

    pairs, heads = group.spaces
    apart = [x for leg in pairs.legs for x in flat(leg, *places.transpose(0, 1).unbind(2))]
    scale = td.symmetry.Generator("rescale", (1.0, 1.0, -1.0, -1.0))
    whole = [x for leg in heads.legs[:2] for x in flat(leg, places)]
    return td.SymmetryGroup(
        spaces=(
            dataclasses.replace(pairs, legs=tuple(apart), generators=(scale,)),
            dataclasses.replace(heads, legs=(*whole, heads.legs[2])),
        ),
        shapes={"q": (12, 2), "k": (12, 2), "v": (2, 5)},
    )


def network(group, seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = group.shapes.items()
    return {name: torch.randn(s, dtype=torch.float64, generator=generator) for name, s in shapes}


def function(params):
    q, k = (params[name].view(2, 3, -1) for name in ("q", "k"))
    return torch.einsum("hpi,hpj,hd->ijd", q, k, params["v"])


@pytest.mark.parametrize("make", [heads_and_pairs, on_one_axis])
@pytest.mark.parametrize("seed", range(2))
def test_scales_that_no_norms_of_one_tell_have_one_form_that_keeps_the_function(make, seed):
    group = make()
    params = network(group, seed)
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


def told(*rows):
    """The rows that a space adds, one after another; which of them are new."""
    kept, new = Told("rescale"), []
    for row, own in rows:
        new.append(kept.is_new(row, own))
        kept.add(row, own)
    return new


def test_rows_that_are_combinations_of_others_are_refused():
    a, b, c = (("rows", 0), ("columns", 0), ("columns", 1))
    new = told(
        ({a: 1.0, b: -1.0}, "rows"),
        ({b: 2.0, c: 1.0}, "columns"),
        ({a: 2.0, c: 1.0}, "rows"),
        ({c: 3.0}, "columns"),
    )
    assert new == [True, True, False, True]


def test_a_row_that_only_others_move_besides_is_refused():
    rows, columns, whole = (("rows", 0), ("columns", 0), ("whole", 0))
    new = told(
        ({rows: 1.0, columns: 1.0}, "rows"), ({rows: 1.0, columns: 1.0, whole: 1.0}, "columns")
    )
    assert new == [True, False]


def test_rows_of_signs_count_modulo_two():
    signs = Told("flip")
    signs.add({("rows", 0): 1.0, ("columns", 0): 1.0}, "rows")
    assert not signs.is_new({("rows", 0): -1.0, ("columns", 0): 3.0, ("columns", 1): 2.0}, "rows")


def test_what_moves_in_part_need_not_move_in_step():
    group = heads_and_pairs()
    pairs, heads = group.spaces
    first = tuple(dataclasses.replace(leg, positions=(0, 1)) for leg in pairs.legs)
    part = dataclasses.replace(pairs, size=2, legs=first)
    row = Rows(dataclasses.replace(group, spaces=(part, heads)), "rescale").of(heads.legs[0])
    assert ("pairs", 0) not in row and len(row) == 2
    assert Rows(group, "rescale").of(heads.legs[0]) == {("pairs", 0): 1.0, ("heads", 0): 1.0}
