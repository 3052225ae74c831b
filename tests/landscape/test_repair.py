import pytest
import torch
from landscape.networks import digits
from torch import nn

import toroids as td
from toroids.errors import ParamsError, ToroidsError

KINDS = {
    "linear": lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(),
                                    nn.Linear(7, 3)),
    "convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3, padding=1), nn.ReLU(),
        nn.ConvTranspose1d(4, 6, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3)),
}  # fmt: skip


def setting(kind):
    torch.manual_seed(0)
    models = [KINDS[kind]().double() for _ in range(3)]
    a, b, c = (model.state_dict() for model in models)
    data = torch.randn(50, 6, dtype=torch.float64), torch.zeros(50).long()
    return models[2], a, b, c, data


def statistics(model, params, x):
    """Mean and standard deviation of every hidden layer's outputs, written out by hand."""
    found = []
    with torch.no_grad():
        model.load_state_dict(params)
        for layer in list(model)[:-1]:
            x = layer(x)
            if hasattr(layer, "weight"):
                values = x.transpose(0, 1).flatten(start_dim=1)
                found.append((values.mean(dim=1), values.std(dim=1)))
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.5, 0.2])
def test_pre_activations_get_the_statistics_of_the_ends(kind, share):
    model, a, b, c, data = setting(kind)
    repaired = td.repair(model, c, [a, b], data, [1 - share, share])
    ends = zip(statistics(model, a, data[0]), statistics(model, b, data[0]), strict=True)
    found = statistics(model, repaired, data[0])
    assert len(found) == 2
    for (mean, std), ((mean_a, std_a), (mean_b, std_b)) in zip(found, ends, strict=True):
        assert torch.allclose(mean, (1 - share) * mean_a + share * mean_b, atol=1e-10)
        assert torch.allclose(std, (1 - share) * std_a + share * std_b, atol=1e-10)
    last = [name for name in c if name.startswith(f"{len(model) - 1}.")]
    assert last
    assert all(torch.equal(repaired[name], c[name]) for name in last)


def test_an_end_is_its_own_repair():
    model, a, _, _, data = setting("convolution")
    repaired = td.repair(model, a, [a], data)
    assert all(torch.allclose(repaired[name], a[name], atol=1e-12) for name in a)


def test_units_that_do_not_vary_keep_their_scale():
    model, a, b, c, data = setting("linear")
    for params in (a, b, c):
        params["0.weight"][0] = 0.0
    repaired = td.repair(model, c, [a, b], data)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in repaired.values())
    assert repaired["0.bias"][0] == pytest.approx(float(a["0.bias"][0] + b["0.bias"][0]) / 2)


def test_layers_that_share_weights_or_change_them_on_the_way_are_left_alone():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
            self.two.weight = self.one.weight

        def forward(self, x):
            return self.out(torch.relu(self.two(torch.relu(self.one(x)))))

    torch.manual_seed(0)
    model, other = Tied(), Tied()
    data = torch.randn(20, 4), torch.zeros(20).long()
    repaired = td.repair(model, model.state_dict(), [other.state_dict()], data)
    assert all(torch.equal(repaired[name], x) for name, x in model.state_dict().items())


def test_the_middle_of_a_raw_line_is_better_for_it():
    model, _, a, b, data = digits(128)
    middle = td.geometry.Line(a, b)(0.5)
    before = td.evaluate(model, middle, data.train)
    after = td.evaluate(model, td.repair(model, middle, [a, b], data.train), data.train)
    assert after.error < before.error


def test_the_module_keeps_no_hooks():
    model, a, b, c, data = setting("linear")
    td.repair(model, c, [a, b], data)
    assert not any(module._forward_hooks for module in model.modules())


def test_bad_input():
    model, a, b, c, data = setting("linear")
    with pytest.raises(ToroidsError, match="0 ends"):
        td.repair(model, c, [], data)
    with pytest.raises(ToroidsError, match="sum to 1"):
        td.repair(model, c, [a, b], data, [0.5, 0.6])
    with pytest.raises(ParamsError, match="`0.weight` .* the second network"):
        td.repair(model, c, [{**a, "0.weight": a["0.weight"] / 0}], data)
