import math

import pytest
import torch
from discovery.function import Function
from torch import nn

import toroids as td
from toroids.errors import ToroidsError
from toroids.solvers.replicated_sgd import centre, realign, step


def test_one_step_against_the_equation(make_model, data):
    """w_a <- w_a - lr [grad loss(w_a) + gamma (w_a - mean)], all replicas from the same mean."""
    models = [make_model(seed) for seed in range(3)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in models]
    batches = tuple(
        (data[0][10 * i : 10 * i + 10], data[1][10 * i : 10 * i + 10]) for i in range(3)
    )
    before = [{n: p.detach().clone() for n, p in model.named_parameters()} for model in models]
    step(models, optimizers, batches, gamma=0.5)
    for a, model in enumerate(models):
        twin = make_model(a)
        nn.functional.cross_entropy(twin(batches[a][0]), batches[a][1]).backward()
        for name, parameter in twin.named_parameters():
            mean = sum(replica[name] for replica in before) / 3
            gradient = parameter.grad + 0.5 * (before[a][name] - mean)
            expected = before[a][name] - 0.1 * gradient
            assert torch.allclose(dict(model.named_parameters())[name], expected, atol=1e-7)


def test_without_gradients_of_the_loss_replicas_meet_at_their_mean(data):
    """Coupling alone: every offset from the mean shrinks by 1 - lr gamma, the mean stays."""

    class Constant(nn.Linear):
        def forward(self, inputs):
            return super().forward(inputs) * 0

    models = [Constant(4, 3) for _ in range(3)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.5) for model in models]
    mean = centre(models)["weight"]
    offsets = [model.weight.detach() - mean for model in models]
    for _ in range(4):
        step(models, optimizers, (data,) * 3, gamma=0.6)
    assert torch.allclose(centre(models)["weight"], mean, atol=1e-6)
    for model, offset in zip(models, offsets, strict=True):
        assert torch.allclose(model.weight - mean, 0.7**4 * offset, atol=1e-6)


def test_the_centre_learns_and_the_coupling_grows_geometrically(make_model, data, device):
    trained = td.solvers.ReplicatedSGD(budget=5, coupling=(0.01, 1.0)).train(
        make_model, data, seed=1, device=device
    )
    couplings = [epoch.coupling for epoch in trained.history]
    assert couplings == pytest.approx([0.01, 0.01 * 100**0.25, 0.1, 0.01 * 100**0.75, 1.0])
    assert trained.gradient_steps == 3 * 2 * 5
    longer = td.solvers.ReplicatedSGD(budget=300, batch_size=10).train(make_model, data, seed=1)
    assert longer.ended == "zero error"
    assert td.evaluate(make_model(0), longer.params, data).error == 0


def test_replicas_start_apart(make_model, data):
    built = []

    def watched(seed):
        built.append(seed)
        return make_model(seed)

    td.solvers.ReplicatedSGD(budget=1).train(watched, data, seed=1)
    assert len(set(built)) == 3


def test_equal_seeds_give_equal_networks(make_model, data):
    one, two = (td.solvers.ReplicatedSGD(budget=3).train(make_model, data, 1) for _ in range(2))
    assert all(torch.equal(one.params[name], two.params[name]) for name in one.params)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"replicas": 1}, "replicas is 1; pass a whole number at least 2"),
        ({"coupling": (0.0, 1.0)}, "coupling is .* pass 2, each a number above 0"),
    ],
)
def test_settings_out_of_range(make_model, data, arguments, message):
    with pytest.raises(ToroidsError, match=message):
        td.solvers.ReplicatedSGD(**arguments).train(make_model, data, seed=0)


def test_a_whole_run_against_a_loop_written_by_hand(make_model, data):
    """Own initialisations and mini-batches, growing coupling, schedule, momentum and decay."""
    trained = td.solvers.ReplicatedSGD(
        budget=3,
        replicas=2,
        coupling=(0.1, 0.9),
        hold=9,
        batch_size=25,
        lr=0.2,
        momentum=0.8,
        weight_decay=0.05,
    ).train(make_model, data, seed=5)
    seeds = (5, 5 + 10_007)
    models = [make_model(seed) for seed in seeds]
    weights = [list(model.parameters()) for model in models]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    velocity = [[torch.zeros_like(p) for p in own] for own in weights]
    for epoch in range(3):
        lr = 0.1 * (1 + math.cos(math.pi * epoch / 3))
        gamma = 0.1 * 9 ** (epoch / 2)
        orders = [torch.randperm(60, generator=generator).split(25) for generator in generators]
        for positions in zip(*orders, strict=True):
            means = [(p + q).detach() / 2 for p, q in zip(*weights, strict=True)]
            for a in range(2):
                inputs, labels = data[0][positions[a]], data[1][positions[a]]
                loss = nn.functional.cross_entropy(models[a](inputs), labels)
                gradients = torch.autograd.grad(loss, weights[a])
                with torch.no_grad():
                    for p, g, v, mean in zip(
                        weights[a], gradients, velocity[a], means, strict=True
                    ):
                        g = g + gamma * (p - mean) + 0.05 * p
                        v.mul_(0.8).add_(g)
                        p -= lr * (g + 0.8 * v)
    for name, expected in centre(models).items():
        assert torch.allclose(trained.params[name], expected, atol=1e-6)


def test_zero_error_must_be_held(make_model, data):
    held = td.solvers.ReplicatedSGD(budget=300, batch_size=10, hold=4).train(
        make_model, data, seed=1
    )
    assert [epoch.error for epoch in held.history[-4:]] == [0] * 4
    assert held.history[-5].error > 0


def disguised(group, model, seed):
    """The same function with other weights."""
    moved = group.apply(group.random(torch.Generator().manual_seed(seed)), model.state_dict())
    twin = td.models.fully_connected([4, 32, 3], seed=0).to(next(model.parameters()))
    twin.load_state_dict(dict(moved))
    return twin


def test_replicas_of_one_function_become_one_network(make_model, data):
    model = make_model(1).double()
    group = td.symmetry.fully_connected_group(model.state_dict())
    models = [model, *(disguised(group, model, seed) for seed in (1, 2))]
    x = data[0].double()
    before = [m(x).detach() for m in models]
    realign(group, models)
    for m, outputs in zip(models, before, strict=True):
        assert torch.allclose(m(x), outputs, rtol=1e-9, atol=1e-12)
    first, *others = (torch.cat([p.flatten() for p in m.parameters()]) for m in models)
    for other in others:
        assert torch.allclose(first, other, atol=1e-9)


def test_aligned_replicas_train_and_resume(make_model, data, tmp_path):
    group = td.symmetry.fully_connected_group(make_model(0).state_dict())
    options = {"budget": 300, "batch_size": 10, "group": group}
    found = td.solvers.ReplicatedSGD(**options).train(make_model, data, 1)
    assert found.ended == "zero error"
    assert td.evaluate(make_model(0), found.params, data).error == 0
    short = {**options, "budget": 4, "hold": 9}
    whole = td.solvers.ReplicatedSGD(**short).train(make_model, data, 1)
    again = td.solvers.ReplicatedSGD(**short).train(
        make_model, data, 1, checkpoint=tmp_path / "a.pt"
    )
    resumed = td.solvers.ReplicatedSGD(**short).train(
        make_model, data, 1, checkpoint=tmp_path / "a.pt"
    )
    for other in (again, resumed):
        assert all(torch.equal(other.params[name], x) for name, x in whole.params.items())


def test_a_group_that_removes_the_scale_of_the_outputs_is_refused(make_model, data):
    group = td.symmetry.fully_connected_group(make_model(0).state_dict(), output="classifier")
    with pytest.raises(ToroidsError, match='pass a group with output="values"'):
        td.solvers.ReplicatedSGD(group=group).train(make_model, data, 1)


@pytest.mark.parametrize("clip", [None, 0.3])
def test_replicas_in_one_batch_train_as_one_after_the_other(data, clip, device):
    def make_model(seed):
        layers = td.models.fully_connected([4, 16, 3], seed=seed)
        gain = nn.Parameter(torch.ones(()))
        return Function(lambda m, x: m.gain * m.layers(x), layers=layers, gain=gain).double()

    options = {"budget": 5, "hold": 9, "batch_size": 25, "weight_decay": 0.01, "clip": clip}
    found, expected = (
        td.solvers.ReplicatedSGD(together=together, **options).train(
            make_model, data, 3, device=device
        )
        for together in (True, False)
    )
    assert found.gradient_steps == expected.gradient_steps
    for one, other in zip(found.history, expected.history, strict=True):
        assert (one.error, one.coupling) == (other.error, other.coupling)
        assert one.loss == pytest.approx(other.loss, rel=1e-9)
    for name, tensor in expected.params.items():
        assert torch.allclose(found.params[name], tensor, rtol=1e-9, atol=1e-12)


def test_replicas_in_one_batch_resume(make_model, data, tmp_path):
    options = {"budget": 4, "hold": 9, "together": True}
    whole = td.solvers.ReplicatedSGD(**options).train(make_model, data, 1)
    for _ in range(2):
        again = td.solvers.ReplicatedSGD(**options).train(
            make_model, data, 1, checkpoint=tmp_path / "a.pt"
        )
        assert all(torch.equal(again.params[name], x) for name, x in whole.params.items())


def test_what_cannot_be_one_batch_is_refused(make_model, data):
    def normed(seed):
        return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))

    with pytest.raises(ToroidsError, match="pass together=False"):
        td.solvers.ReplicatedSGD(together=True).train(normed, data, 1)
    group = td.symmetry.fully_connected_group(make_model(0).state_dict())
    with pytest.raises(ToroidsError, match="choose one"):
        td.solvers.ReplicatedSGD(together=True, group=group).train(make_model, data, 1)
