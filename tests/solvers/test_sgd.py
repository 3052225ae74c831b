import math
import re

import pytest
import torch
from torch import nn

import toroids as td
from toroids.errors import DataError, ToroidsError
from toroids.solvers.recipe import Recipe
from toroids.solvers.sgd import nesterov
from toroids.solvers.training import set_lr


def test_the_step_is_nesterovs_on_a_quadratic():
    """Loss w^2 / 2, gradient w: v <- mu v + g, w <- w - lr (g + mu v), with decay in g."""
    recipe = td.solvers.SGD(lr=0.1, momentum=0.9, weight_decay=0.01)
    module = nn.Linear(1, 1, bias=False)
    optimizer = nesterov(module, recipe)
    w, v = module.weight.item(), 0.0
    for epoch in range(5):
        lr = recipe.rate(epoch)
        assert lr == pytest.approx(0.05 * (1 + math.cos(math.pi * epoch / 60)))
        set_lr(optimizer, lr)
        module.weight.grad = module.weight.detach().clone()
        optimizer.step()
        g = w + 0.01 * w
        v = 0.9 * v + g
        w -= lr * (g + 0.9 * v)
        assert module.weight.item() == pytest.approx(w, rel=1e-5)


def test_it_learns_and_records_what_ended_it(make_model, data, device):
    trained = td.solvers.SGD(budget=200, batch_size=10).train(
        make_model, data, seed=1, device=device
    )
    assert trained.ended == "zero error"
    assert trained.history[-1].error == 0
    assert all(epoch.error > 0 for epoch in trained.history[:-1])
    assert [epoch.epoch for epoch in trained.history] == list(range(1, len(trained.history) + 1))
    assert trained.gradient_steps == 6 * len(trained.history)
    assert td.evaluate(make_model(0), trained.params, data).error == 0


def test_zero_error_must_be_held(make_model, data):
    once = td.solvers.SGD(budget=200, batch_size=10).train(make_model, data, seed=1)
    held = td.solvers.SGD(budget=200, batch_size=10, hold=4).train(make_model, data, seed=1)
    assert [epoch.error for epoch in held.history[-4:]] == [0] * 4
    assert len(held.history) >= len(once.history) + 3


def test_a_spent_budget_is_recorded(make_model, data):
    trained = td.solvers.SGD(budget=2).train(make_model, data, seed=1)
    assert (trained.ended, len(trained.history)) == ("budget", 2)


def test_equal_seeds_give_equal_networks(make_model, data):
    state = torch.random.get_rng_state()
    one, two, other = (td.solvers.SGD(budget=3).train(make_model, data, seed) for seed in (1, 1, 2))
    assert all(torch.equal(one.params[name], two.params[name]) for name in one.params)
    assert not torch.equal(one.params["output.bias"], other.params["output.bias"])
    assert torch.equal(torch.random.get_rng_state(), state)  # the global state is not touched


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": 0}, "budget is 0"),
        ({"hold": 0}, "hold is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"momentum": 1.0}, "momentum is 1.0"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
        ({"schedule": "linear"}, "no schedule 'linear'; choose from"),
        ({"clip": 0.0}, "clip is 0.0"),
        ({"seconds": -1.0}, "seconds is -1.0"),
    ],
)
def test_settings_out_of_range(make_model, data, arguments, message):
    with pytest.raises(ToroidsError, match=message):
        td.solvers.SGD(**arguments).train(make_model, data, seed=0)


def test_bad_data(make_model, data):
    with pytest.raises(DataError, match="no examples"):
        td.solvers.SGD().train(make_model, (data[0][:0], data[1][:0]), seed=0)
    with pytest.raises(DataError, match="60 inputs but 59 labels"):
        td.solvers.SGD().train(make_model, (data[0], data[1][:-1]), seed=0)


def test_divergence_ends_with_a_record_that_says_where(make_model, data):
    found = td.solvers.SGD(lr=1e20, batch_size=10).train(
        make_model, (data[0] * 1e4, data[1]), seed=0
    )
    assert found.ended == "diverged"
    assert re.match(
        r"the loss is NaN or infinite in epoch 1 of phase 'train', from step \d of it on, at "
        r"learning rate 1e\+20; lower",
        found.note,
    )
    assert all(bool(torch.isfinite(tensor).all()) for tensor in found.params.values())
    initial = make_model(0).state_dict()
    assert all(torch.equal(found.params[name], tensor) for name, tensor in initial.items())


@pytest.mark.parametrize("schedule", ["cosine", "constant", "step"])
def test_schedules(schedule):
    rates = [Recipe(budget=8, lr=0.8, schedule=schedule).rate(epoch) for epoch in range(8)]
    expected = {
        "cosine": [0.4 * (1 + math.cos(math.pi * epoch / 8)) for epoch in range(8)],
        "constant": [0.8] * 8,
        "step": [0.8] * 4 + [0.08] * 2 + [0.008] * 2,
    }
    assert rates == pytest.approx(expected[schedule])


def test_gradients_are_clipped(make_model, data):
    """One step without momentum: the weights move by at most lr times the largest norm."""
    start = make_model(1).state_dict()
    options = {"budget": 1, "batch_size": 60, "momentum": 0.0, "lr": 1.0}
    moved = td.solvers.SGD(clip=0.01, **options).train(make_model, data, 1).params
    squares = sum(float((moved[name] - start[name]).square().sum()) for name in start)
    assert squares**0.5 == pytest.approx(0.01, rel=1e-3)
    free = td.solvers.SGD(**options).train(make_model, data, 1).params
    assert sum(float((free[name] - start[name]).square().sum()) for name in start) > squares


def test_the_time_is_limited(make_model, data):
    found = td.solvers.SGD(budget=10_000, hold=10_000, seconds=0.2).train(make_model, data, 1)
    assert found.ended == "time"
    assert 1 <= len(found.history) < 10_000


def test_a_whole_run_against_a_loop_written_by_hand(make_model, data):
    """Schedule, momentum, decay and mini-batches together, step by step."""
    trained = td.solvers.SGD(
        budget=3, hold=9, batch_size=25, lr=0.2, momentum=0.8, weight_decay=0.05
    ).train(make_model, data, seed=5)
    model, generator = make_model(5), torch.Generator().manual_seed(5)
    velocity = [torch.zeros_like(p) for p in model.parameters()]
    for epoch in range(3):
        lr = 0.1 * (1 + math.cos(math.pi * epoch / 3))
        for positions in torch.randperm(60, generator=generator).split(25):
            loss = nn.functional.cross_entropy(model(data[0][positions]), data[1][positions])
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            with torch.no_grad():
                for p, g, v in zip(model.parameters(), gradients, velocity, strict=True):
                    g = g + 0.05 * p
                    v.mul_(0.8).add_(g)
                    p -= lr * (g + 0.8 * v)
    for name, expected in model.state_dict().items():
        assert torch.allclose(trained.params[name], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x, y + 5), "label . .* not one of the network's 3 classes"),
        (lambda x, y: (x, y - 100), "not one of the network's 3 classes"),
        (lambda x, y: (x * float("nan"), y), "60 of 60 examples; look for NaN in the inputs"),
        (lambda x, y: [(x, y)], "not a pair"),
        (lambda x, y: (x, y.float()), "pass class numbers as integers"),
        (lambda x, y: (x[:, :3], y), r"cannot run on inputs of shape \(60, 3\)"),
    ],
)
@pytest.mark.parametrize("solver", td.solvers.SOLVERS)
def test_data_that_do_not_fit_get_one_sentence(make_model, data, solver, change, message):
    with pytest.raises(DataError, match=message):
        td.solvers.SOLVERS[solver](budget=1).train(make_model, change(*data), seed=0)


def test_precisions_are_brought_together_and_structured_outputs_read(make_model, data):
    class Wrapped(nn.Module):
        def __init__(self, seed):
            super().__init__()
            self.inner = make_model(seed)

        def forward(self, inputs):
            return {"logits": self.inner(inputs)}

    plain = td.solvers.SGD(budget=2).train(make_model, data, 1).params
    of_double = (
        td.solvers.SGD(budget=2).train(make_model, (data[0].double(), data[1].int()), 1).params
    )
    wrapped = td.solvers.SGD(budget=2).train(Wrapped, data, 1).params
    for name, tensor in plain.items():
        assert torch.equal(tensor, of_double[name])
        assert torch.equal(tensor, wrapped[f"inner.{name}"])


def test_seeds_and_devices_that_are_not_there(make_model, data):
    with pytest.raises(ToroidsError, match="`seed` is a number .*; pass a whole number below"):
        td.solvers.SGD().train(make_model, data, seed=2**70)
    with pytest.raises(ToroidsError, match="pass ints, 0 or more, below"):
        td.solvers.SGD().train(make_model, data, seed=-1)
    if not torch.cuda.is_available():
        with pytest.raises(ToroidsError, match="device 'cuda' cannot be used"):
            td.solvers.SGD().train(make_model, data, seed=0, device="cuda")


def test_inputs_that_require_a_gradient_train_as_others(make_model, data):
    watched = (data[0].clone().requires_grad_(), data[1])
    plain, found = (
        td.solvers.SAM(budget=1).train(make_model, x, seed=0).params for x in (data, watched)
    )
    assert all(torch.equal(found[name], plain[name]) for name in plain)
    assert watched[0].grad is None
