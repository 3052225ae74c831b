import dataclasses

import pytest
import torch
from torch import nn

import toroids as td
from toroids.errors import DataError, ParamsError


@pytest.fixture
def model():
    return td.models.fully_connected([3, 4, 2])


@pytest.fixture
def group(model):
    return td.fully_connected_group(model.state_dict())


def test_bad_requests(model, group):
    with pytest.raises(DataError, match="trials is 0"):
        td.verify(group, model, torch.ones(2, 3), trials=0)
    with pytest.raises(ParamsError, match="`hidden1.weight` has shape"):
        td.verify(group, td.models.fully_connected([5, 4, 2]), torch.ones(2, 5))


def test_outputs_that_are_not_finite_give_nan(model, group):
    deviation = td.verify(group, model, torch.full((2, 3), float("inf")))
    assert deviation != deviation


def test_a_network_that_reads_integers():
    model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    group = td.fully_connected_group(model.state_dict(), layers=["1", "3"])
    assert td.verify(group, model, torch.arange(7)) < 1e-12


def test_zero_biases_hide_nothing(model, group):
    """A group that forgets the bias is right for zero biases only: the copy must be disturbed."""
    torch.nn.init.zeros_(model.hidden1.bias)
    (space,) = group.spaces
    kept = [at for at, leg in enumerate(space.legs) if leg.tensor != "hidden1.bias"]
    generator = td.Generator("rescale", tuple(space.generators[0].exponents[at] for at in kept))
    legs = tuple(space.legs[at] for at in kept)
    wrong = dataclasses.replace(space, legs=legs, generators=(generator,))
    inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    assert td.verify(dataclasses.replace(group, spaces=(wrong,)), model, inputs) > 1e-4
    assert td.verify(group, model, inputs) < 1e-12
