"""Many networks, their matrix of distances and their tree."""

import json

import pytest
import torch
from laws.networks import build

import toroids as td


def test_children_join_their_parents_before_strangers_join():
    case = build("two-hidden")
    a, b = case.params, case.other(1)
    generator = torch.Generator().manual_seed(0)
    children = [
        case.group.apply(
            case.group.random(generator),
            {
                n: x + 0.01 * torch.randn(x.shape, generator=generator).double()
                for n, x in p.items()
            },
        )
        for p in (a, b)
    ]
    family = td.compare_many(case.group, [a, b, *children], ["a", "b", "of a", "of b"])
    assert {frozenset(part.members) for part in family.tree.parts} == {
        frozenset({"a", "of a"}), frozenset({"b", "of b"}),
    }  # fmt: skip
    assert torch.equal(family.distances, family.distances.T)
    assert family.distances[0, 2] == family.comparisons[0, 2].distance < family.distances[0, 1]
    assert family.scores.diagonal().tolist() == [1] * 4
    assert sorted(family.order) == [0, 1, 2, 3]
    row = json.loads(json.dumps(family.row()))
    assert len(row["pairs"]) == 6 and row["pairs"][1]["networks"] == ["a", "of a"]


def test_names_must_tell_networks_apart():
    case = build("one-hidden")
    with pytest.raises(td.ToroidsError, match="give every network a name"):
        td.compare_many(case.group, [case.params, case.params], ["a", "a"])
    with pytest.raises(td.ToroidsError, match="1 networks to compare"):
        td.compare_many(case.group, [case.params])
