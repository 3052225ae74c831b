"""Units that nothing tells one after the other, but all weights together do."""

import pytest
import torch
from discovery.function import Function
from torch import nn

import toroids as td
from toroids.align.invariants import may_be_copy
from toroids.align.problem import Effort, problem_of


def grid(read):
    """A function of odd units in rows and columns, of which one tensor is all that there is."""
    torch.manual_seed(0)
    t = nn.Parameter(torch.randn(6, 7))
    return Function(lambda m, x: read(torch.tanh(x[:, :1, None] * m.t)), t=t).double()


GRIDS = {
    "columns flip": lambda h: h.sum(1).square().sum(1),
    "both flip": lambda h: torch.einsum("bij,bik->bjk", h, h).square().sum((1, 2)),
}


@pytest.mark.parametrize("read", GRIDS.values(), ids=GRIDS)
def test_rows_and_columns_of_one_tensor_come_back(read):
    model = grid(read)
    group = td.discover(model, torch.randn(3, 2, dtype=torch.float64))
    assert [(s.size, s.copies) for s in group.spaces] == [(6, 1), (7, 1)]
    for seed in range(4):
        element = group.random(torch.Generator().manual_seed(seed))
        moved = group.apply(element, model.state_dict())
        alignment = td.align(group, moved, to=model.state_dict())
        assert td.Toroid(group).distance(alignment.reference, alignment.params) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("noise", "like_a_copy"), [(0.0, True), (0.01, False)])
def test_what_symmetries_keep_tells_a_child_from_a_copy(dtype, noise, like_a_copy):
    torch.manual_seed(0)
    model = nn.MultiheadAttention(8, 2, batch_first=True).double()  # keys have biases that vanish
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    group = td.discover(model, (x, x, x), output_key=0)
    moved = group.apply(group.random(torch.Generator().manual_seed(1)), model.state_dict())
    child = {
        name: (y + noise * y.std() * torch.randn_like(y)).to(dtype) for name, y in moved.items()
    }
    parent = {name: y.to(dtype) for name, y in model.state_dict().items()}
    start, reference = (td.canonicalize(group, x) for x in (child, parent))
    assert may_be_copy(problem_of(group, start, reference, Effort())) == like_a_copy
