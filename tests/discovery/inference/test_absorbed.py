"""Shifts of biases that later biases absorb: what is granted, what is not, and how it acts."""

from dataclasses import replace

import pytest
import torch
from tests.discovery.function import Function
from torch import nn
from torch.nn import functional as F

import toroids as td

Linear, Norm = nn.Linear, nn.LayerNorm


def _attend(m, x, value=None, **settings):
    """Two heads of two entries, written as most networks write them."""

    def heads(y):
        return y.unflatten(-1, (-1, 2)).transpose(1, 2)

    value = m.v(x) if value is None else value
    mixed = F.scaled_dot_product_attention(heads(m.q(x)), heads(m.k(x)), heads(value), **settings)
    return m.o(mixed.transpose(1, 2).flatten(2))


def _eager(m, x):
    scores = (m.q(x) @ m.k(x).mT / 2).masked_fill(x.new_ones(3, 3).triu(1) > 0, -torch.inf)
    return m.o(scores.softmax(-1) @ m.v(x)).tanh()


def _attention(forward=_attend, k_bias=True, o_bias=True, heads=2, **more):
    parts = {
        "q": Linear(4, 4),
        "k": Linear(4, 2 * heads, bias=k_bias),
        "v": Linear(4, 2 * heads),
        "o": Linear(4, 4, bias=o_bias),
    }
    return Function(forward, **parts, **more)


def _fused(m, x):
    q, k, v = torch.addmm(m.b, x.flatten(0, 1), m.w).view(*x.shape[:2], 12).split(4, dim=-1)
    return m.o(F.scaled_dot_product_attention(q, k, v, is_causal=True)).tanh()


def _with_token(m, x):
    rows = torch.cat([m.t.expand(x.shape[0], 1, 5), m.n(m.a(x))], 1)
    return m.b(rows).tanh()


def _token_behind(m, x):
    return torch.cat([m.t.expand(x.shape[0], 1, 4), m.b(m.n(m.a(x)))], 1).tanh()


def _post_norm(m, x):
    h = m.n(m.a(x))
    return m.c((h + m.up(torch.tanh(m.down(h)))) / 2).tanh()


def _parallel(m, x):
    h = m.n(m.a(x))
    stream = m.a(x) + m.up(torch.tanh(m.down(h))) + m.c(h)
    return m.last(F.layer_norm(stream, (5,))).tanh()


def _router(m, x):
    h = m.n(m.a(x))
    return m.b(h) * m.c(h).sigmoid()


def _met(function):
    return Function(
        lambda m, x: m.c(function(x, m.a(x), m.b(x))).tanh(),
        a=Linear(3, 5), b=Linear(3, 5), c=Linear(5, 4),
    )  # fmt: skip


MODELS = {
    "linear maps": lambda: nn.Sequential(Linear(6, 4), Linear(4, 4), Linear(4, 5)),
    "mlp": lambda: nn.Sequential(Linear(3, 5), nn.Tanh(), Linear(5, 4)),
    "mean": lambda: Function(
        lambda m, x: m.b(m.n(m.a(x)).mean(1)), a=Linear(3, 5), n=Norm(5), b=Linear(5, 4)
    ),  # fmt: skip
    "norm": lambda: nn.Sequential(Linear(3, 5), Norm(5), Linear(5, 4)),
    "batch norm": lambda: nn.Sequential(Linear(3, 5), nn.BatchNorm1d(5), Linear(5, 4)),
    "router": lambda: Function(
        _router, a=Linear(3, 5), n=Norm(5), b=Linear(5, 4), c=Linear(5, 4, bias=False)
    ),  # fmt: skip
    "added": lambda: Function(
        lambda m, x: (m.b(m.n(m.a(x))) - 2 * m.c(m.n(m.a(x)))).tanh(),
        a=Linear(3, 5),
        n=Norm(5),
        b=Linear(5, 4),
        c=Linear(5, 4, bias=False),
    ),  # fmt: skip
    "beside": lambda: Function(
        lambda m, x: m.c(m.a(x) + m.b(x)).tanh(), a=Linear(6, 5), b=Linear(6, 5), c=Linear(5, 4)
    ),  # fmt: skip
    "either": lambda: _met(lambda x, a, b: torch.where(x[..., :1] > 0, a, b)),
    "between": lambda: _met(lambda x, a, b: torch.lerp(a, b, x[..., 1:2])),
    "larger": lambda: _met(lambda x, a, b: torch.maximum(a, b)),
    "post-norm": lambda: Function(
        _post_norm, a=Linear(3, 5), n=Norm(5), down=Linear(5, 4), up=Linear(4, 5), c=Linear(5, 2)
    ),  # fmt: skip
    "parallel": lambda: Function(
        _parallel,
        a=Linear(3, 5),
        n=Norm(5),
        down=Linear(5, 4),
        up=Linear(4, 5),
        c=Linear(5, 5),
        last=Linear(5, 2),
    ),  # fmt: skip
    "token": lambda: Function(
        _with_token, a=Linear(3, 5), n=Norm(5), b=Linear(5, 4), t=nn.Parameter(torch.zeros(1, 1, 5))
    ),  # fmt: skip
    "token behind": lambda: Function(
        _token_behind,
        a=Linear(3, 5),
        n=Norm(5),
        b=Linear(5, 4),
        t=nn.Parameter(torch.zeros(1, 1, 4)),
    ),  # fmt: skip
    "convolutions": lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 4, 2), nn.Tanh()),
    "padded": lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 4, 3, padding=1), nn.Tanh()),
    "attention": _attention,
    "eager": lambda: _attention(_eager),
    "causal": lambda: _attention(lambda m, x: _attend(m, x, is_causal=True)),
    "shared keys": lambda: _attention(lambda m, x: _attend(m, x, enable_gqa=True), heads=1),
    "no output bias": lambda: _attention(o_bias=False),
    "any mask": lambda: _attention(lambda m, x, keep: _attend(m, x, attn_mask=keep)),
    "key without bias": lambda: _attention(
        lambda m, x: _attend(m, m.n(m.a(x))), k_bias=False, a=Linear(3, 4), n=Norm(4)
    ),  # fmt: skip
    "fused": lambda: Function(
        _fused, w=nn.Parameter(torch.zeros(4, 12)), b=nn.Parameter(torch.zeros(12)), o=Linear(4, 4)
    ),  # fmt: skip
    "library": lambda: Function(
        lambda m, x: m.m(x, x, x, need_weights=False)[0],
        m=nn.MultiheadAttention(4, 2, batch_first=True),
    ),  # fmt: skip
    "adapted": lambda: Function(
        lambda m, x: (m.w(m.a(x)) + m.up(m.down(m.a(x)))).tanh(),
        a=Linear(6, 5),
        w=Linear(5, 4),
        down=Linear(5, 2, bias=False),
        up=Linear(2, 4, bias=False),
    ),  # fmt: skip
    "recurrent": lambda: Function(
        lambda m, x: m.c(m.l(torch.stack([m.a(x), m.a(2 * x)]))[0]),
        a=Linear(6, 2),
        l=nn.RNN(2, 3, bidirectional=True),
        c=Linear(6, 2),
    ),  # fmt: skip
    "cell": lambda: Function(
        lambda m, x: m.c(m.l(m.a(x))[0]), a=Linear(6, 2), l=nn.LSTMCell(2, 3), c=Linear(3, 2)
    ),  # fmt: skip
    "cell without bias": lambda: Function(
        lambda m, x: m.c(m.l(m.a(x))),
        a=Linear(6, 2),
        l=nn.RNNCell(2, 3, bias=False),
        c=Linear(3, 2),
    ),  # fmt: skip
    "twice": lambda: Function(
        lambda m, x: m.c(m.b(m.b(m.a(x)))).tanh(), a=Linear(6, 4), b=Linear(4, 4), c=Linear(4, 3)
    ),  # fmt: skip
}
TOGETHER = ("either", "between", "larger")
LENGTHS = {"mean": (20, 3, 3), "token": (20, 2, 3), "token behind": (20, 2, 3)}
IMAGES = ("convolutions", "padded")
HEADS = (
    "attention", "eager", "causal", "shared keys", "no output bias", "any mask", "fused", "library",
)  # fmt: skip

# What absorbs every bias that may be shifted: readers and biases, with what the shift is taken by.
FOUND = {
    "linear maps": {"0.bias": {"1.bias"}, "1.bias": {"2.bias"}},
    "mlp": {},
    "mean": {"n.bias": {"b.bias"}},
    "norm": {"1.bias": {"2.bias"}},
    "batch norm": {"1.bias": {"2.bias"}},
    "router": {},
    "added": {"n.bias": {"b.bias"}},
    "beside": {"a.bias": {"c.bias"}},
    "either": {"a.bias": {"c.bias"}},
    "between": {"a.bias": {"c.bias"}},
    "larger": {"a.bias": {"c.bias"}},
    "post-norm": {"n.bias": {"down.bias", "c.bias"}, "up.bias": {"c.bias"}},
    "parallel": {"n.bias": {"down.bias", "up.bias"}},  # or c.bias, for the two add up
    "token": {},
    "token behind": {"n.bias": {"b.bias"}},
    "convolutions": {"0.bias": {"1.bias"}},
    "padded": {},
    "attention": {"v.bias": {"o.bias"}},
    "eager": {"v.bias": {"o.bias"}},
    "causal": {"v.bias": {"o.bias"}},
    "shared keys": {"v.bias": {"o.bias"}},
    "no output bias": {},
    "any mask": {},
    "key without bias": {"n.bias": {"q.bias", "v.bias"}, "v.bias": {"o.bias"}},
    "fused": {"b": {"o.bias"}},
    "library": {"m.in_proj_bias": {"m.out_proj.bias"}},
    "adapted": {},
    "recurrent": {"a.bias": {"l.bias_ih_l0", "l.bias_ih_l0_reverse"}},
    "cell": {"a.bias": {"l.bias_ih"}},
    "cell without bias": {},
    "twice": {},
}


def _inputs(name, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if name in IMAGES:
        return (torch.randn(4, 2, 7, 7, generator=generator),)
    shape = LENGTHS.get(name, (20, 3, 4) if name in HEADS else (20, 3))
    shape = (20, 3, 3) if name == "key without bias" else shape
    wide = ("linear maps", "beside", "adapted", "twice", "recurrent", "cell", "cell without bias")
    x = torch.randn(*(shape[:-1] if name in wide else shape), *([6] * (name in wide)),
                    generator=generator)  # fmt: skip
    mask = torch.rand(20, 1, 3, 3, generator=generator) > 0.3
    return (x, mask) if name == "any mask" else (x,)


def _absorbed(group):
    found = {}
    for space in group.spaces:
        for generator in (g for g in space.of("shift") if g.absorbed):
            names = [x.tensor for x, e in zip(space.legs, generator.exponents, strict=True) if e]
            found[names[0]] = {taken.bias for taken in generator.absorbed}
    return found


@pytest.mark.filterwarnings("error::toroids.errors.ProofWarning")
@pytest.mark.parametrize("name", MODELS)
def test_what_later_biases_absorb(name):
    torch.manual_seed(0)
    model, inputs = MODELS[name](), _inputs(name)
    group = td.discover(model, inputs)
    assert _absorbed(group) == FOUND[name]

    generator = torch.Generator().manual_seed(1)
    params = {
        key: value.double() if "running" in key else value if "batches" in key
        else torch.randn(value.shape, generator=generator, dtype=torch.float64)
        for key, value in model.state_dict().items()
    }  # fmt: skip
    params |= {name: params[first] for name, first in group.tied.items()}
    drawn, rest = group.random(generator).choices, group.identity().choices
    shifts = {name: replace(rest[name], shifts=choice.shifts) for name, choice in drawn.items()}
    moved = group.apply(td.symmetry.Element(shifts), params)
    one, other = (td.canonicalize(group, p) for p in (params, moved))
    again = td.canonicalize(group, one)
    for same in (other, again):
        assert max(float((same[n] - one[n]).abs().max()) for n in one) < 1e-9
    few = tuple(x[:1] for x in inputs)
    found = td.audit(model, few, params, group=group)
    assert found.symmetry_dimension == group.dimension
    # of biases that shift together, one becomes zero
    for bias in ["b.bias"] if name in TOGETHER else FOUND[name]:
        if bias not in ("b", "m.in_proj_bias"):  # in part
            assert one[bias].abs().max() < 1e-12


def test_shifts_that_do_not_commute_are_not_granted_together():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5), nn.Softmax(-1))
    group = td.discover(model, torch.randn(2, 3))
    assert any("which shifts on its own" in note for note in group.notes)
    params = {key: x.double() for key, x in model.state_dict().items()}
    one, other = (group.random(torch.Generator().manual_seed(seed)) for seed in (0, 1))
    moved = group.apply(one, params)
    back = group.apply(group.inverse(one), moved)
    twice = group.apply(group.compose(other, one), params)
    for key, x in group.apply(other, moved).items():
        torch.testing.assert_close(twice[key], x, atol=1e-10, rtol=1e-10)
        torch.testing.assert_close(back[key], params[key], atol=1e-10, rtol=1e-10)


def test_lengths_that_a_buffer_decides_keep_what_they_cut():
    def forward(m, x):
        one, two = m.a(x).split(m.sizes.tolist(), 1)
        return m.c(torch.cat([one.relu(), two.tanh()], 1))

    layers = {"a": nn.Linear(3, 8), "c": nn.Linear(8, 3), "sizes": torch.tensor([3, 5])}
    group = td.discover(Function(forward, **layers), torch.randn(4, 3))
    assert not group.spaces
    assert any("`sizes` holds the same numbers" in note for note in group.notes)
