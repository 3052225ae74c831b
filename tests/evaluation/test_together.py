import pytest
import torch
from torch import nn

import toroids as td
from toroids.errors import NotFiniteError
from toroids.evaluation import together


@pytest.fixture
def model():
    return td.models.fully_connected([4, 6, 3], seed=1)


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(50, 4, generator=generator)
    return inputs, torch.randint(3, (50,), generator=generator)


@pytest.mark.parametrize("count", [1, 3, 100])
def test_many_networks_at_once_give_what_one_by_one_give(count, device, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)).double()
    networks = [
        {
            name: (tensor + 0.3 * torch.rand(tensor.shape, generator=generator)).to(device)
            if tensor.is_floating_point()
            else tensor.to(device)
            for name, tensor in model.state_dict().items()
        }
        for _ in range(7)
    ]
    inputs = torch.randn(50, 4, generator=generator, dtype=torch.float64)
    data = inputs, torch.randint(3, (50,), generator=generator)
    monkeypatch.setattr(together, "at_once", lambda params: count)
    landscape = td.Landscape(model, data, batch_size=20)
    for one, other in zip(together.evaluate_many(landscape, networks, 0.5), networks, strict=True):
        expected = td.Landscape(model, data, temperature=0.5)(other)
        assert one.error == expected.error
        assert one.loss == pytest.approx(expected.loss, rel=1e-12)
        assert one.error_stderr == pytest.approx(expected.error_stderr)
    assert together.evaluate_many(landscape, []) == []


def test_what_cannot_be_batched_is_run_one_by_one(data, monkeypatch):
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 3)

        def forward(self, x):
            out = self.inner(x)
            return out if float(out.detach().sum()) > 0 else 2 * out

    model = Branching()
    networks = [{n: x * f for n, x in model.state_dict().items()} for f in (1.0, -1.0)]
    monkeypatch.setattr(together, "at_once", lambda params: 2)
    found = together.evaluate_many(td.Landscape(model, data), networks)
    assert found == [td.evaluate(model, network, data) for network in networks]


def test_a_network_of_many_that_overflows_is_named(model, data, monkeypatch):
    good = model.state_dict()
    bad = {name: tensor * 1e30 for name, tensor in good.items()}
    monkeypatch.setattr(together, "at_once", lambda params: 4)
    with pytest.raises(NotFiniteError, match="outputs are NaN or infinite on .* of 50 examples"):
        together.evaluate_many(td.Landscape(model, data), [good, bad])
