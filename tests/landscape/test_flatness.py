import pytest
import torch
from torch import nn

import toroids as td
from toroids.errors import DataError, ParamsError, ToroidsError


@pytest.fixture(scope="module")
def setting(device):
    model = td.models.fully_connected([8, 16, 16, 4], seed=0).double().to(device)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 8, generator=generator, dtype=torch.float64)
    params = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    labels = model(inputs.to(device)).argmax(dim=1).cpu()  # the network makes no error on these
    return model, params, (inputs, labels)


def test_against_the_definition(setting):
    model, params, data = setting
    energy = td.local_energy(
        model, params, data, (0.5,), samples=5, generator=torch.Generator().manual_seed(7)
    )
    generator = torch.Generator().manual_seed(7)
    increases = []
    for _ in range(5):
        noise = {n: torch.randn(t.shape, generator=generator).to(t) for n, t in params.items()}
        noisy = {n: t * (1 + 0.5 * noise[n]) for n, t in params.items()}
        increases.append(td.evaluate(model, noisy, data).error)
    increases = torch.tensor(increases).double()
    assert energy.error == 0
    assert energy.increase.item() == pytest.approx(increases.mean().item())
    assert energy.stderr.item() == pytest.approx(increases.std().item() / 5**0.5)


def test_no_noise_no_increase_and_more_noise_more_increase(setting):
    energy = td.local_energy(*setting, (0.0, 0.2, 0.8), samples=200)
    assert energy.increase[0] == 0
    assert energy.stderr[0] == 0
    assert energy.increase[1] > 0
    assert energy.increase[2] > energy.increase[1] + 5 * energy.stderr[2]


def test_exactly_invariant_under_rescaling_and_in_distribution_under_permutation(setting):
    model, params, data = setting
    group = td.fully_connected_group(params)
    g = group.random(torch.Generator().manual_seed(1))
    scales_only = td.Element(
        {
            name: td.SpaceElement(torch.arange(16), choice.log_scales)
            for name, choice in g.choices.items()
        }
    )
    sigmas = (0.3, 0.6)
    here = td.local_energy(model, params, data, sigmas, samples=200)
    rescaled = td.local_energy(model, group.apply(scales_only, params), data, sigmas, samples=200)
    assert torch.allclose(rescaled.increase, here.increase, atol=1e-12)
    moved = td.local_energy(model, group.apply(g, params), data, sigmas, samples=200)
    bound = 4 * (here.stderr.square() + moved.stderr.square()).sqrt()
    assert ((moved.increase - here.increase).abs() < bound).all()


def test_additive_noise_would_not_be_invariant(setting):
    """The reason for multiplying: the same additive noise hurts a rescaled network differently."""
    model, params, data = setting
    group = td.fully_connected_group(params)
    moved = group.apply(group.random(torch.Generator().manual_seed(1)), params)

    def mean_error(of):
        generator = torch.Generator().manual_seed(2)
        errors = []
        for _ in range(50):
            noisy = {
                n: t + 0.1 * torch.randn(t.shape, generator=generator).to(t) for n, t in of.items()
            }
            errors.append(td.evaluate(model, noisy, data).error)
        return torch.tensor(errors).mean().item()

    assert abs(mean_error(moved) - mean_error(params)) > 0.05


def test_tied_weights_get_the_same_noise():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 3, bias=False)
            self.b = nn.Linear(3, 3, bias=False)
            self.b.weight = self.a.weight
            self.seen = []

        def forward(self, inputs):
            self.seen.append(torch.equal(self.a.weight, self.b.weight))
            return self.b(self.a(inputs))

    model = Tied()
    td.local_energy(
        model, model.state_dict(), (torch.randn(4, 3), torch.zeros(4).long()), samples=2
    )
    assert len(model.seen) > 2
    assert all(model.seen)


def test_buffers_are_not_disturbed():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    seen = []
    model[1].register_forward_pre_hook(lambda m, _: seen.append(m.running_var.clone()))
    td.local_energy(
        model, model.state_dict(), (torch.randn(4, 3), torch.zeros(4).long()), samples=2
    )
    assert all(torch.equal(variance, torch.ones(4)) for variance in seen)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sigmas": (0.1, -0.2)}, "sigmas are .*-0.2"),
        ({"sigmas": (float("nan"),)}, "sigmas are"),
        ({"sigmas": ()}, "sigmas are"),
        ({"samples": 1}, "samples is 1"),
    ],
)
def test_bad_requests(setting, arguments, message):
    with pytest.raises(ToroidsError, match=message):
        td.local_energy(*setting, **arguments)


def test_nan_weights_are_named(setting):
    model, params, data = setting
    with pytest.raises(ParamsError, match="`output.bias`"):
        td.local_energy(
            model, {**params, "output.bias": params["output.bias"] * float("nan")}, data
        )


def test_generators_and_other_sequences_of_sigmas(setting):
    model, params, (inputs, labels) = setting
    expected = td.local_energy(model, params, (inputs, labels), (0.0, 0.5), samples=3).increase
    batches = zip(inputs.split(50), labels.split(50), strict=True)
    found = td.local_energy(model, params, batches, torch.tensor([0.0, 0.5]), samples=3).increase
    assert torch.allclose(found, expected)


def test_noise_that_overflows_is_not_measured(setting):
    model, params, data = setting
    with pytest.raises(DataError, match="outputs are NaN or infinite on 200 of 200 examples"):
        td.local_energy(model, params, data, (1e300,), samples=2)
