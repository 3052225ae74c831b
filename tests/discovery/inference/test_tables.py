"""Rows of tables that take back shifts, as a class token's position: what is granted, how it acts."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from tests.discovery.function import Function
from torch import nn
from torch.nn import functional as F

import toroids as td

ROWS, WIDTH = 4, 5


def _draw(*shape):
    return nn.Parameter(torch.randn(*shape))


def _behind(m, h, **more):
    """A reader that is no matrix alone, so that nothing but the table takes a shift back."""
    return m.c(torch.tanh(m.n(h)))


def _model(forward, **parts):
    reader = {"n": nn.LayerNorm(WIDTH), "c": nn.Linear(WIDTH, 4)}
    return Function(forward, a=nn.Linear(3, WIDTH), **reader, **parts)


def _before(m, x, *tokens):
    return torch.cat([*(t.expand(x.shape[0], 1, WIDTH) for t in tokens), m.a(x)], 1)


def _looked_up(m, x):
    return _behind(m, _before(m, x, m.t, m.s) + F.embedding(m.ids, m.p))


def _sliced(m, x):
    return _behind(m, _before(m, x, m.t) + m.p[:, : x.shape[1] + 1])


def _doubled(m, x):
    """The token counts twice, once at either end; its second place is weighed by a half."""
    ends = torch.cat([_before(m, x, m.t), m.t.expand(x.shape[0], 1, WIDTH) / 2], 1)
    return _behind(m, ends + m.p)


def _read_elsewhere(m, x):
    return _behind(m, _before(m, x, m.t) + m.p) + m.p[0, 0].tanh().sum()


def _unknown(m, x, ids):
    return _behind(m, _before(m, x, m.t) + F.embedding(ids, m.p))


def _stream(m, x):
    h = _before(m, x, m.t) + m.p
    h = h + m.b(torch.tanh(m.up(m.n(h))))
    return m.c(torch.tanh(m.down(m.last(h))))


MODELS = {
    "looked up": lambda: _model(
        _looked_up,
        t=_draw(WIDTH),
        s=_draw(1, WIDTH),
        p=_draw(ROWS + 3, WIDTH),
        ids=torch.tensor([3, 0, 1, 5, 2, 6]),  # one row is read nowhere
    ),
    "sliced": lambda: _model(_sliced, t=_draw(WIDTH), p=_draw(1, 9, WIDTH)),
    "doubled": lambda: _model(_doubled, t=_draw(WIDTH), p=_draw(ROWS + 2, WIDTH)),
    "stream": lambda: Function(
        _stream,
        a=nn.Linear(3, WIDTH),
        t=_draw(WIDTH),
        p=_draw(1, ROWS + 1, WIDTH),
        n=nn.LayerNorm(WIDTH),
        up=nn.Linear(WIDTH, 3),
        b=nn.Linear(3, WIDTH),
        last=nn.LayerNorm(WIDTH),
        down=nn.Linear(WIDTH, 3),
        c=nn.Linear(3, 4),
    ),
}
REFUSED = {
    "read elsewhere": lambda: _model(
        _read_elsewhere, t=_draw(1, 1, WIDTH), p=_draw(1, ROWS + 1, WIDTH)
    ),
    "unknown": lambda: _model(_unknown, t=_draw(WIDTH), p=_draw(ROWS + 2, WIDTH)),
}
# What is shifted, and the rows of `p` that take it back; the rest shifts with all rows of `p`.
FOUND = {
    "looked up": [("t", (3,), 1.0), ("s", (0,), 1.0)],
    "sliced": [("t", (0,), 1.0)],
    "doubled": [("t", (0,), 1.0), ("t", (5,), 0.5), ("a.bias", (1, 2, 3, 4), 1.0)],
    "stream": [("t", (0,), 1.0)],
}


def _rows(group):
    return [
        (x.tensor, taken.rows, taken.factor)
        for space in group.spaces
        for g in space.of("shift")
        for taken in g.absorbed
        if taken.rows is not None
        for x in [next(x for x, e in zip(space.legs, g.exponents, strict=True) if e)]
    ]


def _inputs(name):
    x = torch.randn(12, ROWS, 3, generator=torch.Generator().manual_seed(0))
    ids = torch.randint(0, ROWS + 2, (12, ROWS + 1), generator=torch.Generator().manual_seed(1))
    return (x, ids) if name == "unknown" else (x,)


@cache
def _discovered(name):
    torch.manual_seed(0)
    model = {**MODELS, **REFUSED}[name]().double()
    inputs = tuple(x.double() if x.is_floating_point() else x for x in _inputs(name))
    return model, inputs, td.discover(model, inputs)


@pytest.mark.filterwarnings("error::toroids.errors.ProofWarning")
@pytest.mark.parametrize("name", MODELS)
def test_rows_take_back_what_is_added_to_a_token(name):
    model, inputs, group = _discovered(name)
    assert _rows(group) == FOUND[name]
    if name == "stream":
        assert td.audit(model, inputs, dict(model.state_dict()), group=group).unexplained == 0
    assert td.SymmetryGroup.from_json(group.to_json()) == group


@pytest.mark.parametrize("name", MODELS)
def test_their_shifts_compose_and_are_removed(name):
    model, _, group = _discovered(name)
    params = dict(model.state_dict())
    generator = torch.Generator().manual_seed(1)
    one, other = group.random(generator), group.random(generator)
    moved = group.apply(one, params)
    back = group.apply(group.inverse(one), moved)
    twice = group.apply(group.compose(other, one), params)
    for key, x in group.apply(other, moved).items():
        torch.testing.assert_close(twice[key], x, atol=1e-10, rtol=1e-10)
        torch.testing.assert_close(back[key], params[key], atol=1e-10, rtol=1e-10)
    first = td.canonicalize(group, params)
    again = td.canonicalize(group, first)
    assert max(float((again[n] - x).abs().max()) for n, x in first.items()) < 1e-10
    assert first["t"].abs().max() < 1e-12
    found = td.align(group, moved, to=params)
    errors = [float((found.params[n] - x).abs().max()) for n, x in found.reference.items()]
    assert max(errors) < 1e-10


def _no_norm_before(m, x):
    h = m.a(x) + m.p(torch.arange(x.shape[1]))
    return m.c(torch.tanh(m.n(h + m.up(torch.tanh(m.down(h))))))


def test_readers_and_what_stands_beside_take_back_what_is_added_to_a_whole_table():
    torch.manual_seed(0)
    model = Function(
        _no_norm_before,
        a=nn.Linear(3, WIDTH, bias=False),
        p=nn.Embedding(6, WIDTH),
        down=nn.Linear(WIDTH, 3),
        up=nn.Linear(3, WIDTH),
        n=nn.LayerNorm(WIDTH),
        c=nn.Linear(WIDTH, 4),
    ).double()
    x = torch.randn(12, 6, 3, dtype=torch.float64)
    group = td.discover(model, x)
    taken = [taken for s in group.spaces for g in s.of("shift") for taken in g.absorbed]
    assert {(x.reader.tensor, x.bias) for x in taken} == {("down.weight", "down.bias")}
    params = dict(model.state_dict())
    moved = group.apply(group.random(torch.Generator().manual_seed(1)), params)
    one, other = (td.canonicalize(group, p) for p in (params, moved))
    assert one["up.bias"].abs().max() < 1e-12  # the later one of two that add up
    found = td.align(group, other, to=one)
    errors = [float((found.params[n] - x).abs().max()) for n, x in found.reference.items()]
    assert max(errors) < 1e-10


@pytest.mark.parametrize("name", REFUSED)
def test_rows_that_something_else_sees_stay(name):
    _, _, group = _discovered(name)
    assert _rows(group) == []


def test_rows_that_only_longer_inputs_read_take_back_nothing():
    def twice(m, x):  # the bias stands alone where the layer is read again
        h = F.relu(m.a(x) + m.p[: x.shape[1]])
        return m.c(m.a(m.b(h))[..., m.order])

    parts = {"b": nn.Linear(WIDTH, 3), "c": nn.Linear(WIDTH, 4), "p": _draw(8, WIDTH)}
    model = Function(twice, a=nn.Linear(3, WIDTH), **parts)
    model.register_buffer("order", torch.tensor([2, 0, 1, 4, 3]))
    group = td.discover(model, torch.randn(2, 2, 3))  # of which two rows are read
    assert _rows(group) == [] and not any("failed" in note for note in group.notes)


def test_only_rows_of_a_table_on_the_space_take_back_shifts():
    _, _, group = _discovered("stream")
    space = group.spaces[0]
    shift = next(
        g for g in space.of("shift") if any(taken.rows is not None for taken in g.absorbed)
    )
    for rows in ((), (0, 0), (5,)):
        wrong = replace(shift, absorbed=(replace(shift.absorbed[0], rows=rows),))
        kept = tuple(wrong if g is shift else g for g in space.generators)
        with pytest.raises(td.ToroidsError, match="different rows below 5"):
            replace(group, spaces=(replace(space, generators=kept), *group.spaces[1:]))
