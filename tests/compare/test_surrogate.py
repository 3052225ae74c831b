"""Surrogates: what they keep of a network, and that no disguise changes them."""

import pytest
import torch
from laws.networks import build

import toroids as td
from toroids.compare.score import excess
from toroids.compare.surrogate import moved_axes, surrogate


def convolutional():
    layers = (
        torch.nn.Conv2d(2, 6, 3), torch.nn.ReLU(), torch.nn.Conv2d(6, 5, 3), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Linear(20, 3),
    )  # fmt: skip
    model = torch.nn.Sequential(*layers).double()
    group = td.discover(model, torch.randn(2, 2, 6, 6).double())
    return group, model.state_dict()


def test_moments_along_inputs_and_singular_values_stay_and_the_rest_does_not():
    case = build("two-hidden")
    a = dict(td.canonicalize(case.group, case.params))
    drawn = surrogate(case.group, a, 0)
    first, second = a["hidden1.weight"], a["hidden2.weight"]
    assert torch.allclose(drawn["hidden1.weight"].T @ drawn["hidden1.weight"], first.T @ first)
    values = torch.linalg.svdvals(drawn["hidden2.weight"])
    assert torch.allclose(values, torch.linalg.svdvals(second))
    assert not torch.allclose(drawn["hidden2.weight"], second, atol=0.1)
    outputs = drawn["output.weight"] @ drawn["output.weight"].T
    assert torch.allclose(outputs, a["output.weight"] @ a["output.weight"].T)
    assert drawn["output.bias"] is a["output.bias"]  # nothing moves it
    assert torch.equal(drawn["hidden1.bias"].sort().values, a["hidden1.bias"].sort().values)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_surrogate_is_a_property_of_the_orbit(seed):
    group, a = convolutional()
    b = group.apply(group.random(torch.Generator().manual_seed(seed)), a)
    one, other = (surrogate(group, dict(td.canonicalize(group, x)), seed) for x in (a, b))
    for name in group.parameters:
        assert torch.allclose(one[name], other[name], atol=1e-6), name
    again = surrogate(group, dict(td.canonicalize(group, a)), seed + 1)
    assert not torch.allclose(again["0.weight"], one["0.weight"], atol=0.1)


def test_axes_that_are_moved():
    group, _ = convolutional()
    axes = moved_axes(group)
    assert axes["0.weight"] == {0} and axes["2.weight"] == {0, 1} and "5.bias" not in axes


def test_networks_trained_on_one_set_are_alike_beyond_random_ones_and_not_beyond_surrogates():
    digits = td.data.digits(train=300)

    def make_model(seed):
        return td.models.fully_connected([64, 16, 16, 10], seed=seed, activation="tanh")

    solver = td.solvers.Adam(budget=5)
    a, b = (solver.train(make_model, digits.train, seed=s).params for s in (0, 1))
    found = td.compare(td.discover(make_model(0), digits.test[0][:2]), a, b)
    assert found.verdict != "related"
    assert found.beyond.mean == excess(found.score.mean, found.chance.mean)
    assert 0.2 < found.chance.mean < found.score.mean
