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


@pytest.mark.parametrize("kind", [torch.float32, torch.bool])
def test_a_mask_of_ones_that_is_left_out_unread_may_still_be_given(kind):
    def seen(m, x, mask):
        h = m.a(x).relu()
        left_out = not torch.compiler.is_compiling() and mask.all()
        return m.b(h if left_out else h * mask[..., None])

    model = Function(seen, a=nn.Linear(3, 5), b=nn.Linear(5, 2))
    (space,) = td.discover(model, (torch.randn(2, 4, 3), torch.ones(2, 4).to(kind))).spaces
    assert space.actions == {"permute", "rescale"}
