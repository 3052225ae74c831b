import pytest
import torch
from torch import nn

import toroids as td
from toroids.discovery import audit as audit_module
from toroids.discovery.audit import audit


def relu_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)), torch.randn(300, 3)


def test_units_that_never_fire_are_dead():
    model, inputs = relu_network()
    with torch.no_grad():
        model[0].bias[0] = -100.0
    found = audit(model, inputs, model.state_dict())
    assert (
        found.dead == 4 + 2 - 1
    )  # its weights, bias and outgoing weights; one of them by symmetry
    assert found.unexplained == 0


def test_a_symmetry_that_the_group_lacks_is_unexplained():
    model, inputs = relu_network()
    group = td.discover(model, inputs)
    without = td.SymmetryGroup((), group.shapes)
    assert audit(model, inputs, group=group).unexplained == 0
    assert audit(model, inputs, group=without).unexplained == 5


def test_too_few_outputs_give_a_lower_bound():
    model, _ = relu_network()
    found = audit(model, torch.randn(4, 3))
    assert found.lower_bound
    assert "lower bound" in str(found)


def test_the_estimate_for_large_networks_agrees_with_the_exact_rank(monkeypatch):
    model, inputs = relu_network()
    exact = audit(model, inputs)
    monkeypatch.setattr(audit_module, "DENSE", 10)
    estimate = audit(model, inputs)
    assert estimate.rank_stderr > 0
    assert abs(estimate.rank - exact.rank) < 4 * estimate.rank_stderr + 0.5
    assert "±" in str(estimate)


def test_no_outputs_are_refused():
    with pytest.raises(td.DataError, match="gives no outputs"):
        audit(nn.Linear(3, 2), torch.empty(0, 3))
