"""Running a module with other parameters leaves it, and what it keeps, as it was."""

import functools

import pytest
import torch
from torch import nn

import toroids as td
from toroids.errors import DataError, ParamsError
from toroids.evaluation.running import call, evaluation_mode, once
from toroids.evaluation.state import Kept

X, Y = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(6).long()
HISTORY = []


class Shared(nn.Module):
    """A layer under three names."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.blocks = nn.ModuleList(nn.Sequential(self.layer, nn.ReLU()) for _ in range(2))
        self.out = nn.Linear(4, 2)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.out(x)


def test_parameters_of_a_module_with_several_names_are_put_back():
    model = Shared()
    before = {name: (p, p.clone()) for name, p in model.named_parameters()}
    params = {name: torch.randn_like(x) for name, x in model.state_dict().items()}
    for name in params:
        if name.startswith("blocks"):
            params[name] = params[f"layer.{name.split('.')[-1]}"]
    td.evaluate(model, params, (X, Y))
    td.discover(model, X)
    td.profile(td.Landscape(model, (X, Y)), td.geometry.Line(params, params), 3)
    for name, parameter in model.named_parameters():
        assert parameter is before[name][0]
        assert torch.equal(parameter, before[name][1])


def test_of_names_of_one_parameter_the_last_counts():
    model = Shared()
    params = {name: torch.full_like(x, n) for n, (name, x) in enumerate(model.state_dict().items())}
    lent = once(model, params)
    assert not any(name.startswith("blocks") for name in lent)
    assert torch.equal(lent["layer.weight"], params["blocks.1.0.weight"])
    loaded = Shared()
    loaded.load_state_dict(params)
    with torch.no_grad():
        assert torch.equal(call(model, params, (X,), {}), loaded(X))


class Keeping(nn.Module):
    """Keeps whatever a module can."""

    def __init__(self):
        super().__init__()
        self.layer, self.calls, self.seen, self.by_size = nn.Linear(4, 2), 0, [], {}
        self.register_buffer("last", torch.zeros(2))
        self.plain, self.known = torch.zeros(2), {0}

    @functools.lru_cache  # noqa: B019
    def table(self, length):
        return torch.arange(length)

    def forward(self, x):
        y = self.layer(x)
        self.calls += 1
        self.seen.append(x.shape)
        self.by_size[x.shape] = y
        self.known.add(self.calls)
        self.fresh = y
        self.last.copy_(y.detach()[0])
        self.plain += 1
        self.table(len(x))
        HISTORY.append(1)
        return y


def test_everything_that_a_forward_keeps_is_as_it_was():
    model = Keeping()
    model.table.cache_clear()
    with evaluation_mode(model), torch.no_grad():
        model(X)
        assert model.calls == 1
    assert (model.calls, model.seen, model.by_size, model.known, HISTORY) == (0, [], {}, {0}, [])
    assert not hasattr(model, "fresh")
    assert not model.last.any()
    assert not model.plain.any()
    assert model.table.cache_info().currsize == 0


def set_attribute(model):
    model.first.calls = 7


def write_into_tensor(model):
    model.first.plain += 7


def grow_list(model):
    model.first.seen.append(7)


def put_another_module(model):
    model.inner[1] = Keeping().eval()
    model.inner[1].calls = 7


def put_in_training_mode(model):
    model.first.train()


def shown(model):
    keeping = [x for x in model.modules() if isinstance(x, Keeping)]
    return [(x.calls, x.plain.tolist(), [*x.seen], x.training) for x in keeping]


@pytest.mark.parametrize(
    "change",
    [set_attribute, write_into_tensor, grow_list, put_another_module, put_in_training_mode],
)
def test_what_changed_between_two_runs_of_a_landscape_stays(change):
    model = nn.Sequential()
    model.first, model.inner = Keeping(), nn.Sequential(nn.Linear(2, 4), nn.Identity())
    landscape = td.Landscape(model.eval(), (X, Y))
    landscape(model.state_dict())
    change(model)
    before = shown(model)
    landscape(model.state_dict())
    assert shown(model) == before
    assert "7" in str(before) or "True" in str(before)


def test_hooks_keep_what_they_gather():
    model, seen = Keeping(), []
    model.register_forward_hook(lambda *_: seen.append(1))
    with evaluation_mode(model), torch.no_grad():
        model(X)
    assert seen == [1]


def test_what_did_not_change_is_not_touched():
    model = Keeping()
    kept, version = Kept(model), model.plain._version
    kept.restore()
    assert model.plain._version == version


class Cached(nn.Module):
    """Caches in evaluation mode what it computes of its weights, as LeViT its biases."""

    def __init__(self):
        super().__init__()
        self.weight, self.cache = nn.Parameter(torch.randn(2, 4)), None

    def train(self, mode=True):
        super().train(mode)
        if mode:
            self.cache = None
        return self

    def forward(self, x):
        if self.training:
            return x @ self.weight.t()
        if self.cache is None:
            self.cache = self.weight.t().clone()
        return x @ self.cache


def test_a_cache_of_one_network_does_not_serve_the_next():
    model = Cached().eval()
    networks = [{"weight": torch.randn(2, 4)} for _ in range(2)]
    for params in networks:
        loss = td.evaluate(model, params, (X, Y)).loss
        expected = nn.functional.cross_entropy(X @ params["weight"].t(), Y)
        assert loss == pytest.approx(float(expected), rel=1e-5)
    curve = td.profile(td.Landscape(model, (X, Y)), td.geometry.Line(*networks), 3)
    assert curve.loss[-1].item() == pytest.approx(loss, rel=1e-5)
    assert model.cache is None


class Clamping(nn.Module):
    """Writes into its own weights."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 4))

    def forward(self, x):
        with torch.no_grad():
            self.weight.clamp_(-0.1, 0.1)
        return x @ self.weight.t()


def test_networks_are_not_changed_by_a_forward_that_writes_into_its_weights():
    model, params = Clamping(), {"weight": torch.randn(2, 4)}
    before = params["weight"].clone()
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    for number in range(1, 3):
        td.evaluate(model, params, (X, Y))
        assert torch.equal(params["weight"], before)
        assert len(calls) == number  # found out without running twice


class Failing(nn.Linear):
    def __init__(self, failure):
        super().__init__(4, 2)
        self.failure = failure

    def forward(self, x):
        raise self.failure


class Mute(RuntimeError):
    def __str__(self):
        raise KeyError


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (SystemExit(5), r"the forward of the model calls sys.exit\(5\)"),
        (Mute(), r"on .*\(.*, 4\).*: Mute"),
        (RuntimeError(), r"on .*\(.*, 4\).*: RuntimeError"),
    ],
)
def test_a_forward_that_exits_or_fails_without_a_word(failure, message):
    model = Failing(failure)
    with pytest.raises(DataError, match=message):
        td.evaluate(model, model.state_dict(), (X, Y))
    with pytest.raises(DataError, match=message):
        td.discover(model, X)


def test_a_lazy_module_is_refused():
    model = nn.LazyLinear(3)
    with pytest.raises(ParamsError, match="`weight` in the model has no shape yet; run it once"):
        td.evaluate(model, {}, (X, Y))


@pytest.mark.parametrize("error", [KeyError("part"), ZeroDivisionError("by zero"), OSError("gone")])
def test_whatever_a_forward_raises_is_one_sentence(error):
    class Fails(torch.nn.Linear):
        def forward(self, x):
            raise error

    model = Fails(3, 2)
    data = (torch.zeros(4, 3), torch.zeros(4, dtype=torch.long))
    with pytest.raises(DataError, match=rf"of shape \(4, 3\).*: {type(error).__name__}: "):
        td.evaluate(model, model.state_dict(), data)
