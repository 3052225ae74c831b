"""Functions that look like others which let an action pass, and do not."""

import pytest
import torch
import torch.nn.functional as F
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


def test_what_is_chosen_among_equal_numbers_stays():
    class Chooser(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.a, self.e, self.function = (
                nn.Linear(4, 6),
                nn.Parameter(torch.randn(6, 3)),
                function,
            )

        def forward(self, x):
            return self.e[self.function(self.a(x)).argmax(-1)]

    group = td.discover(Chooser(torch.relu), torch.randn(5, 4))
    assert not group.spaces
    assert any("numbers that `relu` makes equal" in note for note in group.notes)
    group = td.discover(Chooser(torch.sigmoid), torch.randn(5, 4))
    assert [sorted(space.actions) for space in group.spaces] == [["permute"]]


@pytest.mark.filterwarnings("error::toroids.errors.ProofWarning")
def test_columns_that_read_inputs_stay_whatever_lies_beside():
    class Squares(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.c = nn.Linear(4, 2), nn.Linear(6, 3)

        def forward(self, x):
            parts = torch.cat([x, self.a(x)], -1).unflatten(-1, (-1, 2)).contiguous()
            return self.c(torch.view_as_real(torch.view_as_complex(parts) ** 2).flatten(-2))

    assert not td.discover(Squares(), torch.randn(5, 4)).spaces


def test_sums_in_groups_are_aligned():
    model = Between(lambda h: h.unflatten(-1, (3, 2)).sum(-1).repeat(1, 2)).double()
    group = td.discover(model, torch.randn(5, 4).double())
    params = model.state_dict()
    moved = group.apply(group.random(torch.Generator().manual_seed(0)), params)
    alignment = td.align(group, moved, to=params)
    x = torch.randn(5, 4).double()
    after = torch.func.functional_call(model, dict(alignment.params), (x,))
    assert torch.allclose(after, model(x))
