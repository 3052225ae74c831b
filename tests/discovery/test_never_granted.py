"""Functions that look like others which let an action pass, and do not."""

import pytest
import torch
import torch.nn.functional as F
from discovery.function import Function
from torch import nn

import toroids as td


class Between(nn.Module):
    """A function between two linear layers."""

    def __init__(self, function):
        super().__init__()
        self.a, self.b, self.function = nn.Linear(4, 6), nn.Linear(6, 3), function

    def forward(self, x):
        return self.b(self.function(self.a(x)))


FUNCTIONS = {
    "bounds, of which a trace leaves one out": (lambda h: F.hardtanh(h * 1e-2, 0, 1), "rescale"),
    "a lower bound above the upper one": (lambda h: h.clamp(1.0, -1.0), "flip"),
    "a factor that is small, not zero": (lambda h: torch.tanh(h * 1e-9), "shift"),
    "a cast to a narrower type": (lambda h: h.float().to(h.dtype), "shift"),
    "a softmax of zeros, which gives none": (lambda h: h + F.softmax(h * 0, -1), "mix"),
    "a power that is almost one": (lambda h: h.relu() ** 1.0000001 + h.relu(), "rescale"),
    "a number that stands for minus infinity": (
        lambda h: h.masked_fill(torch.arange(len(h))[:, None] > 2, -1e9), "rescale",
    ),
    "minus infinity, where it is read": (
        lambda h: h.masked_fill(torch.arange(len(h))[:, None] > 2, -torch.inf).tanh(), "flip",
    ),
    "a mean with another divisor": (
        lambda h: h + F.avg_pool2d(h[:, None], (1, 2), divisor_override=3).repeat(1, 1, 1, 2)[:, 0],
        "shift",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("error::toroids.errors.ProofWarning")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_by_rule(name):
    function, action = FUNCTIONS[name]
    group = td.discover(Between(function).double(), torch.randn(5, 4).double())
    assert all(action not in space.actions for space in group.spaces)


class Chooser(nn.Module):
    """Rows of a table, picked by what is largest, say, among units."""

    def __init__(self, index):
        super().__init__()
        self.a, self.e, self.index = nn.Linear(4, 6), nn.Parameter(torch.randn(6, 3)), index
        self.register_buffer("mask", torch.tensor([1.0, 1, 1, 0, 0, 0]))

    def forward(self, x):
        return self.e[self.index(self, self.a(x))]


# Numbers some of which are equal, and the operator that a note names.
EQUAL = {
    "relu": lambda m, h: h.relu().argmax(-1),
    "cos": lambda m, h: h.clamp(0, 1).cos().topk(1, -1)[1][:, 0],
    "sub": lambda m, h: (h - h.clone()).argmax(-1),
    "add": lambda m, h: (h + -h).argmin(-1),
    "pow": lambda m, h: (h**0).kthvalue(2, -1)[1],
    "mul": lambda m, h: (h * m.mask).sort(-1)[1][:, 0],
    "cat": lambda m, h: torch.cat([h[:, :2], 0 * h[:, 2:]], -1).argmax(-1),
    "where": lambda m, h: torch.where(m.mask > 0, h, 0.0).max(-1)[1],
    "repeat": lambda m, h: h[:, :3].repeat(1, 2).median(-1)[1],
    "masked_fill": lambda m, h: h.masked_fill(h < 0, 0.0)[:, :6].argmin(-1),
    "masked": lambda m, h: h.masked_fill(m.mask > 0, -1e30).argmax(-1),
    "to": lambda m, h: h.long().mode(-1)[1],
    "linear": lambda m, h: F.linear(h.relu() @ m.e, m.e).argmax(-1),
    "zeros": lambda m, h: torch.zeros_like(h).argmax(-1),
}  # fmt: skip
NAMED = {"cos": "clamp", "masked": "masked_fill", "linear": "relu", "cat": "mul"} | dict.fromkeys(
    ("zeros", "repeat")
)
APART = {
    "sigmoid": lambda m, h: h.sigmoid().argmax(-1),
    "bias": lambda m, h: (h.relu() + m.e[:, 0]).argmax(-1),
    "rows": lambda m, h: F.linear(h.relu() @ m.e, m.e, m.e[:, 0]).topk(2, -1)[1][:, 1],
    "mean": lambda m, h: (2 * h - h.mean(-1, keepdim=True)).softmax(-1).max(-1)[1],
    "lowest": lambda m, h: h.masked_fill(h > h.mean(), -1e30).argmax(-1),
}  # fmt: skip


@pytest.mark.filterwarnings("error::toroids.errors.ProofWarning")
@pytest.mark.parametrize("name", EQUAL)
def test_what_is_chosen_among_equal_numbers_stays(name):
    group = td.discover(Chooser(EQUAL[name]).double(), torch.randn(5, 4).double())
    assert all(leg.tensor != "e" or leg.axis for space in group.spaces for leg in space.legs)
    cause = NAMED.get(name, name)
    assert cause is None or any(f"numbers that `{cause}` makes" in note for note in group.notes)


@pytest.mark.filterwarnings("error::toroids.errors.ProofWarning")
@pytest.mark.parametrize("name", APART)
def test_what_is_chosen_among_others_moves(name):
    group = td.discover(Chooser(APART[name]).double(), torch.randn(5, 4).double())
    assert any(leg.tensor == "e" and leg.axis == 0 for s in group.spaces for leg in s.legs)


def _sparse(put, number=None):
    """Five of the largest units, as a sparse autoencoder keeps them, put among zeros."""

    def function(h):
        h = h.relu()
        values, places = h.topk(5, -1)
        found = torch.zeros_like(h).scatter(-1, places, values if number is None else number)
        return put(h, found, values, places)

    return function


# Of several zeros that a ReLU leaves the first ones are chosen; whether nobody sees which.
SPARSE = {
    "put back": (_sparse(lambda h, found, *_: found), True),
    "a mask": (_sparse(lambda h, mask, *_: h * mask, 1.0), True),
    "other numbers": (_sparse(lambda h, found, *_: found, 2.0), False),
    "a mask of something else": (_sparse(lambda h, mask, *_: mask * (h + 1), 1.0), False),
    "places": (_sparse(lambda h, found, _, places: found * places.sum(-1, keepdim=True)), False),
    "among ones": (
        _sparse(lambda h, _, values, places: torch.ones_like(h).scatter(-1, places, values)),
        False,
    ),
}


@pytest.mark.filterwarnings("error::toroids.errors.ProofWarning")
@pytest.mark.parametrize("name", SPARSE)
def test_zeros_that_are_chosen_and_put_among_zeros_leave_no_trace(name):
    function, moves = SPARSE[name]
    group = td.discover(Between(function), torch.randn(5, 4))
    assert any("permute" in space.actions for space in group.spaces) == moves
    assert any("topk`, zeros aside, chooses are equal" in note for note in group.notes) == moves


@pytest.mark.filterwarnings("error::toroids.errors.ProofWarning")
def test_columns_that_read_inputs_stay_whatever_lies_beside():
    class Squares(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.c = nn.Linear(4, 2), nn.Linear(6, 3)

        def forward(self, x):
            parts = torch.cat([x, self.a(x)], -1).unflatten(-1, (-1, 2)).contiguous()
            return self.c(torch.view_as_real(torch.view_as_complex(parts) ** 2).flatten(-2))

    (number,) = td.discover(Squares(), torch.randn(5, 4)).spaces  # the complex one that `a` writes
    assert (number.size, number.actions) == (1, {"rescale", "flip"})
    assert [leg.positions for leg in number.legs if leg.tensor == "c.weight"] == [(4, 5)]


def test_sums_in_groups_are_aligned():
    model = Between(lambda h: h.unflatten(-1, (3, 2)).sum(-1).repeat(1, 2)).double()
    group = td.discover(model, torch.randn(5, 4).double())
    params = model.state_dict()
    moved = group.apply(group.random(torch.Generator().manual_seed(0)), params)
    alignment = td.align(group, moved, to=params)
    x = torch.randn(5, 4).double()
    after = torch.func.functional_call(model, dict(alignment.params), (x,))
    assert torch.allclose(after, model(x))


class Rows(nn.Module):
    """Channels and rows of pixels, laid flat, of which a function takes some."""

    def __init__(self, function):
        super().__init__()
        self.a, self.b, self.function = nn.Conv2d(2, 4, 2), nn.Linear(12, 3), function

    def forward(self, x):
        return self.b(self.function(self.a(x).mean(3).flatten(1)))


CUTS = {
    "index": lambda h: h[:, list(range(11, -1, -1))],
    "narrow": lambda h: h.narrow(1, 0, 12),
    "split": lambda h: h.split(12, 1)[0],
    "unfold": lambda h: h.unfold(1, 12, 12)[:, 0],
}


@pytest.mark.filterwarnings("error::toroids.errors.ProofWarning")
@pytest.mark.parametrize("name", CUTS)
def test_what_lies_elsewhere_at_other_sizes_stays(name):
    group = td.discover(Rows(CUTS[name]), torch.randn(2, 2, 4, 4))
    assert all("permute" not in space.actions for space in group.spaces)


@pytest.mark.filterwarnings("error::toroids.errors.ProofWarning")
def test_groups_that_read_a_channel_and_its_relu_are_told_apart():
    class Groups(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 1, 1), nn.Conv2d(2, 8, 1, groups=2)
            self.c = nn.Conv2d(8, 1, 1)

        def forward(self, x):
            h = self.a(x)
            return self.c(self.b(torch.cat([h, h.relu()], 1)))

    group = td.discover(Groups(), torch.randn(2, 2, 3, 3))
    assert sorted(s.size for s in group.spaces if "mix" in s.actions) == [4, 4]


@pytest.mark.filterwarnings("error::toroids.errors.ProofWarning")
@pytest.mark.parametrize(
    "function",
    [lambda h: torch.cdist(h, h), lambda h: (h - h.mean(-1, keepdim=True)).mean(-1)],
    ids=["distances", "means"],
)
def test_zeros_that_rounding_moves_are_no_defects(function):
    class Zeros(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 6)

        def forward(self, x):
            return function(self.a(x))

    group = td.discover(Zeros(), torch.randn(30, 4))
    assert "permute" in group.spaces[0].actions


EXPERTS = {
    "stack": lambda experts, h, w: (torch.stack([e(h) for e in experts], -1) * w[:, None]).sum(-1),
    "add": lambda experts, h, w: sum(w[:, i : i + 1] * e(h) for i, e in enumerate(experts)),
}


@pytest.mark.parametrize("name", EXPERTS)
def test_experts_that_are_modules_of_their_own_are_named(name):
    class Mixture(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = nn.Linear(4, 3)
            self.experts = nn.ModuleList(nn.Linear(4, 2) for _ in range(3))

        def forward(self, x):
            return EXPERTS[name](self.experts, x, self.gate(x).softmax(-1))

    notes = td.discover(Mixture(), torch.randn(5, 4)).notes
    assert any(f"operator `aten::{name}` reads 3 values" in note for note in notes)


def test_a_constant_matrix_keeps_features_in_place_and_is_said():
    matrix = torch.randn(6, 6)
    group = td.discover(Between(lambda h: (h @ matrix).relu()), torch.randn(5, 4))
    assert [(s.size, s.actions) for s in group.spaces] == [(1, {"rescale"})]  # of all at once
    assert any("`aten::matmul`, by constant numbers, meets" in note for note in group.notes)


def test_matrices_on_what_meets_nothing_but_zeros():
    def forward(m, x):
        return m.b(m.a(torch.cat([x, x.new_zeros(len(x), 3)], 1)).tanh())

    group = td.discover(Function(forward, a=nn.Linear(7, 5), b=nn.Linear(5, 2)), torch.randn(4, 4))
    assert [space.actions for space in group.spaces] == [{"permute", "flip"}]
    assert "in place: 3 positions along axis 1 of `a.weight` meet nothing but zeros" in group.notes
