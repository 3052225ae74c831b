"""Units that nothing tells one after the other, but all weights together do."""

import pytest
import torch
from discovery.function import Function
from torch import nn

import toroids as td


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
