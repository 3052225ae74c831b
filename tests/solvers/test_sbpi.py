"""The rule of SBPI on examples where it can be followed by hand, and what it finds."""

import math

import pytest
import torch

import toroids as td
from toroids.errors import ToroidsError
from toroids.solvers.sbpi import Rule


def perceptron(inputs):
    return lambda seed: td.models.binary_perceptron(inputs, seed=seed)


def rule(inputs, hidden, **settings):
    """A rule that has come to some hidden states; inputs are times labels."""
    options = {"states": 9, "threshold": 1.0, "probability": 0.5, "seed": 0, **settings}
    found = Rule(torch.tensor([inputs]), torch.tensor(hidden).sign(), **options)
    found.hidden = torch.tensor(hidden)
    return found


@pytest.mark.parametrize("confirm", [False, True])
def test_a_wrong_perceptron_moves_every_state_by_two(confirm):
    one = rule([[1.0, 1.0, -1.0]], [[-3.0, 1.0, 1.0]])
    one.show(0, confirm)
    assert one.hidden.tolist() == [[-1.0, 3.0, -1.0]]


@pytest.mark.parametrize(
    ("confirm", "expected"), [(True, [[3.0, -5.0, 1.0]]), (False, [[1.0, -3.0, 1.0]])]
)
def test_barely_right_confirms_only_what_points_the_right_way(confirm, expected):
    one = rule([[1.0, -1.0, -1.0]], [[1.0, -3.0, 1.0]])  # the sum is 1
    one.show(0, confirm)
    assert one.hidden.tolist() == expected


def test_a_draw_is_wrong():
    one = rule([[1.0, 1.0]], [[-1.0, 3.0]])
    one.show(0, False)
    assert one.hidden.tolist() == [[1.0, 5.0]]


def test_what_is_right_enough_stays():
    one = rule([[1.0, 1.0, 1.0]], [[1.0, 3.0, 5.0]])  # the sum is 3
    one.show(0, True)
    assert one.hidden.tolist() == [[1.0, 3.0, 5.0]]


def test_states_are_bounded_and_odd():
    one = rule([[1.0, -1.0, -1.0]], [[9.0, 1.0, 9.0]], states=8)  # rounded up to 9
    one.show(0, False)
    assert one.hidden.tolist() == [[9.0, -1.0, 7.0]]


def test_a_wrong_committee_moves_the_units_that_are_nearest_to_turning():
    """The sums are -3, -1 and 3: one vote is missing, the second unit's is the cheapest."""
    one = rule([[1.0, 1.0, 1.0]], [[-1.0, -1.0, -1.0], [-1.0, -1.0, 1.0], [1.0, 1.0, 1.0]])
    one.show(0, True)
    assert one.hidden.tolist() == [[-1.0, -1.0, -1.0], [1.0, 1.0, 3.0], [1.0, 1.0, 1.0]]


def test_a_committee_that_is_right_by_one_vote_confirms_barely_right_units():
    """The sums are -3, 1 and 3: only the second unit is both right and near to turning."""
    one = rule([[1.0, 1.0, 1.0]], [[-1.0, -1.0, -1.0], [-1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    one.show(0, True)
    assert one.hidden.tolist() == [[-1.0, -1.0, -1.0], [-1.0, 3.0, 3.0], [1.0, 1.0, 1.0]]
    one = rule([[1.0, 1.0, 1.0]], [[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    one.show(0, True)  # right by three votes
    assert one.hidden.tolist() == [[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]


def test_units_of_a_tree_move_by_their_own_inputs():
    one = rule([[1.0], [-1.0], [-1.0]], [[-3.0], [-3.0], [5.0]])  # wrong, right, wrong
    one.show(0, False)
    assert one.hidden.tolist() == [[-1.0], [-3.0], [5.0]]


def test_real_inputs_move_a_weight_as_often_as_they_are_large():
    moved = torch.zeros(3)
    for seed in range(400):
        one = rule([[4.0, 1.0, 0.0]], [[-1.0, -1.0, -1.0]], seed=seed)
        one.show(0, False)
        moved += (one.hidden + 1)[0] / 2
    assert moved[[0, 2]].tolist() == [400, 0]
    assert moved[1].item() == pytest.approx(100, abs=35)  # four standard deviations


NETWORKS = {
    "perceptron": (perceptron(301), 301, 0.5),
    "committee": (lambda seed: td.models.binary_committee(101, 3, seed=seed), 101, 1.0),
    "tree": (lambda seed: td.models.binary_committee(303, 3, True, seed=seed), 303, 0.3),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_it_finds_solutions(name, device):
    make_model, inputs, density = NETWORKS[name]
    data = td.data.patterns(inputs, density, seed=0, binary=True).train
    found = td.solvers.SBPI().train(make_model, data, 1, device=device)
    assert found.ended == "zero error"
    assert found.params["hidden.weight"].abs().eq(1).all()
    assert td.evaluate(make_model(0), found.params, data).error == 0
    assert all(line.error > 0 for line in found.history[:-1])
    assert found.history[-1].error == 0


def test_gaussian_inputs():
    data = td.data.patterns(301, 0.3, seed=0).train
    assert td.solvers.SBPI().train(perceptron(301), data, 1).ended == "zero error"


def test_equal_seeds_give_equal_networks():
    data = td.data.patterns(15, 3.0, seed=0).train  # more than can be stored
    state = torch.random.get_rng_state()
    one, two, other = (
        td.solvers.SBPI(budget=4).train(perceptron(15), data, seed) for seed in (1, 1, 2)
    )
    assert (one.ended, len(one.history)) == ("budget", 4)
    assert one.history == two.history != other.history
    assert torch.equal(one.params["hidden.weight"], two.params["hidden.weight"])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_time_is_limited():
    data = td.data.patterns(15, 3.0, seed=0).train
    found = td.solvers.SBPI(budget=100_000, seconds=0.1).train(perceptron(15), data, 1)
    assert found.ended == "time"
    assert 1 <= len(found.history) < 100_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": 0}, "budget is 0"),
        ({"states": 0}, "states is 0"),
        ({"threshold": -1.0}, "threshold is -1.0"),
        ({"threshold": math.nan}, "threshold is nan"),
        ({"probability": 1.5}, "probability is 1.5"),
        ({"seconds": -1.0}, "seconds is -1.0"),
    ],
)
def test_settings_out_of_range(arguments, message):
    with pytest.raises(ToroidsError, match=message):
        td.solvers.SBPI(**arguments).train(perceptron(15), td.data.patterns(15, 0.5).train, 0)
