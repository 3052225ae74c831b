"""Signs of norms that stand on a stream, one generator for each of many."""

from itertools import product

import pytest
import torch
from torch import nn

import toroids as td
from toroids.align.choose import under
from toroids.align.descent import descent
from toroids.align.problem import Effort, problem_of
from toroids.align.signs import SIGN_GENERATORS, best_signs, unlike, with_signs
from toroids.symmetry.space import Generator, Leg, Space

BLOCKS = SIGN_GENERATORS + 2


class Sandwich(nn.Module):
    """The gain of each norm changes its sign with what writes the units before it."""

    def __init__(self, width=4, words=12):
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.maps = nn.ModuleList(nn.Linear(width, width) for _ in range(BLOCKS))
        self.norms = nn.ModuleList(nn.RMSNorm(width, eps=0.01) for _ in range(BLOCKS))

    def forward(self, ids):
        x = self.embedding(ids)
        for layer, norm in zip(self.maps, self.norms, strict=True):
            x = x + norm(layer(torch.tanh(x)))
        return x @ self.embedding.weight.T


@pytest.fixture(scope="module")
def sandwich():
    torch.manual_seed(0)
    model = Sandwich().double()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return td.discover(model, torch.randint(0, 12, (3, 4))), model.state_dict()


def test_signs_of_more_generators_than_can_be_tried_come_back(sandwich):
    group, params = sandwich
    (space,) = group.spaces
    assert len(space.of("flip")) > SIGN_GENERATORS
    for seed in range(3):  # no canonical form, which fixes signs as well
        moved = group.apply(group.random(torch.Generator().manual_seed(seed)), params)
        found = descent(problem_of(group, moved, params, Effort()))
        back = group.apply(found.element, moved)
        for name, tensor in params.items():
            torch.testing.assert_close(back[name], tensor)


def test_solved_signs_make_all_products_of_a_copy_positive(sandwich):
    (space,) = sandwich[0].spaces
    generator = torch.Generator().manual_seed(0)
    count = len(space.of("flip"))
    planted = torch.randint(2, (count, 1, space.size), generator=generator).double() * 2 - 1
    sizes = torch.rand(40, 1, space.size, 1, generator=generator).double()
    sizes[::3, :, 0] = 0.0  # of a unit that some products say nothing about
    patterns = torch.randint(2, (40, count), generator=generator).double().tolist()
    plain = {tuple(p): size for p, size in zip(patterns, sizes, strict=True)}
    table = {p: size * with_signs({p: torch.ones(1, space.size, 1)}, planted)[..., None]
             for p, size in plain.items()}  # fmt: skip
    reached = with_signs(table, best_signs(space, table))
    torch.testing.assert_close(reached, torch.stack(list(plain.values())).sum(dim=0)[..., 0])


class Grid(nn.Module):
    """Two heads of three rows by four columns, whose gates nobody sees the signs of."""

    def __init__(self):
        super().__init__()
        self.rows, self.columns = nn.Linear(3, 6), nn.Linear(3, 8)
        self.gates, self.out = nn.Parameter(torch.zeros(24)), nn.Linear(24, 2)

    def forward(self, x):
        rows, columns = self.rows(x).view(-1, 2, 3, 1), self.columns(x).view(-1, 2, 1, 4)
        gates = self.gates.abs().view(2, 3, 4)
        return self.out((torch.sigmoid(rows) * torch.sigmoid(columns) * gates).flatten(1))


def test_signs_of_rows_and_columns_of_the_same_weights_come_back():
    model = Grid().double()
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    group, params = td.discover(model, torch.randn(2, 3)), model.state_dict()
    assert sum(len(space.of("flip")) for space in group.spaces) > 1
    for seed in range(6):
        moved = group.apply(group.random(torch.Generator().manual_seed(seed)), params)
        alignment = td.align(group, moved, to=params)
        for name, tensor in alignment.reference.items():
            torch.testing.assert_close(alignment.params[name], tensor)


def test_signs_of_heads_that_their_units_may_undo_are_tried_once():
    flip = Generator("flip", (1.0,))
    space = Space("h", 2, 2, frozenset({"flip"}), (Leg("w", 0, "write", "h"),), (flip, flip))
    table = {  # two own signs, then three of the heads
        pattern: torch.randn(2, 2, 2, 2, dtype=torch.float64)
        for pattern in ((1, 0, 1, 0, 0), (0, 1, 0, 1, 0), (1, 1, 0, 0, 1), (1, 0, 0, 1, 0))
    }
    choices = torch.tensor([*product((1.0, -1.0), repeat=3)])
    which = unlike(space, table, choices)
    assert len(set(which.tolist())) == 4
    for choice, other in product(range(8), range(8)):
        one, two = (under(table, choices[i][:, None]) for i in (choice, other))
        same = any(
            all(torch.equal(one[p] * (a if p[0] else 1) * (b if p[1] else 1), two[p]) for p in one)
            for a, b in product((1, -1), repeat=2)
        )
        assert same == bool(which[choice] == which[other])
