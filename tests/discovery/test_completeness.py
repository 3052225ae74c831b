"""Completeness by brute force: every symmetry that exists on small networks is in the group."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from discovery.beyond import beyond
from discovery.function import Function
from torch import nn
from torch.func import functional_call

import toroids as td
from toroids.discovery.discover import group_of
from toroids.discovery.tracing.explore import explore


class Concatenated(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.o = (
            nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False), nn.Linear(4, 1, bias=False),
        )  # fmt: skip

    def forward(self, x):
        return self.o(torch.cat([F.relu(self.a(x)), torch.tanh(self.b(x))], -1))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.l, self.o = nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 1, bias=False)

    def forward(self, x):
        return self.o(F.relu(self.l(F.relu(self.l(F.relu(self.a(x)))))))


class Coupled(nn.Module):
    """A softmax over one half of a product."""

    def __init__(self):
        super().__init__()
        self.a, self.o = nn.Linear(2, 4, bias=False), nn.Linear(4, 1, bias=False)

    def forward(self, x):
        return self.o(self.a(x).view(-1, 2, 2).softmax(1).flatten(1))


SMALL = {
    "relu": (nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)), (6, 2)),
    "residual": (
        nn.Sequential(nn.Linear(2, 3, bias=False), nn.LayerNorm(3), nn.Linear(3, 2, bias=False)),
        (6, 2),
    ),
    "flatten": (
        nn.Sequential(nn.Conv1d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4, 1, bias=False)),
        (200, 1, 2),
    ),
    "groups": (
        nn.Sequential(
            nn.Linear(2, 4, bias=False), nn.Unflatten(1, (4, 1)), nn.ReLU(),
            nn.Conv1d(4, 4, 1, groups=2, bias=False), nn.ReLU(), nn.Flatten(),
            nn.Linear(4, 1, bias=False),
        ),
        (6, 2),
    ),
    "concatenated": (Concatenated(), (6, 2)),
    "used twice": (Twice(), (6, 2)),
    "coupled": (Coupled(), (6, 2)),
}  # fmt: skip


def swaps(size):
    """Every way to swap positions in pairs, no change among them."""
    for order in itertools.permutations(range(size)):
        if all(order[order[i]] == i for i in range(size)):
            yield list(order)


def joint_swaps(params):
    """Every choice of swaps on every axis of every parameter."""
    axes = [(name, axis, t.shape[axis]) for name, t in params.items() for axis in range(t.ndim)]
    axes = [a for a in axes if a[2] > 1]
    for orders in itertools.product(*(list(swaps(size)) for _, _, size in axes)):
        moved = dict(params)
        for (name, axis, _), order in zip(axes, orders, strict=True):
            moved[name] = moved[name].index_select(axis, torch.tensor(order))
        yield moved


def permutations_of(group, params):
    """Everything that the discrete part of a group makes of parameters."""
    choices = [
        [
            torch.tensor(copies)
            for copies in itertools.product(
                itertools.permutations(range(space.size)), repeat=space.copies
            )
        ]
        if "permute" in space.actions
        else [torch.arange(space.size).repeat(space.copies, 1)]
        for space in group.spaces
    ]
    for chosen in itertools.product(*choices):
        element = td.symmetry.Element(
            {s.name: td.symmetry.SpaceElement(p) for s, p in zip(group.spaces, chosen, strict=True)}
        )
        yield group.apply(element, params)


def key(params):
    return torch.cat([tensor.reshape(-1) for tensor in params.values()]).numpy().round(9).tobytes()


@pytest.mark.parametrize("name", SMALL)
def test_every_joint_swap_that_preserves_the_function_is_in_the_group(name):
    model, shape = SMALL[name]
    generator = torch.Generator().manual_seed(0)
    model = model.double()
    params = {
        n: torch.randn(t.shape, generator=generator, dtype=torch.float64)
        for n, t in model.state_dict().items()
    }
    inputs = torch.randn(shape, generator=generator, dtype=torch.float64)
    group = group_of(explore(model, inputs))
    granted = {key(moved) for moved in permutations_of(group, params)}
    before = functional_call(model, params, (inputs,))
    found = 0
    for moved in joint_swaps(params):
        after = functional_call(model, moved, (inputs,))
        if torch.allclose(after, before, rtol=1e-11, atol=1e-11):
            found += 1
            assert key(moved) in granted
    assert found > 1  # the identity alone would test nothing


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        return self.a(x, x, x, need_weights=False)[0]


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.both, self.down = nn.Linear(3, 8), nn.Linear(4, 2)

    def forward(self, x):
        gate, up = self.both(x).chunk(2, -1)
        return self.down(F.silu(gate) * up)


class LowRank(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 2, bias=False), nn.Linear(2, 4)

    def forward(self, x):
        return self.b(self.a(x))


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.n, self.o = nn.Linear(3, 4), nn.RMSNorm(4), nn.Linear(4, 2)

    def forward(self, x):
        return self.o(self.n(torch.tanh(self.a(x))))


# name: (module, inputs); smooth activations, so that no unit is dead or always on by accident
GENERIC = {
    "fully connected": (nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)), (300, 3)),
    "gelu": (nn.Sequential(nn.Linear(3, 5), nn.GELU(), nn.Linear(5, 2)), (60, 3)),
    "batch norm": (
        nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.GELU(), nn.Linear(4, 2)),
        (60, 3),
    ),
    "convolution": (
        nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)),
        (300, 1, 3, 3),
    ),
    "attention": (Attention(), (40, 3, 4)),
    "gated": (Gated(), (80, 3)),
    "low rank": (LowRank(), (20, 4)),
    "rms norm": (Normed(), (60, 3)),
}


@pytest.mark.parametrize("name", GENERIC)
def test_the_continuous_part_is_the_null_space_of_the_jacobian(name):
    model, shape = GENERIC[name]
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.7)
    found = td.audit(model, torch.randn(shape, generator=torch.Generator().manual_seed(1)))
    assert not found.lower_bound
    assert found.rank_stderr == 0
    assert found.unexplained == 0, str(found)
    assert found.symmetry_dimension > 0 or name == "gelu"


def test_a_value_beside_its_function_in_another_order():
    class Rolled(Concatenated):
        def forward(self, x):
            h = self.a(x)
            return self.o(torch.cat([h, h.relu()], -1).roll(1, -1))

    (space,) = td.discover(Rolled(), torch.randn(4, 2)).spaces
    assert space.actions == {"permute", "rescale"}
    assert space.legs[-1].index.tolist() == [1, 3, 2, 0]


def test_a_kernel_as_wide_as_what_it_reads_is_a_matrix_at_any_length():
    def forward(m, x):
        return m.read(m.words(x).unsqueeze(1)).relu().amax((2, 3))

    model = Function(forward, words=nn.Embedding(9, 4), read=nn.Conv2d(1, 3, (2, 4)))
    short, long = (torch.arange(2 * n).view(2, n) % 9 for n in (5, 8))
    group = td.discover(model, short)
    assert [(space.size, space.actions) for space in group.spaces] == [(4, {"mix", "permute"})]
    assert beyond(group, model, short, [long]) == []
