"""What a mask picks, and what then is put back where it is true."""

import pytest
import torch
from discovery.function import Function
from torch import nn

import toroids as td


def scaled(h):
    h[h < 0] *= 0.1
    return h


def rows(h):
    chosen = h.sum(1) > 0
    h[chosen] = 2 * h[chosen].tanh() - h[chosen]
    return h


def read_before_and_after(h):
    before, negative = h.relu(), h < 0
    h[negative] = -h[negative]
    return before + h


def counted(h):
    picked = h[h < 0]
    h[h < 0] = picked * picked.mean()
    return h


def other_mask(h):
    h[h < -1] = h.flip(0)[h < -1]
    above = h > 0
    h[above] = h[(h > 0) & above]
    return h


@pytest.mark.parametrize(
    ("update", "actions"),
    [
        (scaled, {"permute", "rescale"}),
        (rows, {"permute"}),
        (read_before_and_after, {"permute", "rescale"}),
        (counted, None),  # the mean is over as many as there are
        (other_mask, None),
    ],
)
def test_what_is_put_where_it_was_picked_is_a_choice(update, actions):
    model = Function(lambda m, x: m.b(update(m.a(x))), a=nn.Linear(3, 5), b=nn.Linear(5, 2))
    group = td.discover(model, torch.randn(6, 3))
    assert [space.actions for space in group.spaces] == ([] if actions is None else [actions])
