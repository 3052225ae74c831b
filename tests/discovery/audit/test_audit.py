from dataclasses import replace

import pytest
import torch
from discovery.function import Function
from torch import nn

import toroids as td
from toroids.discovery.audit import audit as audit_module
from toroids.discovery.audit.audit import audit


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
    found = audit(model, inputs, group=without)
    assert found.unexplained == 5
    assert sum(found.where.values()) == pytest.approx(1)
    assert list(found.where.values()) == sorted(found.where.values(), reverse=True)
    assert set(found.where) == {"0.weight", "0.bias", "2.weight"}  # not the bias that is free
    assert f"5 unexplained (in {next(iter(found.where))}" in str(found)


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


class Residual(nn.Module):
    """A stream that is normed, so that it can be rotated, and read as it is."""

    def __init__(self, width):
        super().__init__()
        self.a, self.n, self.b = nn.Linear(3, width), nn.RMSNorm(width), nn.Linear(width, width)
        self.c, self.o = nn.Linear(width, width), nn.Linear(width, 2)

    def forward(self, x):
        h = self.a(x)
        return self.o(h + self.c(torch.tanh(self.b(self.n(h)))))


def without_rotations(group):
    spaces = (
        replace(
            space,
            actions=space.actions - {"rotate"} | {"permute"},
            generators=tuple(g for g in space.generators if g.action != "rotate"),
        )
        for space in group.spaces
    )
    return replace(group, spaces=tuple(spaces))


def test_what_is_left_of_a_large_network_is_that_of_a_narrow_one(monkeypatch):
    inputs = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    models = Residual(8), Residual(16)
    small, large = (without_rotations(td.discover(model, inputs)) for model in models)
    narrow, exact = audit(models[0], inputs, group=small), audit(models[1], inputs, group=large)
    monkeypatch.setattr(audit_module, "DENSE", 10)
    found = audit(models[1], inputs, group=large)
    counts = ("parameters", "rank", "symmetry_dimension", "dead", "linear_redundant", "unexplained")
    assert all(getattr(found.twin, name) == getattr(narrow, name) for name in counts)
    assert (found.symmetry_dimension, found.dead) == (exact.symmetry_dimension, exact.dead)
    assert narrow.unexplained > 0
    assert narrow.linear_redundant > 0
    assert 0 < abs(found.rank - exact.rank) < 3 * found.rank_stderr
    assert found.unexplained / exact.unexplained == pytest.approx(1, abs=0.5)
    assert "narrow twin" in str(found)


def test_what_the_group_of_a_large_network_explains_is_explained(monkeypatch):
    torch.manual_seed(0)
    model, inputs = (
        nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 2)),
        torch.randn(300, 3),
    )
    with torch.no_grad():
        model[0].bias[:4] = -100.0  # dead
    exact = audit(model, inputs, model.state_dict())
    monkeypatch.setattr(audit_module, "DENSE", 10)
    found = audit(model, inputs, model.state_dict())
    assert (found.dead, found.symmetry_dimension) == (exact.dead, exact.symmetry_dimension)
    assert (found.unexplained, found.linear_redundant, found.rank_stderr) == (0, 0, 0)
    assert found.rank == exact.rank


def test_the_padding_row_of_an_embedding_is_not_dead():
    model = nn.Sequential(nn.Embedding(4, 3, padding_idx=0), nn.GELU(), nn.Linear(3, 2))
    with torch.no_grad():
        model[0].weight.normal_()
    assert audit(model, torch.arange(4).repeat(10, 1)).dead == 0


class Words(nn.Module):
    """A table of words, which reads what a norm with gains and biases writes, and one of places."""

    def __init__(self):
        super().__init__()
        self.words, self.places, self.a = nn.Embedding(7, 4), nn.Embedding(5, 4), nn.Linear(4, 4)
        self.first, self.last = (nn.LayerNorm(4, eps=0.1) for _ in range(2))
        self.bias = nn.Parameter(torch.randn(7))

    def forward(self, ids):
        h = self.first(self.words(ids) + self.places.weight[: ids.shape[1]])
        return self.last(torch.tanh(self.a(h))) @ self.words.weight.T + self.bias


def test_what_a_table_of_words_adds_along_inverse_gains_another_table_takes_back():
    torch.manual_seed(0)
    found = audit(Words(), torch.randint(0, 7, (12, 5)))
    assert found.unexplained == 0
    assert found.linear_redundant > 0


def test_complex_numbers_put_in_a_slice_have_slopes():
    def forward(m, x):
        waves, kept = torch.fft.rfft(x), torch.fft.rfft(torch.zeros_like(x))
        kept[..., :3] = waves[..., :3] * torch.view_as_complex(m.weights)  # begins at an odd place
        return torch.fft.irfft(kept, n=8) * m.first

    parts = {"first": nn.Parameter(torch.ones(())), "weights": nn.Parameter(torch.randn(3, 2))}
    found = td.audit(Function(forward, **parts), torch.randn(9, 8))
    # one number times all of them; of the mean of real numbers there is no imaginary part
    assert (found.rank, found.symmetry_dimension, found.dead, found.unexplained) == (5, 1, 1, 0)


def test_no_outputs_are_refused():
    with pytest.raises(td.errors.DataError, match="gives no outputs"):
        audit(nn.Linear(3, 2), torch.empty(0, 3))


class Made(nn.Module):
    """A layer whose weights and biases another map makes of a code."""

    def __init__(self):
        super().__init__()
        self.code = nn.Parameter(torch.randn(4))
        self.weights = nn.Linear(4, 3 * 5)
        self.biases = nn.Linear(4, 5)
        self.output = nn.Linear(5, 2)

    def forward(self, x):
        weights, biases = self.weights(self.code).view(5, 3), self.biases(self.code)
        return self.output(nn.functional.linear(x, weights, biases).relu())


def test_biases_of_which_units_have_several_are_no_gains():
    torch.manual_seed(0)
    assert td.audit(Made(), torch.randn(60, 3)).unexplained == 0
