import dataclasses
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from discovery.function import Function
from torch import nn

import toroids as td
from toroids.discovery.proof.proof import Deviation
from toroids.errors import DataError, ParamsError, ProofWarning, ToroidsError


@pytest.fixture
def model():
    return td.models.fully_connected([3, 4, 2])


@pytest.fixture
def group(model):
    return td.symmetry.fully_connected_group(model.state_dict())


def test_bad_requests(model, group):
    with pytest.raises(DataError, match="trials is 0"):
        td.verify(group, model, torch.ones(2, 3), trials=0)
    with pytest.raises(ParamsError, match="`hidden1.weight` has shape"):
        td.verify(group, td.models.fully_connected([5, 4, 2]), torch.ones(2, 5))


def test_outputs_that_are_not_finite_prove_nothing(model, group):
    with pytest.raises(DataError, match="NaN or infinite, so that nothing can be proven"):
        td.verify(group, model, torch.full((2, 3), float("inf")))


def test_a_network_that_reads_integers():
    model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    group = td.symmetry.fully_connected_group(model.state_dict(), layers=["1", "3"])
    assert td.verify(group, model, torch.arange(7)) < 1e-12


def test_zero_biases_hide_nothing(model, group):
    """A group that forgets the bias is right for zero biases only: the copy must be disturbed."""
    torch.nn.init.zeros_(model.hidden1.bias)
    (space,) = group.spaces
    kept = [at for at, leg in enumerate(space.legs) if leg.tensor != "hidden1.bias"]
    generator = td.symmetry.Generator(
        "rescale", tuple(space.generators[0].exponents[at] for at in kept)
    )
    legs = tuple(space.legs[at] for at in kept)
    wrong = dataclasses.replace(space, legs=legs, generators=(generator,))
    inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    assert td.verify(dataclasses.replace(group, spaces=(wrong,)), model, inputs) > 1e-4
    assert td.verify(group, model, inputs) < 1e-12


def test_tied_weights_are_loaded_as_the_module_loads_them():
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    params = model.state_dict()
    group = td.symmetry.fully_connected_group(params, layers=["0", "2", "4"])
    assert td.verify(group, model, torch.randn(8, 8)) < 1e-12
    model[2].weight = model[0].weight
    assert td.verify(group, model, torch.randn(8, 8)) > 1e-2


@pytest.mark.parametrize("output", ["logits", "classifier"])
def test_what_a_reader_of_the_outputs_sees_is_measured(output):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 4, generator=generator)
    body = td.models.fully_connected([4, 16, 3], seed=1)
    group = td.symmetry.fully_connected_group(body.state_dict(), output=output)
    assert td.verify(group, body, inputs) < 1e-12

    def ended_by(last):
        model = nn.Sequential(OrderedDict(body.named_children()))
        model.add_module("last", last)
        return td.verify(group, model, inputs)

    assert ended_by(nn.LogSoftmax(dim=1)) < 1e-12
    assert ended_by(nn.ReLU()) > 1e-2
    if output == "classifier":
        assert ended_by(nn.Softmax(dim=1)) < 1e-12

    longer = td.models.fully_connected([4, 6, 5, 3], seed=1)
    prefix = td.symmetry.fully_connected_group(
        longer.state_dict(), output=output, layers=["hidden1", "hidden2"]
    )
    assert td.verify(prefix, longer, inputs) > 1e-2


def test_structured_outputs_and_empty_batches(model, group):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden1, self.output = model.hidden1, model.output

        def forward(self, inputs):
            return {"scores": self.output(self.hidden1(inputs).relu())}

    assert td.verify(group, Wrapped(), torch.randn(4, 3), output_key="scores") < 1e-12
    with pytest.raises(DataError, match="pass at least one example"):
        td.verify(group, model, torch.empty(0, 3))


class Masking(nn.Module):
    """Gives a mask beside its outputs, of which no entry is finite."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x):
        mask = torch.full((len(x), 3), -torch.inf)
        return {"logits": self.outer(torch.relu(self.inner(x))), "mask": mask}


def test_an_output_without_a_finite_entry_takes_nothing_down_and_is_said():
    group = td.discover(Masking(), torch.randn(3, 4))
    assert group.spaces[0].actions == {"permute", "rescale"}
    assert any("`mask` was nowhere finite" in note for note in group.notes)


def test_sizes_at_which_nothing_is_finite_take_nothing_down():
    def forward(m, x):  # of one column nothing is left to be summed
        return F.linear(x[:, 1:3].logsumexp(-1, keepdim=True), m.inner.weight.t() @ m.outer.weight)

    model = Function(forward, inner=nn.Linear(1, 5, bias=False), outer=nn.Linear(1, 5, bias=False))
    group = td.discover(model, torch.randn(5, 4))
    assert group.spaces[0].size == 5


def test_a_proof_that_nothing_passes_comes_to_an_end(monkeypatch):
    monkeypatch.setattr(
        "toroids.discovery.discover.violations",
        lambda *_: ([("output", "shift")], Deviation(1.0, "`output`")),
    )
    with pytest.raises(ToroidsError, match="where nothing was moved"), pytest.warns(ProofWarning):
        td.discover(nn.Linear(4, 2), torch.randn(3, 4))
