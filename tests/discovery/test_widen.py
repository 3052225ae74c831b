"""A narrow network in the shapes of a wide one computes the same, or is refused."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

import toroids as td
from toroids.errors import ParamsError, ToroidsError

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
VECTORS = torch.randn(5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TOKENS = torch.arange(12).view(2, 6)


def convolutional(n, m):
    return nn.Sequential(
        nn.Conv2d(3, n, 3), nn.BatchNorm2d(n), nn.ReLU(), nn.Conv2d(n, n, 3, groups=n),
        nn.ReLU(), nn.Conv2d(n, m, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(4 * m, 5),
    )  # fmt: skip


class Residual(nn.Module):
    """A stream to which two branches add, behind batch norms."""

    def __init__(self, n, m):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, n, 3, padding=1), nn.BatchNorm2d(n)
        self.up, self.down = nn.Conv2d(n, m, 3, padding=1), nn.Conv2d(m, n, 3, padding=1)
        self.out = nn.Linear(n, 4)

    def forward(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        return self.out((x + self.down(torch.relu(self.up(x)))).mean(dim=(2, 3)))


class Recurrent(nn.Module):
    """An LSTM and what reads its last state."""

    def __init__(self, n):
        super().__init__()
        self.cell, self.out = nn.LSTM(6, n, batch_first=True), nn.Linear(n, 3)

    def forward(self, x):
        return self.out(self.cell(x[:, None])[0][:, -1])


class Attention(nn.Module):
    """A block with a fused layer for queries, keys and values, and a stream of 12."""

    def __init__(self, heads, size, hidden, stream=12):
        super().__init__()
        self.heads, self.size = heads, size
        self.into, self.norm = nn.Linear(6, stream), nn.LayerNorm(stream)
        self.qkv = nn.Linear(stream, 3 * heads * size)
        self.back = nn.Linear(heads * size, stream)
        self.up, self.down = nn.Linear(stream, hidden), nn.Linear(hidden, stream)
        self.out = nn.Linear(stream, 3)

    def forward(self, x):
        x = self.into(x)[None]
        h = self.qkv(self.norm(x)).view(1, -1, 3, self.heads, self.size).permute(2, 0, 3, 1, 4)
        h = nn.functional.scaled_dot_product_attention(h[0], h[1], h[2])
        x = x + self.back(h.transpose(1, 2).flatten(2))
        return self.out(x + self.down(nn.functional.gelu(self.up(x))))


def fully_connected(*hidden):
    return td.models.fully_connected([6, *hidden, 3], seed=0)


PAIRS = {
    "fully connected": (lambda: fully_connected(4, 5), lambda: fully_connected(7, 5), VECTORS),
    "both layers": (lambda: fully_connected(4, 5), lambda: fully_connected(7, 9), VECTORS),
    "convolutional": (lambda: convolutional(4, 3), lambda: convolutional(6, 5), IMAGES),
    "residual": (lambda: Residual(4, 3), lambda: Residual(6, 7), IMAGES),
    "recurrent": (lambda: Recurrent(3), lambda: Recurrent(5), VECTORS),
    "hidden layer": (lambda: Attention(2, 4, 5), lambda: Attention(2, 4, 8), VECTORS),
    "more heads": (lambda: Attention(2, 4, 5), lambda: Attention(4, 4, 8), VECTORS),
    "equal": (lambda: Attention(2, 4, 5), lambda: Attention(2, 4, 5), VECTORS),
}


def pair(name):
    narrow, wide, inputs = PAIRS[name]
    torch.manual_seed(1)
    models = [make().double().eval() for make in (narrow, wide)]
    for key, tensor in models[0].state_dict().items():
        if key.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif tensor.is_floating_point() and tensor.ndim == 1:
            tensor.normal_()
    return *models, inputs


@pytest.mark.parametrize("name", PAIRS)
def test_the_function_stays_and_what_is_widened_is_aligned(name):
    narrow, wide, inputs = pair(name)
    widened = td.widen(narrow, narrow.state_dict(), wide, inputs)
    found = functional_call(wide, widened, (inputs,), tie_weights=False)
    assert (found - narrow(inputs)).abs().max() < 1e-12
    expected = {key: (x.shape, x.dtype) for key, x in wide.state_dict().items()}
    assert {key: (x.shape, x.dtype) for key, x in widened.items()} == expected
    group = td.discover(wide, inputs)
    check_aligned(group, narrow, wide, widened, inputs, "keep", equal=name == "equal")
    if any(space.norms for space in group.spaces):  # without any, to fold is to keep
        check_aligned(group, narrow, wide, widened, inputs, "fold", equal=False)


def check_aligned(group, narrow, wide, widened, inputs, batch_norm, equal):
    alignment = td.align(group, widened, to=wide.state_dict(), batch_norm=batch_norm)
    assert alignment.similarity >= alignment.similarity_before
    assert alignment.similarity <= alignment.bound * (1 + 1e-9)
    found = functional_call(wide, dict(alignment.params), (inputs,), tie_weights=False)
    assert (found - narrow(inputs)).abs().max() < 1e-10
    sizes = {space.name: space.size * space.copies for space in group.spaces}
    left = alignment.unmatched
    assert all(len(units) < sizes[space] for space, units in left.items())
    assert bool(left) != equal
    toroid = td.Toroid(group, batch_norm=batch_norm)
    assert toroid.distance(alignment.reference, alignment.params) > 0


def test_planted_units_are_found_and_the_rest_is_named():
    """The wide network holds the narrow one's units and others: these are left over."""
    narrow, wide, inputs = pair("both layers")
    group = td.discover(wide, inputs)
    widened = td.widen(narrow, narrow.state_dict(), wide, inputs)
    reference = dict(widened)
    # more units that write and read what the narrow network's do, weakly
    for key in reference:
        extra = 0.05 * torch.randn(reference[key].shape, dtype=torch.float64)
        reference[key] = torch.where(widened[key] == 0, extra, widened[key])
    g = group.random(torch.Generator().manual_seed(0))
    moved = group.apply(g, reference)
    alignment = td.align(group, widened, to=moved)
    permutation = g.choices["hidden1"].permutation[0]
    expected = tuple((permutation >= 4).nonzero()[:, 0].tolist())
    assert alignment.unmatched["hidden1"] == expected
    permutation = g.choices["hidden2"].permutation[0]
    assert alignment.unmatched["hidden2"] == tuple((permutation >= 5).nonzero()[:, 0].tolist())


def test_what_counts_its_units_is_refused():
    narrow, wide = (Attention(2, 4, 5, stream).double() for stream in (12, 16))
    with pytest.raises(ToroidsError, match="16 units of space .* in place of 12.* a layer norm"):
        td.widen(narrow, narrow.state_dict(), wide, VECTORS)
    narrow, wide = (Attention(2, size, 5).double() for size in (4, 6))
    with pytest.raises(ToroidsError, match="2 x 6 units of space .* the scale of attention"):
        td.widen(narrow, narrow.state_dict(), wide, VECTORS)


def test_other_architectures_are_refused():
    narrow, wide, inputs = pair("both layers")
    with pytest.raises(ToroidsError, match="7 units in the narrow model and 4 in the wide one"):
        td.widen(wide, wide.state_dict(), narrow, inputs)
    with pytest.raises(ToroidsError, match="only one of the two models has `hidden2.bias`"):
        td.widen(narrow, narrow.state_dict(), fully_connected(9).double(), inputs)
    other = td.models.fully_connected([6, 7, 9, 4], seed=0).double()
    with pytest.raises(ToroidsError, match=r"has 3 positions .* and 4 in the wide one"):
        td.widen(narrow, narrow.state_dict(), other, inputs)
    broken = {**narrow.state_dict(), "hidden1.bias": torch.full((4,), float("nan")).double()}
    with pytest.raises(ParamsError, match=r"`hidden1.bias` .* 4 of 4 entries"):
        td.widen(narrow, broken, wide, inputs)
    with pytest.raises(ParamsError, match=r"widen\(\)"):
        td.align(td.discover(wide, inputs), narrow.state_dict(), to=wide.state_dict())
