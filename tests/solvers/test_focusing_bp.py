"""Messages against enumeration, and solutions against the network that they are for."""

import itertools
import math

import pytest
import torch

import toroids as td
from toroids.errors import DataError, ToroidsError
from toroids.solvers.focusing_bp import Messages, focus, from_examples, vote

N = 15
# every weight vector of length 15
ALL = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=N)), dtype=torch.float64)


def perceptron(seed):
    return td.models.binary_perceptron(N, seed=seed)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def solutions(signed):
    """Every weight vector that is right about all examples, which are times their labels."""
    return ALL[(ALL @ signed.T > 0).all(1)]


def marginals(signed):
    messages = Messages(signed[:, None], units=1, damping=0.3, seed=0)
    for _ in range(100):
        fields = messages.update(gamma=0.0, replicas=1)
    assert torch.allclose(messages.update(gamma=0.0, replicas=1), fields, atol=1e-8)
    return fields.tanh()[0]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_marginals_are_those_of_all_solutions(count, binary, seed):
    """Their root mean square deviation is 1 / N, the order of what the central limit and the
    neglect of loops leave out."""
    inputs = normal(count, N, seed=seed)
    if binary:
        inputs = inputs.sign()
    exact = solutions(inputs).mean(0)
    assert exact.square().mean().sqrt() > 3 / N  # else no message at all would do
    assert (marginals(inputs) - exact).square().mean().sqrt() < 1 / N


def test_the_replicas_field_is_that_of_a_star():
    """A weight, a reference and three other replicas: the sum over all their signs."""
    gamma, h = 0.7, torch.tensor([-1.2, 0.0, 0.3, 2.5], dtype=torch.float64)
    odds = {}
    for s in (-1, 1):
        odds[s] = sum(
            torch.exp(gamma * s * star + sum((gamma * star + h) * other for other in others))
            for star, *others in itertools.product((-1, 1), repeat=4)
        )
    expected = (odds[1].log() - odds[-1].log()) / 2
    assert torch.allclose(focus(3 * focus(h, gamma), gamma), expected, rtol=1e-12)


def test_focus_at_its_limits():
    h = torch.tensor([-1e30, -2.0, 0.0, 2.0, 1e30])
    assert torch.equal(focus(h, 0.0), torch.zeros(5))
    assert torch.equal(focus(h, math.inf), h)
    assert focus(h, 1.5)[[0, -1]].tolist() == [-1.5, 1.5]
    assert focus(h, 300.0)[3].item() == pytest.approx(2.0, rel=1e-4)  # not tanh(300) = 1


@pytest.mark.parametrize("units", [1, 3, 5])
def test_the_vote_against_all_votes(units):
    z = normal(4, units, seed=units)
    chance = torch.special.ndtr(z)
    right, wrong = vote(z)
    for unit in range(units):
        others = [k for k in range(units) if k != unit]
        for itself, found in ((1, right), (0, wrong)):
            expected = torch.zeros(4).double()
            for pattern in itertools.product((0, 1), repeat=units - 1):
                if sum(pattern) + itself > units / 2:
                    expected += math.prod(
                        (
                            chance[:, k] if is_right else 1 - chance[:, k]
                            for k, is_right in zip(others, pattern, strict=True)
                        ),
                        start=torch.ones(4).double(),
                    )
            assert torch.allclose(found[:, unit, 0].exp(), expected, rtol=1e-10)


def test_the_vote_of_certain_units_is_finite():
    """One unit that is surely wrong, by far more than a probability can hold."""
    right, wrong = vote(torch.tensor([[-1e4, 3.0, 1e4]]))
    assert bool(torch.isfinite(right).all() and torch.isfinite(wrong).all())
    assert wrong[0, 1].item() < -1e7  # the first unit would have to be right


def chance_positive(means):
    """Probability that a sum of independent signs with these means is positive."""
    counts = torch.ones(1, dtype=torch.float64)  # of how many are +1
    for mean in means:
        down, up = counts * (1 - mean) / 2, counts * (1 + mean) / 2
        counts = torch.cat([down, down[:1] * 0]) + torch.cat([up[:1] * 0, up])
    return counts[len(means) // 2 + 1 :].sum()


@pytest.mark.parametrize("tree", [False, True])
def test_messages_of_a_committee_against_exact_sums(tree):
    """Three units of 101 weights; the central limit leaves out 1 / 101 of a message, and more
    where units are nearly decided: a tenth of the largest is far from any other formula."""
    inputs, fields = (
        normal(1, 3 if tree else 1, 101, seed=2).sign(),
        0.2 * normal(1, 3, 101, seed=3),
    )
    means = (inputs * fields.tanh())[0]
    chances = [chance_positive(unit) for unit in means]
    found, expected = [], []
    for k, i in itertools.product(range(3), range(0, 101, 10)):
        p, q = (chances[other] for other in range(3) if other != k)
        right, wrong = p + q - p * q, p * q  # one of the others is needed, or both
        odds = []
        for sign in (1.0, -1.0):
            given = means[k].clone()
            given[i] = sign
            chance = chance_positive(given)
            odds.append(right * chance + wrong * (1 - chance))
        expected.append((odds[0] / odds[1]).log() / 2 * inputs[0].expand(3, -1)[k, i])
        found.append(from_examples(inputs, fields)[0, k, i])
    expected, found = torch.stack(expected), torch.stack(found)
    assert expected.abs().max() > 0.02  # about 1 / sqrt(101), shared by three
    assert torch.allclose(found, expected, atol=0.1 * expected.abs().max().item())


def test_what_it_finds_is_a_solution_where_there_are_few(device):
    inputs, labels = normal(11, N, seed=9), torch.arange(11) % 2
    some = solutions(inputs * (2 * labels - 1)[:, None])
    assert 1 <= len(some) < 100  # of 32768
    found = td.solvers.FocusingBP().train(perceptron, (inputs, labels), 0, device=device)
    assert found.ended == "zero error"
    assert (some == found.params["hidden.weight"].cpu().double()).all(1).any()


NETWORKS = {
    "perceptron": (501, 1, False),
    "committee": (101, 3, False),
    "tree": (303, 3, True),
}


def build(inputs, hidden, tree):
    if hidden == 1:
        return lambda seed: td.models.binary_perceptron(inputs, seed=seed)
    return lambda seed: td.models.binary_committee(inputs, hidden, tree, seed=seed)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_half_an_example_per_weight_is_stored(name, binary, device):
    inputs, hidden, tree = NETWORKS[name]
    make_model = build(inputs, hidden, tree)
    density = 0.5 * make_model(0).hidden.weight.numel() / inputs
    data = td.data.patterns(inputs, density, seed=2, binary=binary).train
    found = td.solvers.FocusingBP(budget=100).train(make_model, data, 3, device=device)
    assert found.ended == "zero error"
    assert set(found.params) == {"hidden.weight"}
    assert found.params["hidden.weight"].abs().eq(1).all()
    assert td.evaluate(make_model(0), found.params, data).error == 0
    assert found.history[-1].error == 0
    assert all(line.error > 0 for line in found.history[:-1])
    assert [line.epoch for line in found.history] == list(range(1, len(found.history) + 1))


def test_reinforced_belief_propagation_is_the_limit_of_strong_coupling():
    make_model, data = build(*NETWORKS["perceptron"]), td.data.patterns(501, 0.5, 2).train
    options = {"replicas": (1.0, 20.0), "focusing": (math.inf, math.inf)}
    found = td.solvers.FocusingBP(**options).train(make_model, data, 1)
    assert found.ended == "zero error"
    assert found.history[0].coupling == math.inf


def test_gamma_grows_over_the_budget_and_equal_seeds_give_equal_networks():
    data = td.data.patterns(N, 2.0, seed=0).train  # more than can be stored
    state = torch.random.get_rng_state()
    one, two, other = (
        td.solvers.FocusingBP(budget=5, focusing=(0.0, 2.0)).train(perceptron, data, seed)
        for seed in (1, 1, 2)
    )
    assert one.ended == "budget"
    assert [line.coupling for line in one.history] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert one.history == two.history != other.history
    assert torch.equal(one.params["hidden.weight"], two.params["hidden.weight"])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_inputs_of_any_size_are_the_same_to_it():
    inputs, labels = td.data.patterns(N, 0.9, seed=0).train
    runs = [
        td.solvers.FocusingBP(budget=20).train(perceptron, (inputs * size, labels), 1).history
        for size in (1.0, 2.0**-60, 2.0**100)  # powers of two, so that nothing is rounded
    ]
    errors = [[line.error for line in history] for history in runs]
    assert errors[0] == errors[1] == errors[2]


def test_time_divergence_and_empty_inputs():
    data = td.data.patterns(N, 2.0, seed=0).train
    found = td.solvers.FocusingBP(budget=10_000, seconds=0.1).train(perceptron, data, 1)
    assert found.ended == "time"
    assert 1 <= len(found.history) < 10_000
    strong = (math.inf, math.inf)
    found = td.solvers.FocusingBP(replicas=1e300, focusing=strong).train(perceptron, data, 1)
    assert found.ended == "diverged"
    assert "in iteration 1, at gamma inf; pass fewer replicas" in found.note
    assert found.params["hidden.weight"].abs().eq(1).all()
    nothing = torch.zeros(4, N), torch.arange(4) % 2  # every sum is a draw
    assert td.solvers.FocusingBP(budget=3).train(perceptron, nothing, 1).ended == "budget"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": 0}, "budget is 0"),
        ({"replicas": 0.5}, "replicas is 0.5; pass 1 or more"),
        ({"replicas": (1.0, math.inf)}, "finite"),
        ({"focusing": (-0.1, 1.0)}, "pass two numbers of 0 or more"),
        ({"focusing": (0.1, math.nan)}, "pass two numbers of 0 or more"),
        ({"focusing": (0.1, math.inf)}, "both finite or both infinite"),
        ({"damping": 1.0}, "damping is 1.0"),
        ({"seconds": 0.0}, "seconds is 0.0"),
    ],
)
def test_settings_out_of_range(arguments, message):
    data = td.data.patterns(N, 0.5).train
    with pytest.raises(ToroidsError, match=message):
        td.solvers.FocusingBP(**arguments).train(perceptron, data, 0)
    with pytest.raises(ToroidsError, match="the seeds are"):
        td.solvers.FocusingBP().train(perceptron, data, -1)


def with_threshold(seed):
    model = td.models.binary_committee(N, 3, seed=seed)
    model.sign.threshold = 0.5
    return model


@pytest.mark.parametrize("solver", ["FocusingBP", "SBPI"])
@pytest.mark.parametrize(
    "make_model",
    [
        lambda seed: td.models.spherical_perceptron(N, seed=seed),
        lambda seed: td.models.committee(N, 3, "tanh", seed=seed),
        lambda seed: td.models.binary_fully_connected([N, 3, 2], seed=seed),
        with_threshold,
    ],
)
def test_other_networks_are_refused(solver, make_model):
    data = td.data.patterns(N, 0.5).train
    with pytest.raises(ToroidsError, match="takes what td.models.binary_perceptron and"):
        getattr(td.solvers, solver)().train(make_model, data, 0)


@pytest.mark.parametrize("solver", ["FocusingBP", "SBPI"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x, y + 5), "label . .* not one of the network's 2 classes"),
        (lambda x, y: (x * math.nan, y), "look for NaN in the inputs"),
        (lambda x, y: (x[:0], y[:0]), "no examples"),
        (lambda x, y: (x[:, :3], y), "cannot run on inputs of shape"),
    ],
)
def test_data_that_do_not_fit_get_one_sentence(solver, change, message):
    with pytest.raises(DataError, match=message):
        getattr(td.solvers, solver)().train(perceptron, change(*td.data.patterns(N, 0.5).train), 0)
