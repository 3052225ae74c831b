"""Numbers that a forward makes of lengths are any numbers, whatever they are at the example."""

import math

import pytest
import sympy
import torch
import torch.nn.functional as F
from discovery.far import deviation
from discovery.function import Function
from torch import nn

import toroids as td
from toroids.discovery.tracing import looks
from toroids.discovery.tracing.sizes import varies


def late(x):
    """Zero up to a hundred positions."""
    return max(0, x.shape[1] - 100)


# On the example every number that is added is 0, and every factor 1.
FORWARDS = {
    "added": (lambda m, x, h: F.relu(h + late(x)), "permute"),
    "added, from the example on": (lambda m, x, h: F.relu(h + (x.shape[1] - 5)), "permute"),
    "a bound": (lambda m, x, h: h.clamp(min=late(x)), "permute"),
    "filled in": (lambda m, x, h: F.relu(h).masked_fill(x[..., :1] > 0, late(x)), "permute"),
    "padded": (lambda m, x, h: F.pad(F.relu(h), (0, 0, 1, 0), value=late(x)), "permute"),
    "of the batch": (lambda m, x, h: F.relu(h + max(0, len(x) - 4)), "permute"),
    "at one length": (lambda m, x, h: F.relu(h + (x.shape[1] == 130)), "permute"),
    "a truth that multiplies": (
        lambda m, x, h: F.relu(h * (x.shape[1] <= 100) + m.c), "permute rescale",
    ),
    "a factor": (lambda m, x, h: F.relu(h * (1 + late(x)) + m.c), "permute rescale"),
    "the same factor twice": (
        lambda m, x, h: F.relu(h * (1 + late(x)) + m.c * (1 + late(x))), "permute rescale shift",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORWARDS)
def test_what_a_number_of_lengths_lets_pass_holds_at_all_lengths(name):
    forward, actions = FORWARDS[name]
    torch.manual_seed(0)
    model = Function(
        lambda m, x: m.o(forward(m, x, m.e(x))),
        e=nn.Linear(3, 4), o=nn.Linear(4, 2), c=nn.Parameter(torch.randn(4)),
    )  # fmt: skip
    group = td.discover(model, torch.randn(2, 5, 3))
    assert [" ".join(sorted(space.actions)) for space in group.spaces] == [actions]
    others = [torch.randn(1, 130, 3), torch.randn(9, 5, 3), torch.randn(1, 1, 3)]
    assert deviation(model, group, others) < 1e-8


def join(f, g, h):
    """One function up to the twentieth position, another one behind it, where there are some."""
    return torch.cat([f(h[:, :20]), g(h[:, 20:])], 1)


def written(x, h):
    x[:, 20:] = h[:, 20:].tanh()
    return x


# name: (what is made of hidden units, actions); the part behind is empty on the example.
PARTS = {
    "an activation": (lambda m, h: join(torch.relu, torch.tanh, h), "permute"),
    "a factor on what a bias adds": (
        lambda m, h: join(nn.Identity(), lambda z: 2 * z, h), "mix permute",
    ),
    "parameters": (lambda m, h: join(torch.relu, lambda z: z.relu() * m.c, h), "permute rescale"),
    "counted from the end": (
        lambda m, h: torch.cat([h[:, :-20].tanh(), h[:, -20:].relu()], 1), "permute",
    ),
    "in place": (lambda m, h: written(F.relu(h), h), "permute"),
    "an index": (
        lambda m, h: F.relu(h) + h[:, torch.arange(h.shape[1])[20:]].tanh().sum(1)[:, None],
        "permute",
    ),
    "a diagonal": (
        lambda m, h: F.relu(h) + (h @ h.mT).diagonal(20, 1, 2).tanh().sum(1)[:, None, None],
        "permute",
    ),
}  # fmt: skip


@pytest.fixture(params=[250, 0])
def size(request, monkeypatch):
    """Whether lengths stay open in traces, or are numbers, as in those of large networks."""
    monkeypatch.setattr(looks, "SMALL", request.param)


@pytest.mark.parametrize("name", PARTS)
def test_parts_that_are_empty_on_the_example_are_looked_at(name, size):
    part, actions = PARTS[name]
    torch.manual_seed(0)
    model = Function(
        lambda m, x: m.o(part(m, m.e(x))),
        e=nn.Linear(3, 4), o=nn.Linear(4, 2), c=nn.Parameter(torch.randn(4)),
    )  # fmt: skip
    group = td.discover(model, torch.randn(2, 5, 3))
    assert " ".join(sorted(group.spaces[0].actions)) == actions
    assert "(any, any, 3)" in group.notes[0]
    assert deviation(model, group, [torch.randn(1, 25, 3), torch.randn(2, 20, 3)]) < 1e-8


# What large networks make of the rows of a table that no rows but these tell apart.
ROWS = {
    "as many as positions": lambda m, t: m.table[:t].mean(0),
    "none of the first behind a length": lambda m, t: m.table[max(t - 60, 0) :].sum(0),
    "the last ones": lambda m, t: m.table[-(100 // t) :].mean(0),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_that_some_lengths_tell_apart_stay_in_place(name, monkeypatch):
    monkeypatch.setattr(looks, "SMALL", 0)
    model = Function(
        lambda m, x: m.o(F.relu(m.e(x) + ROWS[name](m, x.shape[1]))),
        e=nn.Linear(3, 4), o=nn.Linear(4, 2), table=nn.Parameter(torch.randn(4, 4)),
    )  # fmt: skip
    group = td.discover(model, torch.randn(2, 6, 3))
    assert [space.size for space in group.spaces] == [4]
    assert deviation(model, group, [torch.randn(1, t, 3) for t in (2, 6, 30, 62)]) < 1e-8


def test_pieces_of_which_the_example_has_one_only(monkeypatch):
    monkeypatch.setattr(looks, "SMALL", 0)
    kinds = torch.relu, torch.tanh

    def forward(m, x):
        return m.o(torch.cat([f(z) for f, z in zip(kinds * 9, m.e(x).split(20, 1))], 1))  # noqa: B905

    model = Function(forward, e=nn.Linear(3, 4), o=nn.Linear(4, 2))
    group = td.discover(model, torch.randn(2, 6, 3))
    assert group.spaces[0].actions == {"permute"}
    assert deviation(model, group, [torch.randn(1, 30, 3)]) < 1e-8


# Of two inputs, as long on the example; actions on hidden units that both are read by.
PAIRS = {
    "what one is longer": (lambda m, x, y: m.e(y)[:, x.shape[1] :].tanh(), "permute"),
    "by how much": (
        lambda m, x, y: F.relu(m.e(y) + max(0, y.shape[1] - x.shape[1] - 50)), "permute",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_lengths_that_are_alike_on_the_example_only(name):
    part, actions = PAIRS[name]

    def forward(m, x, y):
        return m.o(m.e(x).relu().sum(1) + part(m, x, y).sum(1))

    torch.manual_seed(0)
    model = Function(forward, e=nn.Linear(3, 4), o=nn.Linear(4, 2))
    group = td.discover(model, (torch.randn(2, 4, 3), torch.randn(2, 4, 3)))
    assert [" ".join(sorted(space.actions)) for space in group.spaces] == [actions]
    assert not any("failed" in note for note in group.notes)
    assert deviation(model, group, [(torch.randn(1, 2, 3), torch.randn(1, 60, 3))]) < 1e-8


def test_numbers_of_large_images_stay_known_beside_other_twins():
    def forward(m, x):
        return m.o(F.relu(m.e(x) + max(0, x.shape[2] - 300))).mean((2, 3))

    model = Function(forward, e=nn.Conv2d(3, 4, 3), o=nn.Conv2d(4, 2, 1))
    (space,) = td.discover(model, torch.randn(2, 3, 8, 8)).spaces
    assert space.actions == {"permute"}


def test_an_expression_varies_where_it_does_at_any_length():
    s, t = sympy.symbols("s t", integer=True, positive=True)
    changing = (sympy.Max(0, s - 500), s // 300, sympy.Eq(s, 77), sympy.Eq(s, t), s > 2000, s * t)
    assert all(map(varies, changing))
    assert not any(map(varies, (sympy.Integer(3), 16 * s // (4 * s), sympy.Max(0, -s), s > -1)))


def test_transformers_of_pytorch_that_look_whether_their_mask_is_causal():
    layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True)
    model = Function(
        lambda m, x: m.o(m.e(x, m.mask[: x.shape[1], : x.shape[1]])),
        e=nn.TransformerEncoder(layer, 1), o=nn.Linear(4, 2),
        mask=nn.Transformer.generate_square_subsequent_mask(8),
    )  # fmt: skip
    detect = nn.modules.transformer._detect_is_causal_mask
    group = td.discover(model, torch.randn(2, 5, 4))
    assert nn.modules.transformer._detect_is_causal_mask is detect
    assert sum("mix" in space.actions for space in group.spaces) == 2
    assert deviation(model, group, [torch.randn(1, 8, 4), torch.randn(3, 1, 4)]) < 1e-8


@pytest.mark.parametrize("axis", [0, 1])
def test_sizes_at_which_outputs_are_no_numbers_do_no_harm(axis, size):
    def forward(m, x):
        h = m.e(x)
        rest = h[1:] if axis == 0 else h[:, 1:]  # none of a single one, whose mean is no number
        return m.o(F.relu(h * rest.mean(axis, keepdim=True)))

    model = Function(forward, e=nn.Linear(3, 4), o=nn.Linear(4, 2))
    (space,) = td.discover(model, torch.randn(2, 5, 3)).spaces
    assert space.actions == {"permute", "rescale", "flip"}


LISTS = {
    "the rest of a list": lambda h: F.relu(h) + sum(z.tanh()[:, None] for z in h.unbind(1)[20:]),
    "counted": lambda h: torch.stack(
        [z.tanh() if k > 20 else z.relu() for k, z in enumerate(h.unbind(1))], 1
    ),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_positions_are_looked_at_where_code_may_do_something_else(name, size):
    model = Function(lambda m, x: m.o(LISTS[name](m.e(x))), e=nn.Linear(3, 4), o=nn.Linear(4, 2))
    (space,) = td.discover(model, torch.randn(2, 5, 3)).spaces
    assert space.actions == {"permute"}


# What Python, or a tensor, makes of a length where nobody hears it: more from some length on.
UNHEARD = {
    "a text": lambda x: len(f"{x.shape[0]:d}"),
    "a text to another base": lambda x: len("%x" % x.shape[0]),  # noqa: UP031
    "of the number of rows": lambda x: len(hex(len(x))) - 2,
    "a logarithm": lambda x: int(math.log10(x.view(x.shape[0], -1).shape[0])) + 1,
    "a tensor": lambda x: int(torch.tensor(x.shape[0]) > 9) + 1,
}


@pytest.mark.parametrize("name", UNHEARD)
def test_digits_of_a_length_cut_no_space_in_two(name):
    def forward(m, x):
        h, n = m.a(x), UNHEARD[name](x)
        return m.b(torch.cat([h[:, :n].relu(), h[:, n:]], 1))

    model = Function(forward, a=nn.Linear(3, 6), b=nn.Linear(6, 2))
    group = td.discover(model, torch.randn(4, 3))
    assert deviation(model, group, [torch.randn(n, 3) for n in (12, 16, 1001)]) < 1e-8
