"""The solvers' steps against their equations, on problems where these can be followed by hand."""

import math

import pytest
import torch
from torch import nn

import toroids as td
from toroids.errors import ToroidsError
from toroids.solvers.entropy_sgd import Entropy, EntropySGD


class Quadratic(nn.Module):
    """Two classes with logits (h / 2, -h / 2), h = |A w|^2 / 2: the loss is softplus(-h) at 0."""

    def __init__(self, seed):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.w = nn.Parameter(torch.randn(3, generator=generator, dtype=torch.float64))

    def forward(self, x):
        h = ((x * self.w).square().sum(dim=1)) / 2
        return torch.stack([-h / 2, h / 2], dim=1)


def gradient(w, x):
    """Of the mean of softplus(h), h = |x w|^2 / 2, with labels 0."""
    h = (x * w).square().sum(dim=1) / 2
    return (torch.sigmoid(h)[:, None] * x.square() * w).mean(dim=0)


@pytest.fixture
def examples():
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x, torch.zeros(12).long()


def batches(x, seed, size, epochs):
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        for positions in torch.randperm(len(x), generator=generator).split(size):
            yield epoch, x[positions]


def cosine(epoch, lr, budget):
    return lr * 0.5 * (1 + math.cos(math.pi * epoch / budget))


@pytest.mark.parametrize("decoupled", [True, False])
def test_adam(examples, decoupled):
    found = td.solvers.Adam(budget=3, batch_size=5, lr=0.1, weight_decay=0.05, betas=(0.8, 0.9), eps=1e-3, decoupled=decoupled, hold=9).train(Quadratic, examples, 4)  # fmt: skip
    w = Quadratic(4).w.detach().clone()
    m, v = torch.zeros(3).double(), torch.zeros(3).double()
    for t, (epoch, x) in enumerate(batches(examples[0], 4, 5, 3), start=1):
        lr, g = cosine(epoch, 0.1, 3), gradient(w, x)
        if decoupled:
            w = w - lr * 0.05 * w
        else:
            g = g + 0.05 * w
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g**2
        w = w - lr * (m / (1 - 0.8**t)) / ((v / (1 - 0.9**t)).sqrt() + 1e-3)
    assert torch.allclose(found.params["w"], w, rtol=1e-12)
    assert found.gradient_steps == 9


@pytest.mark.parametrize("adaptive", [False, True])
def test_sam(examples, adaptive):
    found = td.solvers.SAM(budget=3, batch_size=5, lr=0.1, momentum=0.7, weight_decay=0.05, rho=0.3, adaptive=adaptive, hold=9).train(Quadratic, examples, 4)  # fmt: skip
    w, velocity = Quadratic(4).w.detach().clone(), torch.zeros(3).double()
    for epoch, x in batches(examples[0], 4, 5, 3):
        g = gradient(w, x)
        size = w.abs() if adaptive else torch.ones(3).double()
        worst = w + 0.3 * size**2 * g / (size * g).norm()
        g = gradient(worst, x) + 0.05 * w
        velocity = 0.7 * velocity + g
        w = w - cosine(epoch, 0.1, 3) * (g + 0.7 * velocity)
    assert torch.allclose(found.params["w"], w, rtol=1e-12)
    assert found.gradient_steps == 18


def test_swa_is_the_mean_of_the_last_epochs(examples):
    options = {"batch_size": 5, "lr": 0.05, "schedule": "constant", "hold": 9}
    ends = [
        td.solvers.SGD(budget=epochs, **options).train(Quadratic, examples, 4).params["w"]
        for epochs in range(1, 7)
    ]
    found = td.solvers.SWA(budget=6, start=0.5, **options).train(Quadratic, examples, 4)
    assert torch.allclose(found.params["w"], torch.stack(ends[3:]).mean(dim=0), rtol=1e-12)
    errors = [line.loss for line in found.history]
    plain = [
        line.loss
        for line in td.solvers.SGD(budget=6, **options).train(Quadratic, examples, 4).history
    ]
    assert errors[:4] == pytest.approx(plain[:4])
    assert errors[5] != plain[5]


def test_entropy_sgd(examples):
    found = td.solvers.EntropySGD(budget=4, batch_size=4, lr=0.1, inner_steps=2, scope=(0.1, 0.8), noise=0.0, averaging=0.6, outer=0.5, weight_decay=0.02, hold=9).train(Quadratic, examples, 4)  # fmt: skip
    w = Quadratic(4).w.detach().clone()
    x, m, taken = w.clone(), w.clone(), 0
    for epoch, batch in batches(examples[0], 4, 4, 4):
        gamma = 0.1 * 8 ** (epoch / 3)
        x = x - cosine(epoch, 0.1, 4) * (gradient(x, batch) + gamma * (x - w) + 0.02 * x)
        m = 0.6 * m + 0.4 * x
        taken += 1
        if taken % 2 == 0:
            w = w - 0.5 * (w - m)
            x, m = w.clone(), w.clone()
    assert torch.allclose(found.params["w"], w, rtol=1e-12)
    assert [line.coupling for line in found.history] == pytest.approx([0.1, 0.2, 0.4, 0.8])


def test_the_langevin_noise_has_the_size_that_the_equation_says():
    model = nn.Linear(200, 2, bias=False).double()
    data = torch.zeros(6, 200, dtype=torch.float64), torch.arange(6) % 2  # no gradient
    settings = EntropySGD(
        budget=1, lr=0.25, schedule="constant", scope=(1e-12, 1e-12), inner_steps=100, noise=0.4,
        averaging=0.5,
    )  # fmt: skip
    method = Entropy(model, data, settings, seed=0)
    before = model.weight.detach().clone()
    method.begin(0, 0.25)
    for _ in range(9):
        method.step((data,))
    moved = (model.weight.detach() - before).flatten()
    # nine steps of sqrt(0.25) 0.4; the standard deviation of 400 numbers is known to 3.5 %
    assert moved.std().item() == pytest.approx(3 * 0.5 * 0.4, rel=0.15)


def test_the_balanced_coupling_is_as_large_as_the_loss(make_model, data):
    found = td.solvers.ReplicatedSGD(
        budget=3, replicas=3, coupling=(0.1, 10.0), balanced=True
    ).train(make_model, data, 1)
    models = [make_model(1 + 10_007 * a) for a in range(3)]
    losses = sum(td.evaluate(m, m.state_dict(), data).loss for m in models)
    weights = torch.stack([torch.cat([p.flatten() for p in m.parameters()]) for m in models])
    gamma = found.history[0].coupling
    offsets = (weights - weights.mean(dim=0)).square().sum().item()
    assert gamma / 2 * offsets == pytest.approx(losses, rel=1e-4)
    assert found.history[-1].coupling == pytest.approx(100 * gamma)
    with pytest.raises(ToroidsError, match="start at the same weights"):
        td.solvers.ReplicatedSGD(balanced=True).train(lambda seed: make_model(0), data, 1)


@pytest.mark.parametrize("solver", ["adam", "sam", "swa", "entropy_sgd"])
def test_they_learn_and_end(make_model, data, solver, device):
    options = {"adam": {"lr": 0.02}, "entropy_sgd": {"scope": (0.01, 0.1)}}.get(solver, {})
    found = td.solvers.SOLVERS[solver](budget=300, batch_size=10, **options).train(
        make_model, data, 1, device=device
    )
    assert found.ended == "zero error"
    assert td.evaluate(make_model(0), found.params, data).error == 0


@pytest.mark.parametrize(
    ("solver", "arguments", "message"),
    [
        ("adam", {"betas": (0.9, 1.0)}, "betas is .*pass 2, each a number at least 0 and below 1"),
        ("adam", {"eps": 0.0}, "eps is 0.0"),
        ("sam", {"rho": 0.0}, "rho is 0.0"),
        ("swa", {"start": 1.0}, "start is 1.0"),
        ("entropy_sgd", {"inner_steps": 0}, "inner_steps is 0"),
        ("entropy_sgd", {"scope": (0.0, 1.0)}, "scope is .*pass 2, each a number above 0"),
        ("entropy_sgd", {"averaging": 1.0}, "averaging is 1.0"),
    ],
)
def test_settings_out_of_range(solver, arguments, message):
    with pytest.raises(ToroidsError, match=message):
        td.solvers.SOLVERS[solver](**arguments)
