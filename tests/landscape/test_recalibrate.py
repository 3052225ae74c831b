import pytest
import torch
from landscape.networks import images, normed, own_statistics
from torch import nn

import toroids as td
from toroids.errors import DataError, ParamsError


def test_one_batch_gives_what_torch_keeps():
    model, data = normed(), images()
    expected = own_statistics(normed(), data)
    found = td.recalibrate(model, model.state_dict(), data)
    for name, tensor in expected.items():
        if not name.endswith("num_batches_tracked"):
            assert torch.allclose(found[name], tensor, rtol=1e-12, atol=1e-14), name


def test_a_single_norm_gets_the_same_from_any_batches():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 2)).double()
    data = torch.randn(23, 3, dtype=torch.float64), torch.zeros(23).long()
    whole = td.recalibrate(model, model.state_dict(), data)
    values = model[0](data[0])
    assert torch.allclose(whole["1.running_mean"], values.mean(dim=0))
    assert torch.allclose(whole["1.running_var"], values.var(dim=0))
    pieces = list(zip(data[0].split([9, 2, 12]), data[1].split([9, 2, 12]), strict=True))
    for batches, size in ((data, 4), (pieces, 1)):
        found = td.recalibrate(model, model.state_dict(), batches, batch_size=size)
        for name in whole:
            assert torch.allclose(found[name].double(), whole[name].double(), rtol=1e-12)


def test_the_module_is_left_as_it_was():
    model, data = normed(), images()
    model[1].train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    momenta = [module.momentum for module in model.modules() if hasattr(module, "momentum")]
    given = {name: tensor.clone() for name, tensor in before.items()}
    td.recalibrate(model, given, data)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(torch.equal(before[name], tensor) for name, tensor in given.items())
    assert [module.training for module in model.modules()] == modes
    assert [m.momentum for m in model.modules() if hasattr(m, "momentum")] == momenta
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_norm_used_twice_and_one_that_keeps_no_statistics():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.free = nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False)
            self.alias = self.norm

        def forward(self, x):
            return self.free(self.norm(x) + self.norm(2 * x))

    model = Twice().double()
    x = torch.randn(10, 3, dtype=torch.float64)
    found = td.recalibrate(model, model.state_dict(), (x, torch.zeros(10).long()))
    assert torch.allclose(found["norm.running_var"], torch.cat([x, 2 * x]).var(dim=0))
    assert torch.equal(found["norm.running_var"], found["alias.running_var"])


def test_without_norms_nothing_changes():
    model = td.models.fully_connected([3, 4, 2])
    params = model.state_dict()
    found = td.recalibrate(model, params, (torch.randn(4, 3), torch.zeros(4).long()))
    assert all(torch.equal(found[name], tensor) for name, tensor in params.items())


def test_bad_input():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    params = model.state_dict()
    one = torch.randn(1, 3), torch.zeros(1).long()
    with pytest.raises(DataError, match="a single value per channel"):
        td.recalibrate(model, params, one)
    with pytest.raises(DataError, match="no examples"):
        td.recalibrate(model, params, (one[0][:0], one[1][:0]))
    with pytest.raises(ParamsError, match="`0.bias`"):
        td.recalibrate(model, {**params, "0.bias": params["0.bias"] * float("nan")}, one)
