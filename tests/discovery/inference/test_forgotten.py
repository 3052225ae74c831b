"""Constants that may be added to weights before a softmax, which sees none of them."""

import pytest
import torch
from discovery.function import Function
from torch import nn

import toroids as td

# Of every forward the weight `w`, and how many shifts it has.
FORGET = {
    "all at once": (6, lambda m, h: h * m.w.softmax(0), 1),
    "all of a table": ((6, 6), lambda m, h: h @ m.w.flatten().softmax(0).view(6, 6), 1),
    "columns of a table": ((3, 6), lambda m, h: h * m.w.softmax(0).mul(m.gains).sum(0), 6),
    "rows one by one": (
        (2, 3),
        lambda m, h: sum(h**k * w for row in m.w for k, w in enumerate(row.softmax(0))),
        2,
    ),
    "at a temperature": (6, lambda m, h: h * (m.w / m.heat).log_softmax(0), 1),
    "rows and columns": (
        (3, 3),
        lambda m, h: torch.cat([h[:, :3] @ m.w.softmax(0), h[:, 3:] @ m.w.softmax(1)], 1),
        1,
    ),
    "more than there is for heads": (
        (2, 3, 3),
        lambda m, h: (m.w.softmax(-1) @ h.view(-1, 2, 3)[..., None]).flatten(1),
        6,
    ),
    "seen elsewhere": (6, lambda m, h: h * m.w.softmax(0) + m.w, 0),
    "beside numbers": (6, lambda m, h: h * torch.cat([m.w, m.heat]).softmax(0)[:6], 0),
}


@pytest.mark.parametrize("name", FORGET)
def test_a_softmax_over_weights_forgets_shifts(name):
    torch.manual_seed(0)
    shape, forward, count = FORGET[name]
    model = Function(
        lambda m, x: m.leave(torch.tanh(forward(m, torch.sin(m.enter(x))))),
        enter=nn.Linear(3, 6), leave=nn.Linear(6, 2), w=nn.Parameter(torch.randn(shape)),
        heat=torch.ones(1), gains=torch.randn(3, 1),
    ).double()  # fmt: skip
    group = td.discover(model, torch.randn(2, 3).double())
    assert group.dimension == sum(len(s.of("shift")) * s.size * s.copies for s in group.spaces)
    assert group.dimension == count
    params = model.state_dict()
    moved = group.apply(group.random(torch.Generator().manual_seed(0)), params)
    one, other = (td.canonicalize(group, x) for x in (params, moved))
    assert abs(one["w"].sum()) < 1e-12 or not count
    torch.testing.assert_close(*(p["w"].flatten().sort().values for p in (one, other)))
    x = torch.randn(5, 3).double()
    torch.testing.assert_close(torch.func.functional_call(model, moved, (x,)), model(x))


@pytest.mark.filterwarnings("error::toroids.errors.ProofWarning")
def test_rows_that_are_as_long_as_the_inputs_share_one_shift():
    def forward(m, x):
        shares = m.w.reshape(x.shape[1], -1).softmax(-1)
        return torch.tanh(m.a(x)) * shares.sum(1, keepdim=True) * shares[:, :1]

    torch.manual_seed(0)
    model = Function(forward, a=nn.Linear(3, 2), w=nn.Parameter(torch.randn(60)))
    group = td.discover(model, torch.randn(2, 4, 3))
    assert [space.size for space in group.spaces if "shift" in space.actions] == [1]


def test_columns_that_units_carry_are_left_to_these():
    model = Function(
        lambda m, x: m.leave(m.enter(x).flatten(1) * m.w.softmax(0)[0]),
        enter=nn.Conv2d(1, 3, 1), leave=nn.Linear(12, 2), w=nn.Parameter(torch.randn(2, 12)),
    )  # fmt: skip
    group = td.discover(model, torch.randn(2, 1, 2, 2))
    assert [(space.size, "shift" in space.actions) for space in group.spaces] == [(3, True)]


def test_weights_that_write_the_outputs_may_have_scales():
    layers = nn.Linear(4, 6), nn.Tanh(), nn.utils.parametrizations.weight_norm(nn.Linear(6, 5))
    group = td.discover(nn.Sequential(*layers), torch.randn(9, 4), output="classifier")
    assert [(space.size, space.is_still) for space in group.spaces] == [(6, False), (5, True)]


def test_columns_on_which_units_stay_are_left_to_these():
    def forward(m, x):
        h = m.norm(m.a(x)).square() * m.w.softmax(0)[0]
        return m.last((h[..., None] - m.steps).abs().flatten(-2))

    held = {"a": nn.Linear(4, 4), "norm": nn.BatchNorm1d(4), "last": nn.BatchNorm1d(12)}
    steps, w = torch.linspace(-1, 1, 3), nn.Parameter(torch.randn(2, 4))
    group = td.discover(Function(forward, steps=steps, w=w, **held), torch.randn(2, 4))
    assert not any(space.name == "w:whole" for space in group.spaces)


def dimensions(model, inputs, x):
    """The dimension of what is granted, and that of what no output tells."""
    group = td.discover(model, inputs)
    params = dict(model.state_dict())
    touched = {leg.tensor for space in group.spaces for leg in space.legs}
    names = [name for name in params if name in group.parameters]

    def outputs(*tensors):
        moved = params | dict(zip(names, tensors, strict=True))
        return torch.func.functional_call(model, moved, (x,)).flatten()

    rows = torch.autograd.functional.jacobian(outputs, tuple(params[name] for name in names))
    read = [row for name, row in zip(names, rows, strict=True) if name in touched or row.any()]
    columns = torch.cat([row.flatten(1) for row in read], dim=1)
    return group.dimension, columns.shape[1] - int(torch.linalg.matrix_rank(columns, rtol=1e-10))


@pytest.mark.parametrize(
    ("forward", "count", "left"),
    [
        (lambda m, h: m.read(h).softmax(-1), 6, 0),
        (lambda m, h: (m.read(h) + m.b).log_softmax(-1), 7, 3),  # what one takes the other gives
        # columns of every head by itself, which the units of the columns carry along
        (lambda m, h: m.read(h).unflatten(-1, (2, 2)).softmax(-1).flatten(-2), 7, 5),
        (lambda m, h: m.read(h).softmax(0), 4, 0),
        (lambda m, h: torch.cat([m.read(h), h], -1).softmax(-1), 0, 0),
        (lambda m, h: m.read(h).softmax(-1) + m.read.bias, 5, 0),
        (lambda m, h: 2 + (a := m.read(h)) - a.mean(-1, keepdim=True), 6, 0),
    ],
)
def test_a_softmax_forgets_what_a_bias_adds_to_all_that_it_compares(forward, count, left):
    torch.manual_seed(0)
    layers = {"enter": nn.Linear(3, 5), "read": nn.Linear(5, 4), "b": nn.Parameter(torch.randn(4))}
    model = Function(lambda m, x: forward(m, torch.tanh(m.enter(x))), **layers).double()
    found = dimensions(model, torch.randn(6, 3).double(), torch.randn(40, 3).double())
    assert found == (count, count + left)


@pytest.mark.parametrize(
    ("map_", "forward", "shape", "count"),
    [
        (nn.Linear(4, 3), lambda m, x: m.map(x).softmax(-1), (4,), 5),
        (nn.Linear(4, 3), lambda m, x: (m.map(x) + m.map(x.flip(0))).softmax(-1), (4,), 5),
        (nn.Linear(4, 3, bias=False), lambda m, x: (m.map(x) / 2).log_softmax(-1), (4,), 4),
        (nn.Linear(4, 6), lambda m, x: m.map(x).unflatten(-1, (2, 3)).softmax(-1), (4,), 10),
        (nn.Conv2d(3, 4, 3, padding=1), lambda m, x: m.map(x).softmax(1), (3, 4, 4), 28),
        (nn.Linear(4, 3), lambda m, x: (a := m.map(x)) - a.mean(-1, keepdim=True), (4,), 5),
        (nn.Linear(4, 3), lambda m, x: (a := m.map(x)) - a.logsumexp(-1, keepdim=True), (4,), 5),
        (nn.Linear(4, 3), lambda m, x: (a := m.map(x)) - a.amax(1, keepdim=True), (5, 4), 3),
        (nn.Linear(4, 3), lambda m, x: (a := m.map(x)).roll(1, 1) - a.amax(-1, True), (5, 4), 1),
        (nn.Linear(4, 3), lambda m, x: (a := m.map(x)) - 0.5 * a.mean(-1, keepdim=True), (4,), 0),
        (nn.Linear(4, 3), lambda m, x: (a := m.map(x)) - a.sum(-1, keepdim=True), (4,), 0),
        (nn.Linear(4, 3), lambda m, x: 2 * (a := m.map(x)) - a.mean(-1, keepdim=True), (4,), 0),
        (nn.Linear(4, 3), lambda m, x: m.t * (a := m.map(x)) - a.mean(-1, keepdim=True), (4,), 0),
        (nn.Linear(4, 3), lambda m, x: (a := -m.map(x)) - a.mean(-1, keepdim=True), (4,), 5),
        (nn.Linear(4, 3, bias=False), lambda m, x: (x @ m.map.weight).softmax(-1), (3,), 3),
        (nn.ConvTranspose2d(3, 4, 2, 2), lambda m, x: m.map(x).softmax(1), (3, 4, 4), 13),
        # positions, or examples, are compared: each sees another sum
        (nn.Linear(4, 3), lambda m, x: m.map(x).softmax(1), (5, 4), 3),
        (nn.Linear(4, 3), lambda m, x: m.map(x).softmax(0), (4,), 3),
        (nn.Conv2d(3, 4, 1), lambda m, x: m.map(x).flatten(1).softmax(-1), (3, 4, 4), 1),
        (nn.Linear(4, 3), lambda m, x: m.map(x).softmax(-1) @ m.map.weight, (4,), 1),
    ],
)
def test_a_softmax_forgets_what_is_added_to_columns_of_the_map_before(map_, forward, shape, count):
    model = Function(forward, map=map_, t=torch.full((1,), 0.5)).double()
    x = torch.randn(9, *shape, generator=torch.Generator().manual_seed(0)).double()
    assert dimensions(model, x[:5], x) == (count, count)


@pytest.mark.parametrize(
    ("forward", "count"),
    [
        (lambda h, mask: h.masked_fill(mask, -1e9).softmax(-1), 5),
        (lambda h, mask: torch.where(mask, h, -torch.inf).log_softmax(-1), 5),
        (lambda h, mask: h.masked_fill(mask, -1e9).log_softmax(-1), 0),  # shows how low
        (lambda h, mask: h.masked_fill(mask, -1.0).softmax(-1), 0),
        (lambda h, _: h.masked_fill(h > 1, -torch.inf).softmax(-1), 0),
    ],
)
def test_a_mask_leaves_the_rest_to_its_softmax(forward, count):
    model = Function(lambda m, x: forward(m.map(x), x[..., :3] > 1), map=nn.Linear(4, 3))
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    assert td.discover(model, x).dimension == count


@pytest.mark.parametrize(("low", "shifts"), [(-1e9, 0), (-torch.inf, 5)])
def test_shifts_of_units_stay_where_a_logarithm_shows_how_low_a_mask_is(low, shifts):
    """What stands beside 1e9 is too small a change for any relative bound."""

    def forward(m, x):
        h = m.map(m.first(x).tanh()).masked_fill(x[..., :3] > 1, low)
        return h.unsqueeze(-1).squeeze(-1).log_softmax(-1)

    model = Function(forward, first=nn.Linear(4, 4), map=nn.Linear(4, 3)).double()
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)).double()
    group = td.discover(model, x)
    assert group.dimension == shifts
    moved = group.apply(group.random(torch.Generator().manual_seed(1)), model.state_dict())
    after = torch.func.functional_call(model, moved, (x,))
    assert (after - model(x)).nan_to_num(0, 0, 0).abs().max() < 1e-9
