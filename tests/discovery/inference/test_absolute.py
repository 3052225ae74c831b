"""Absolute values that are written as choices let signs pass; what looks like them does not."""

import pytest
import torch
from discovery.far import deviation
from discovery.function import Function
from torch import nn

import toroids as td

SIZES = {
    "where": lambda h: torch.where(h > 0, h, -h),
    "where, the other way round": lambda h: torch.where(h.detach() <= 0, h, -h),
    "maximum": lambda h: torch.maximum(h, -h),
    "minimum": lambda h: torch.min(-h, h),
    "two halves": lambda h: h.relu() + (-h).relu(),
}
OTHERS = {
    "another bound": lambda h: torch.where(h > 0.1, h, -h),
    "another slope": lambda h: torch.where(h > 0, h, -0.5 * h),
    "unlike halves": lambda h: torch.add(h.relu(), (-h).relu(), alpha=2),
    "a half that is read elsewhere": lambda h: torch.cat(
        [h.relu() + (-h).relu(), h.relu()], 0
    ),
}  # fmt: skip


def group_of(function):
    torch.manual_seed(0)
    model = Function(lambda m, x: m.o(function(m.e(x))), e=nn.Linear(3, 4), o=nn.Linear(4, 2))
    group = td.discover(model, torch.randn(5, 3))
    assert deviation(model, group, [torch.randn(9, 3)]) < 1e-8
    return group.spaces[0].actions


@pytest.mark.parametrize("name", SIZES)
def test_sizes_flip_and_scale(name):
    assert group_of(SIZES[name]) == {"permute", "rescale", "flip"}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_size_does_not_flip(name):
    assert "flip" not in group_of(OTHERS[name])
