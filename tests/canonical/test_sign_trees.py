"""Signs of rows and columns that tell each other's have one canonical form."""

import pytest
import torch
from torch import nn

import toroids as td
from toroids.canonical.plan import Plan


class Members(nn.Module):
    """Networks that share matrices and have gains of their own, of which every output counts."""

    def __init__(self, bias):
        super().__init__()
        self.before, self.gain = nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(3, 5))
        self.between, self.after = nn.Parameter(torch.randn(3, 5)), nn.Parameter(torch.randn(3, 2))
        self.bias = nn.Parameter(torch.randn(3, 5) if bias else torch.zeros(3, 5))
        self.into = nn.Linear(4, 5, bias=False)
        self.out = nn.Linear(5, 2, bias=False)

    def forward(self, x):
        h = self.into(x.unsqueeze(1) * self.before) * self.gain + self.bias
        return self.out(h.relu() * self.between) * self.after


def moved(group, params, actions):
    return group.restricted(actions).apply(
        group.restricted(actions).random(torch.Generator().manual_seed(1)), params
    )


def far(a, b):
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.mark.parametrize("bias", [True, False])
def test_flipped_copies_have_one_form_and_permuted_ones_a_permuted_form(bias):
    torch.manual_seed(0)
    model, x = Members(bias).double(), torch.randn(6, 4).double()
    params = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    group = td.discover(model, x)
    canonical = td.canonicalize(group, params)
    assert not any("'flip'" in note for note in canonical.notes)
    for gauge in ("sphere", "balanced"):
        form = td.canonicalize(group, params, gauge=gauge)
        again = td.canonicalize(group, moved(group, params, ("flip", "rescale")), gauge=gauge)
        assert far(form, again) < 1e-9
        permuted = td.canonicalize(group, moved(group, params, ("permute",)), gauge=gauge)
        assert far(permuted, moved(group, dict(form), ("permute",))) < 1e-9
    before, after = (torch.func.functional_call(model, dict(p), (x,)) for p in (params, form))
    assert torch.allclose(before, after, atol=1e-10)


def test_zeros_say_nothing_and_too_many_weights_are_left():
    torch.manual_seed(0)
    model = Members(True).double()
    params = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    group = td.discover(model, torch.randn(6, 4).double())
    trees = Plan(group, bias=True).trees
    assert trees is not None and trees.works
    params["out.weight"][:] = 0
    params["between"][1] = 0
    form = td.canonicalize(group, params)
    assert far(form, td.canonicalize(group, moved(group, params, ("flip",)))) < 1e-9
