"""Scales and matrices that depend on each other have one canonical form."""

import itertools

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

import toroids as td
from toroids.canonical.circles import Circle
from toroids.canonical.plan import Plan


class Stream(nn.Module):
    """A linear stream with units beside it, of which some read what a matrix may turn."""

    def __init__(self, size, act, norm, bias=True):
        super().__init__()
        self.a = nn.Linear(4, size, bias=bias)
        self.b = nn.Linear(size, 5, bias=bias)
        self.norm = norm
        self.act = act
        self.d = nn.Linear(5, size, bias=bias)
        self.c = nn.Linear(size, 3, bias=bias)

    def forward(self, x):
        x = self.a(x)
        return self.c(x + self.d(self.act(self.norm(self.b(x)))))


class Constant(nn.Module):
    """A constant beside units; the bias of what reads it takes it up, and nothing of it is left."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 3)
        self.constant = nn.Parameter(torch.ones(2))
        self.b = nn.Linear(5, 4)
        self.c = nn.Linear(4, 3)

    def forward(self, x):
        x = torch.cat([self.a(x).relu(), self.constant.expand(len(x), 2)], dim=1)
        return self.c(self.b(x))


class NonLocal(nn.Module):
    """A linear stream, which values write and read, and products that share their scales."""

    def __init__(self, size):
        super().__init__()
        self.a, self.v = nn.Linear(4, size), nn.Linear(size, size)
        self.q, self.k = nn.Linear(size, 2), nn.Linear(size, 2)
        self.gain = nn.Parameter(torch.ones(1))
        self.c = nn.Linear(size, 3)

    def forward(self, x):
        x = self.a(x)
        return self.c(x + self.gain * (self.q(x) @ self.k(x).mT @ self.v(x)))


class LinearCell(nn.Module):
    """What it writes and reads has fewer directions than units; three steps reach the others."""

    def __init__(self, size):
        super().__init__()
        self.into, self.again = nn.Linear(4, size), nn.Linear(size, size)
        self.out = nn.Linear(size, 2)

    def forward(self, x):
        h = self.into(x)
        for _ in range(5):
            h = 0.5 * h + self.into(x) + self.again(h)
        return self.out(h)


class BilinearForm(nn.Module):
    """A form whose only side becomes orthonormal; heads mix what it reads, a scale its values."""

    def __init__(self, size):
        super().__init__()
        self.a, self.b = nn.Linear(4, size), nn.Linear(size, size)
        self.form = nn.Parameter(torch.ones(1, size, size))
        self.gain = nn.Parameter(torch.ones(1))
        self.u, self.v = nn.Parameter(torch.ones(1, 2)), nn.Parameter(torch.ones(2, 3))

    def forward(self, x):
        x = self.b(self.a(x))
        return functional.bilinear(x, x, self.form) @ (self.gain + self.u @ self.v)


class Normalised(nn.Module):
    """Values whose scale a norm forgets, beside matrices that move it to the output map."""

    def __init__(self, size):
        super().__init__()
        self.a, self.b = nn.Linear(4, size, bias=False), nn.Linear(size, 3, bias=False)
        self.c, self.d = nn.Linear(4, 5, bias=False), nn.Linear(5, 3, bias=False)

    def forward(self, x):
        values = functional.normalize(self.b(self.a(x)), eps=0.0)
        return values + functional.normalize(self.d(self.c(x).relu()), eps=0.0)


class Followed(nn.Module):
    """A gain that follows a normed weight, besides a scale of its own with the layer before."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 5)
        self.v, self.g = nn.Parameter(torch.ones(3, 5)), nn.Parameter(torch.ones(3, 1))

    def forward(self, x):
        weight = self.g * self.v / self.v.norm(dim=1, keepdim=True)
        return self.a(x).relu() @ weight.T


class NormedQueries(nn.Module):
    """Heads whose gains and normed weights move unlike each other as their units scale."""

    def __init__(self):
        super().__init__()
        self.queries = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
        self.keys, self.values = nn.Linear(4, 4), nn.Linear(4, 4)
        self.heads, self.last = nn.Parameter(torch.ones(2, 2)), nn.Linear(4, 3)

    def forward(self, x):
        q, k, v = (
            f(x).unflatten(-1, (2, 2)).mT for f in (self.queries, self.keys, self.values)
        )  # positions, units, heads
        scores = torch.einsum("iuh,juh->hij", q, k).relu().square()
        mixed = torch.einsum("hij,hg,jug->iug", scores, self.heads, v)
        return self.last(mixed.flatten(1))


class TiedMaps(nn.Module):
    """Queries and keys by one matrix: a scale that goes round by it twice as fast."""

    def __init__(self, size):
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(4, size) for _ in range(3))
        self.map, self.bias = nn.Linear(size, 4, bias=False), nn.Parameter(torch.ones(4))
        self.values = nn.Linear(size, 3)

    def forward(self, x):
        x, y = self.a(x), self.b(x) * self.c(x).sigmoid()
        return (self.map(x) @ (self.map(y) + self.bias).mT).softmax(-1) @ self.values(y)


class Falling(nn.Module):
    """Steps behind a stream, whose scale grows nothing and may shrink for ever, with matrices."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4, bias=False), nn.Linear(4, 4)
        self.c, self.d = nn.Linear(4, 2, bias=False), nn.Linear(4, 2, bias=False)
        self.heads = nn.Parameter(torch.randn(2, 2))
        self.e = nn.Linear(4, 4)

    def forward(self, x):
        x = self.a(x)[None]
        queries, keys = self.b(x).unflatten(-1, (2, 2)).transpose(1, 2), self.c(x)[:, None]
        scores = torch.einsum("bhqk,hg->bgqk", queries @ keys.mT, self.heads)
        values = scores.round().softmax(-1) @ self.d(x)[:, None]
        return (self.e(values.transpose(1, 2).flatten(2)) > 0)[0].to(x.dtype)


KINDS = {
    "falling": Falling,
    "normalised": lambda: Normalised(3),
    "followed": Followed,
    "normed queries": NormedQueries,
    "tied maps": lambda: TiedMaps(5),
    "bilinear form": lambda: BilinearForm(4),
    "non-local": lambda: NonLocal(4),
    "linear cell": lambda: LinearCell(5),
    "constant": Constant,
    "relu": lambda: Stream(6, nn.ReLU(), nn.Identity()),
    "relu, no bias, low rank": lambda: Stream(8, nn.ReLU(), nn.Identity(), bias=False),
    "tanh": lambda: Stream(3, nn.Tanh(), nn.Identity()),
    "norm": lambda: Stream(4, nn.ReLU(), nn.BatchNorm1d(5)),
    "groups": lambda: nn.Sequential(
        nn.Unflatten(1, (4, 1)),
        nn.Conv1d(4, 4, 1),
        nn.Conv1d(4, 4, 1),
        nn.Conv1d(4, 4, 1, groups=2),
    ),  # fmt: skip
    "linear": lambda: nn.Sequential(*(nn.Linear(n, n - 1) for n in (6, 5, 4, 3))),
}


def networks(kind):
    """The same network, badly scaled in ways that a training run may leave."""
    for seed, scale in enumerate((1.0, 1e3)):
        torch.manual_seed(seed)
        model = KINDS[kind]().double().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_()
            list(model.parameters())[2].mul_(scale)
        yield model, dict(model.state_dict())


def changes(after, before):
    return max(
        float((after[k] - v).abs().max() / v.abs().max()) for k, v in before.items() if v.any()
    )


def known(params):
    """What does not depend on the order and the signs of units."""
    return {name: tensor.abs().flatten().sort().values for name, tensor in params.items()}


GAUGES = ("sphere", "balanced")


@pytest.mark.parametrize("pair", [zip, pytest.param(itertools.product, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_form_is_one_and_keeps_the_function(kind, pair):
    group = None
    for (model, params), gauge in pair(networks(kind), GAUGES):
        x = torch.randn(7, 4 if kind != "linear" else 6).double()
        group = group or td.discover(model, x)
        canonical = dict(td.canonicalize(group, params, gauge=gauge))
        y = functional_call(model, params, x)
        assert (functional_call(model, canonical, x) - y).abs().max() < 1e-11 * y.abs().max()
        again = td.canonicalize(group, canonical, gauge=gauge)
        assert changes(again, canonical) < 1e-9
        moved = group.apply(group.random(torch.Generator().manual_seed(3)), params)
        if kind not in ("bilinear form", "tied maps"):
            again = td.canonicalize(group, moved, gauge=gauge)
            assert changes(known(again), known(canonical)) < 1e-8
        elif gauge == "sphere":  # their turns are left for alignment to find, on the toroid
            found = td.align(group, moved, to=params)
            assert td.Toroid(group).distance(found.reference, found.params) < 1e-10


def test_gradients_flow_through_scales():
    model, params = next(networks("relu"))
    group = td.discover(model, torch.randn(2, 4).double())
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
    sum(t.sum() for t in td.canonicalize(group, leaves).values()).backward()
    assert all(leaf.grad is not None and leaf.grad.isfinite().all() for leaf in leaves.values())


def test_signs_are_told_one_after_another():
    """Units tell the signs of a stream that tells theirs: repeated, they may never come to rest."""
    model = KINDS["tanh"]().double()
    plan = Plan(td.discover(model, torch.randn(2, 4).double()), bias=True)
    assert [len(steps) for steps in plan.signs] == [1, 1]


@pytest.mark.parametrize("seed", range(2))
def test_copies_come_back_though_the_sides_of_a_stream_lack_directions(seed):
    generator = torch.Generator().manual_seed(seed)
    model = NonLocal(6).double()
    group = td.discover(model, torch.randn(7, 4).double())
    params = {
        name: torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        for name, tensor in model.state_dict().items()
    }
    alignment = td.align(group, group.apply(group.random(generator), params), to=params)
    assert td.Toroid(group).distance(alignment.reference, alignment.params) < 1e-6


def test_matrices_that_stay_are_no_reason_to_run_away():
    torch.manual_seed(0)
    model = NonLocal(6).double()
    group = td.discover(model, torch.randn(7, 4).double())
    params = dict(model.state_dict())
    params["v.weight"] = torch.zeros(6, 6).double()  # which makes nothing of what is written
    canonical = td.canonicalize(group, params)
    assert any("its matrices are left as they are" in note for note in canonical.notes)
    assert changes(td.canonicalize(group, canonical), dict(canonical)) < 1e-9


class Gains(nn.Module):
    """Gains 1 + w that stand on a stream, behind which matrices act in a head."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.Parameter(torch.randn(6)) for _ in range(2))
        self.a, self.c = nn.Linear(3, 6), nn.Linear(6, 2)
        self.q, self.k, self.v, self.o = (nn.Linear(6, 6) for _ in range(4))

    def forward(self, x):
        x = nn.functional.rms_norm(self.a(x), (6,), eps=0.1) * (1 + self.first)
        h = nn.functional.rms_norm(x, (6,), eps=0.1) * (1 + self.second)
        return self.c(x + self.o((self.q(h) @ self.k(h).mT).softmax(-1) @ self.v(h)))


def test_from_the_least_norm_no_step_leads_away_though_gains_are_one_more():
    torch.manual_seed(0)
    model = Gains().double()
    group, params = td.discover(model, torch.randn(2, 5, 3)), model.state_dict()
    circle = Circle(group, True, params)
    assert circle.settle(params)
    before = dict(params)
    assert circle._leap(params)
    torch.testing.assert_close(params, before)


def test_a_deep_linear_network_with_a_narrow_end_comes_to_rest():
    """Directions that the end does not read are lost layer by layer, back to the input."""
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(6, n, bias=False) for n in (6, 6, 6, 6, 2))).double()
    group = td.discover(model, torch.randn(3, 6, dtype=torch.float64), verify=False)
    canonical = td.canonicalize(group, model.state_dict())
    again = td.canonicalize(group, canonical)
    for name, tensor in canonical.items():
        torch.testing.assert_close(again[name], tensor, atol=1e-9, rtol=0)


def test_what_does_not_come_to_rest_is_left_as_it_is(monkeypatch):
    model, params = next(networks("linear"))
    group = td.discover(model, torch.randn(2, 6).double())

    def astray(self, params):
        params.update({name: 2 * params[name] for name in self.tensors})
        return False

    monkeypatch.setattr(Circle, "settle", astray)
    canonical = td.canonicalize(group, params)
    assert any("do not come to rest" in note for note in canonical.notes), canonical.notes
    x = torch.randn(4, 6).double()
    y = functional_call(model, params, x)
    torch.testing.assert_close(functional_call(model, dict(canonical), x), y)
