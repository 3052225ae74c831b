"""Duplicate and antipodal units are found and named; units that only look alike are not."""

import pytest
import torch
from torch import nn

import toroids as td


@pytest.fixture
def params():
    return td.models.fully_connected([3, 6, 5, 2], seed=0).double().state_dict()


def copied(params, layer, source, target, factor):
    for part in ("weight", "bias"):
        params[f"{layer}.{part}"][target] = factor * params[f"{layer}.{part}"][source]


def test_duplicates_are_found_whatever_their_scales(params):
    copied(params, "hidden1", 1, 4, 3.0)
    copied(params, "hidden2", 0, 2, 0.2)
    copied(params, "hidden2", 0, 3, 7.0)
    group = td.symmetry.fully_connected_group(params)
    expected = (
        "space `hidden1`: units 1 and 4 are duplicates, which always agree",
        "space `hidden2`: units 0 and 2 and 3 are duplicates, which always agree",
    )
    for gauge in ("sphere", "balanced"):
        assert td.canonicalize(group, params, gauge).notes == expected
    single = {name: tensor.float() for name, tensor in params.items()}
    assert len(td.canonicalize(group, single).notes) == 2


def test_many_zero_units_are_counted():
    params = td.models.fully_connected([3, 30, 2], seed=0).double().state_dict()
    params["hidden1.weight"][:] = 0
    params["hidden1.bias"][:] = 0
    (note,) = td.canonicalize(td.symmetry.fully_connected_group(params), params).notes
    assert "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9] and 20 more have zero norm" in note


def test_half_precision_makes_no_duplicates_of_units_that_differ(params):
    copied(params, "hidden1", 1, 4, 1.0)
    params["hidden1.weight"][4, 0] *= 1.03
    half = {name: tensor.bfloat16() for name, tensor in params.items()}
    group = td.symmetry.fully_connected_group(half)
    assert td.canonicalize(group, half).notes == ()
    assert td.align(group, half, to=half).params.notes == ()


def test_antipodal_units_are_found(params):
    copied(params, "hidden1", 5, 2, -0.5)
    group = td.symmetry.fully_connected_group(params)
    assert td.canonicalize(group, params).notes == (
        "space `hidden1`: units 2 and 5 are antipodal: their incoming weights are opposite",
    )


def test_units_that_are_merely_close_are_not_named(params):
    copied(params, "hidden1", 1, 4, 3.0)
    params["hidden1.bias"][4] += 1e-9
    assert td.canonicalize(td.symmetry.fully_connected_group(params), params).notes == ()


def test_a_depthwise_filter_that_repeats_makes_no_duplicate():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Flatten(2), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 2),
    ).double().eval()  # fmt: skip
    group = td.discover(model, torch.zeros(2, 3, 5, 5).double())
    params = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    params["2.weight"][1] = params["2.weight"][3]
    params["2.bias"][1] = params["2.bias"][3]
    assert td.canonicalize(group, params).notes == ()
    params["0.weight"][1] = params["0.weight"][3]
    params["0.bias"][1] = params["0.bias"][3]
    notes = td.canonicalize(group, params).notes
    assert len(notes) == 1
    assert "1 and 3 are duplicates" in notes[0]


class TwoTables(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Embedding(5, 4), nn.Embedding(2, 4)
        self.read = nn.Linear(4, 3)

    def forward(self, i, j):
        return self.read((self.a(i) + self.b(j)).relu())


def test_a_shift_that_leaves_next_to_nothing_is_removed_to_the_rounding_of_what_is_left():
    torch.manual_seed(0)
    model = TwoTables()
    group = td.discover(model, (torch.zeros(2, 3).long(), torch.zeros(2, 3).long()))
    params = dict(model.state_dict())
    params["b.weight"] = 1.7 + 1e-6 * torch.randn(2, 4)
    td.Toroid(group).check(td.canonicalize(group, params))
