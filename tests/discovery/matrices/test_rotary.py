"""Rotary pairs: found in whatever way they are written, and nowhere else."""

import torch
from discovery.function import Function
from discovery.proven import deviation
from discovery.rotary import (
    HEAD,
    Attention,
    angles,
    bent,
    complex_product,
    half_split,
    interleaved,
    measured,
    measured_in_part,
    none,
    normed,
    partial,
    swapped,
    uneven,
    written,
)
from torch import nn
from torch.nn.functional import scaled_dot_product_attention as attend

import toroids as td
from toroids.discovery.discover import group_of
from toroids.discovery.matrices.linear_rules import RULES
from toroids.discovery.matrices.linear_values import Meetings, Walk
from toroids.discovery.matrices.maps import Features
from toroids.discovery.matrices.pairs import units_of
from toroids.discovery.tracing.example import example_of
from toroids.discovery.tracing.explore import Explored
from toroids.discovery.tracing.holds import Point
from toroids.discovery.tracing.trace import trace

X = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))
PHASE, GAIN, TURN = ["phase", "rescale"], ["rescale"], ["phase"]
# how it is written, and size, copies and actions of the pairs
WRITTEN = {
    "half_split": (dict(turn=half_split), (2, 1, PHASE)),
    "interleaved": (dict(turn=interleaved, heads=4, keys=2), (2, 2, PHASE)),
    "complex": (dict(turn=complex_product, keys=2, fused=True), (2, 2, PHASE)),
    "partial": (dict(turn=partial, keys=2, bias=True, matmul=True), (1, 2, PHASE)),
    "gains": (dict(turn=half_split, gains=True), (2, 1, GAIN)),
    "swapped": (dict(turn=half_split, turn_keys=swapped), (2, 1, PHASE)),
    "buffer": (dict(turn=half_split, positions=torch.arange(3, 20)), (2, 1, PHASE)),
    "measured": (dict(turn=measured, heads=4, keys=2), (2, 2, TURN)),
    "normed": (dict(turn=normed, keys=2, bias=True, fused=True), (2, 2, TURN)),
    "measured_in_part": (dict(turn=measured_in_part), (1, 1, PHASE)),
    "none": (dict(turn=none), None),
    "uneven": (dict(turn=uneven), None),
    "bent": (dict(turn=bent), None),
}


def pairs_of(group):
    """The spaces of pairs."""
    return [space for space in group.spaces if ":pairs" in space.name]


def found(model, *inputs, free=()):
    """The group of a module, proven, and its spaces of pairs as they are written down."""
    example = example_of(model, inputs)
    program = trace(model, example, free=free)
    shorter = [example.resized(dict.fromkeys(free, 3))] if free else []
    points = tuple(Point(program, x) for x in (example, *shorter))
    explored = Explored(model, (program,), points, ())
    group = group_of(explored)
    assert deviation(explored, model, group) < 1e-10
    return group, [(s.size, s.copies, sorted(s.actions)) for s in pairs_of(group)]


def check_laws(group, params):
    """Composition and inverse, of elements of the whole group."""
    generator = torch.Generator().manual_seed(1)
    a, b = group.random(generator), group.random(generator)
    once, twice = group.apply(group.compose(a, b), params), group.apply(a, group.apply(b, params))
    back = group.apply(group.inverse(a), group.apply(a, params))
    for name, tensor in params.items():
        torch.testing.assert_close(once[name], twice[name])
        torch.testing.assert_close(back[name], tensor)


def test_pairs_are_found_in_whatever_way_they_are_written_and_nowhere_else():
    blocks = {name: Attention(**settings) for name, (settings, _) in WRITTEN.items()}
    model = Function(lambda self, x: sum(getattr(self, n)(x) for n in blocks), **blocks)
    model = model.double().eval()
    group, _ = found(model, X.double())
    pairs = {space.name.partition(".")[0]: space for space in pairs_of(group)}
    assert {n: (s.size, s.copies, sorted(s.actions)) for n, s in pairs.items()} == {
        name: expected for name, (_, expected) in WRITTEN.items() if expected
    }
    assert pairs["interleaved"].dimension == 8  # of two heads two scales and two angles
    assert pairs["gains"].dimension == 2
    # the signs of four gains of queries and four of keys, and of what two pairs hold behind them
    flips = [len(s.of("flip")) * s.copies * s.size for s in group.spaces if "gains." in s.name]
    assert sum(flips) == 10
    params = model.state_dict()
    check_laws(group, params)
    moved = group.apply(group.random(torch.Generator().manual_seed(2)), params)
    for length in (1, 7):
        x = torch.randn(1, length, 6, dtype=torch.float64)
        torch.testing.assert_close(torch.func.functional_call(model, moved, (x,)), model(x))


def test_positions_may_be_an_input_of_any_length():
    model = Attention(half_split, keys=2).eval()
    free = [(0, 1), (1, 0)]
    assert found(model, X, torch.arange(5) + 2, free=free)[1] == [(2, 2, PHASE)]


def test_nothing_is_said_to_stay_that_pairs_turn():
    """The entries of a single key, at angles that are computed in the forward."""

    def forward(m, x):
        at = torch.arange(x.shape[1])[:, None] * m.speeds
        cos, sin = (f(torch.cat([at, at], -1)) for f in (torch.cos, torch.sin))
        q, k = (y(x).unflatten(-1, (-1, HEAD)).transpose(1, 2) for y in (m.q, m.k))
        q, k = (y * cos + torch.cat([-y[..., 2:], y[..., :2]], -1) * sin for y in (q, k))
        return attend(q, k.repeat_interleave(2, 1), x[:, None].repeat_interleave(2, 1))

    model = Function(forward, q=nn.Linear(6, 2 * HEAD), k=nn.Linear(6, HEAD))
    model.register_buffer("speeds", torch.tensor([1.0, 0.3]), persistent=False)
    group, _ = found(model.eval(), X)
    assert pairs_of(group) and not any(note.startswith("in place") for note in group.notes)


def test_halves_may_be_written_into_an_empty_tensor():
    assert found(Attention(written).eval(), X)[1] == [(2, 1, PHASE)]


def test_features_that_are_read_elsewhere_stay():
    def forward(self, x):
        at = angles(torch.arange(x.shape[1]))
        q, k = (half_split(y(x), at) for y in (self.q, self.k))
        return attend(q, k, x) + self.q(x)[..., :1].tanh()

    model = Function(forward, q=nn.Linear(6, HEAD), k=nn.Linear(6, HEAD)).eval()
    assert found(model, X)[1] == [(1, 1, PHASE)]  # of two, for one is read


def _with_tables(size):
    """Cosines and sines as buffers, for every entry or for every pair."""

    def forward(self, x):
        cos, sin = (y[: x.shape[1]] for y in (self.cos, self.sin))
        times = HEAD // cos.shape[1]
        cos, sin = cos.repeat(1, times), sin.repeat(1, times)
        q, k = (
            y * cos + torch.cat([-y[..., 2:], y[..., :2]], -1) * sin for y in (self.q(x), self.k(x))
        )
        return attend(q, k, x)

    at = angles(torch.arange(16)).repeat(1, size // 2)
    parts = {"q": nn.Linear(6, HEAD), "k": nn.Linear(6, HEAD)}
    return Function(forward, cos=at.cos(), sin=at.sin(), **parts).eval()


def test_tables_are_conditions_where_only_their_numbers_make_rotations():
    group, pairs = found(_with_tables(2), X)
    assert pairs == [(1, 2, PHASE)]  # of two pairs that change places with the tables' columns
    assert group.conditions == ()
    model = _with_tables(4)
    group, pairs = found(model, X)
    assert pairs == []
    assert any("turn as long as `cos`" in note for note in group.notes)
    for name in ("cos", "sin"):  # no state dict holds them
        model.register_buffer(name, getattr(model, name), persistent=False)
    group, pairs = found(model, X)
    assert pairs == [(2, 1, PHASE)]
    assert any("as long as `cos`, which no state dict holds" in note for note in group.notes)


def test_a_key_without_a_head_turns_with_all_queries():
    """As in multi-head latent attention: one rotary key, beside keys of every head."""

    def forward(self, x):
        at = angles(torch.arange(x.shape[1]))
        q = self.q(x).unflatten(-1, (2, 6)).transpose(1, 2)
        low = self.down(x)
        k = self.up(low[..., :3].tanh()).unflatten(-1, (2, 2)).transpose(1, 2)
        turned = interleaved(low[:, None, :, 3:], at).expand(-1, 2, -1, -1)
        q = torch.cat([q[..., :2], interleaved(q[..., 2:], at)], -1)
        return attend(q, torch.cat([k, turned], -1), x[:, None])

    model = Function(forward, q=nn.Linear(6, 12), down=nn.Linear(6, 7), up=nn.Linear(3, 4))
    group, pairs = found(model.eval(), X)
    assert pairs == [(2, 1, PHASE)]
    (space,) = pairs_of(group)
    held = {leg.tensor: leg.positions for leg in space.legs}
    assert held["down.weight"] == (3, 4, 5, 6)
    assert held["q.weight"] == (2, 3, 8, 9, 4, 5, 10, 11)


def test_one_plus_w_is_scaled_as_a_gain():
    def forward(self, x):
        at = angles(torch.arange(x.shape[1]))
        q, k = (
            half_split(
                y(x) * torch.rsqrt(y(x).square().mean(-1, keepdim=True) + 1e-6) * (1 + w), at
            )
            for y, w in ((self.q, self.a), (self.k, self.b))
        )
        return attend(q, k, x)

    gains = {name: nn.Parameter(torch.randn(HEAD)) for name in "ab"}
    layers = {name: nn.Linear(6, HEAD) for name in "qk"}
    group, pairs = found(Function(forward, **gains, **layers).eval(), X)
    assert pairs == [(2, 1, GAIN)]
    assert {leg.offset for leg in pairs_of(group)[0].legs} == {1.0}


def test_what_is_kept_of_products_does_not_grow_with_walks():
    model = Attention(turn=half_split, keys=2).double().eval()
    kept = []
    for walks in (1, 4):
        meetings = Meetings(Features())
        generator = torch.Generator().manual_seed(0)
        for length in range(3, 3 + walks):
            x = torch.randn(2, length, 6, dtype=torch.double, generator=generator)
            example = example_of(model, x)
            Walk(trace(model, example), example, {}, meetings, RULES, generator)
        kept.append(len(meetings.verdicts))
        assert len(units_of(meetings)) == 4
    assert kept[0] == kept[1] == 1


class Tabled(nn.Module):
    """Attention of two heads on interleaved pairs, with tables of angles in the state dict."""

    def __init__(self):
        super().__init__()
        self.e, self.o = nn.Linear(3, 8), nn.Linear(8, 2)
        self.q, self.k, self.v = (nn.Linear(8, 8, bias=False) for _ in range(3))
        angles = torch.outer(torch.arange(16.0), torch.tensor([1.0, 0.1])).repeat_interleave(2, -1)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def turned(self, x):
        other = torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2)
        return x * self.cos[: x.shape[-2]] + other * self.sin[: x.shape[-2]]

    def forward(self, x):
        x = self.e(x)
        q, k, v = (f(x).unflatten(-1, (2, 4)).transpose(1, 2) for f in (self.q, self.k, self.v))
        scores = (self.turned(q) @ self.turned(k).mT).softmax(-1)
        return self.o((scores @ v).transpose(1, 2).flatten(2))


def test_pairs_whose_angles_a_state_dict_holds_turn_as_long_as_it_holds_them():
    torch.manual_seed(0)
    model = Tabled().double()
    group = td.discover(model, torch.randn(2, 4, 3).double())
    (pairs,) = (space for space in group.spaces if "phase" in space.actions)
    assert (pairs.size, pairs.copies) == (2, 2)
    assert {condition.buffer for condition in group.conditions} == {"cos", "sin"}
    params = model.state_dict()
    moved = group.apply(group.random(torch.Generator().manual_seed(0)), params)
    alignment = td.align(group, moved, to=params)
    assert td.Toroid(group).distance(alignment.reference, alignment.params) < 1e-9
