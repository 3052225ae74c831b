"""Residual streams: where they rotate, what forbids it, and that the rotation can be undone."""

import functools

import pytest
import torch
from discovery.beyond import Effort, beyond
from discovery.function import Function
from torch import nn
from torch.nn import functional as F

import toroids as td

SIZE = 6
FREE, KEPT = SIZE * (SIZE - 1) // 2, (SIZE - 1) * (SIZE - 2) // 2


class RMS(nn.Module):
    """A norm as it is often written by hand."""

    def __init__(self, size=SIZE, eps=1e-6):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.rand(size) + 0.5), eps

    def forward(self, x):
        wide = x.to(torch.float32)
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * (wide * scale).to(x.dtype)


def layer_norm():
    norm = nn.LayerNorm(SIZE)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    nn.init.normal_(norm.bias)
    return norm


def block(m, x, norm):
    return x + m.down(F.gelu(m.up(norm(x))))


def stream(forward, norm=RMS, **more):
    parts = {
        "write": nn.Linear(3, SIZE), "up": nn.Linear(SIZE, 5), "down": nn.Linear(5, SIZE, bias=False),
        "norm": norm(), "last": norm(), "head": nn.Linear(SIZE, 2, bias=False),
    }  # fmt: skip
    return Function(forward, **(parts | more))


def plain(m, x):
    return m.head(m.last(block(m, m.write(x), m.norm)))


def norm_by_length(m, x):
    h = m.write(x)
    return m.head(F.normalize(h + m.down(F.gelu(m.up(F.normalize(h, dim=-1)))), dim=-1))


def by_einsum(m, x):
    h = torch.einsum("bti,oi->bto", x, m.write.weight)
    return torch.einsum("bto,co->bct", m.last(block(m, h, m.norm)), m.head.weight)


def scaled_and_pooled(m, x):
    h = block(m, 3.0 * m.write(x), m.norm)
    return m.head(m.last(torch.cat([h.mean(1, keepdim=True), h], 1) / 2.5))


def standardised(m, x):
    h = m.write(x)
    centred = h - h.mean(-1, keepdim=True)
    return m.head(centred / (centred.var(-1, keepdim=True) + 1e-5).sqrt() * m.last.weight)


def masked(m, x):
    h = m.write(x).masked_fill(x.sum(-1, keepdim=True) > 0, 0.0)
    return m.head(m.last(F.pad(h, (0, 0, 1, 1))))


def constant_added(m, x):
    return m.head(m.last(block(m, m.write(x) + 1.0, m.norm)))


def mean_read(m, x):
    h = block(m, m.write(x), m.norm)
    return m.head(m.last(h)) + h.mean(-1, keepdim=True)


def tied(m, x):
    return F.linear(m.write(x), m.write.weight.T)


def kernel(m, x):
    return (m.write(x) @ m.write(x.flip(1)).mT).softmax(-1) @ x


def attended(m, x):
    h = m.write(x)
    return m.head(m.last(h + F.scaled_dot_product_attention(h, h, m.write(x.flip(1)))))


def rows_summed(m, x):
    return torch.tanh(x * m.rows.sum(0))


def joined_along_units(m, x):
    h = block(m, m.write(x), m.norm)
    return m.wide(torch.cat([h[:, 0], h.mean(1)], -1))


def quantised(m, x):
    h = m.write(x)
    nearest = m.table(torch.cdist(h, m.table.weight).argmin(-1))
    return m.head(h + (nearest - h).detach()), F.mse_loss(nearest, h)


def flattened(m, x):
    return m.wide(block(m, m.write(x), m.norm)[:, :3].flatten(1))


def beside_numbers(m, x):
    return m.wide(torch.cat([m.last(m.write(x)).mean(1), x[:, 0]], -1))


def of_products(m, x):
    h = m.write(x) ** 2
    return (h * h).sum(-1)


def products_and_units(m, x):
    h = m.write(x)
    return (h**2 - m.last.weight * h).sum(-1)


def resampled(m, x):
    table = F.interpolate(m.write(x).mT, size=x.shape[1] + 1, mode="linear").mT
    return m.head(m.last(table))


def distances(m, x):
    return torch.cdist(m.write(x), m.prototypes)


def cosines(m, x):
    return F.cosine_similarity(m.write(x)[:, :, None], m.prototypes, dim=-1)


def pairs_compared(m, x):
    return F.pairwise_distance(m.write(x), m.write(x.flip(1)))


def nearest(m, x):
    h = m.write(x)
    near = m.table(torch.cdist(h, m.table.weight).argmin(-1))
    return m.head(h + (near - h).detach()), F.mse_loss(near.detach(), h)


def factorised(m, x):
    h = m.write(x)
    return (0.5 * (h.sum(1) ** 2 - (h**2).sum(1)) / len(x)).sum(-1, keepdim=True)


def read_by_unit_rows(m, x):
    return m.rows(F.normalize(m.write(x), dim=-1))


ROTATE = {
    "distances": (stream(distances, prototypes=nn.Parameter(torch.randn(7, SIZE))), FREE),
    "cosines": (stream(cosines, prototypes=nn.Parameter(torch.randn(7, SIZE))), FREE),
    "distances of pairs, which have an eps": (stream(pairs_compared), KEPT),
    "a factorisation machine": (stream(factorised), FREE),
    "a codebook": (stream(nearest, table=nn.Embedding(6, SIZE)), FREE),
    "rows of unit length": (
        stream(read_by_unit_rows, rows=nn.utils.parametrizations.weight_norm(nn.Linear(SIZE, 2))),
        FREE,
    ),
    "joined along units": (
        stream(joined_along_units, layer_norm, wide=nn.Linear(2 * SIZE, 2)),
        KEPT,
    ),
    "flattened tokens": (stream(flattened, layer_norm, wide=nn.Linear(3 * SIZE, 2)), KEPT),
    "beside numbers": (stream(beside_numbers, layer_norm, wide=nn.Linear(SIZE + 3, 2)), KEPT),
    "resampled along tokens": (stream(resampled), FREE),
    "rms norms": (stream(plain), FREE),
    "layer norms": (stream(plain, layer_norm), KEPT),
    "a norm under two names": (stream(plain, functools.cache(RMS)), FREE),
    "torch's rms norm": (stream(plain, lambda: nn.RMSNorm(SIZE)), FREE),
    "no gains": (stream(plain, lambda: nn.LayerNorm(SIZE, elementwise_affine=False)), KEPT),
    "divided by its length": (stream(norm_by_length), FREE),
    "einsum": (stream(by_einsum), FREE),
    "scaled, pooled, joined along tokens": (stream(scaled_and_pooled, layer_norm), KEPT),
    "standardised by hand": (stream(standardised), KEPT),
    "masked and padded with zeros": (stream(masked), FREE),
    "a constant added": (stream(constant_added), KEPT),
    "the mean read": (stream(mean_read), KEPT),
    "read by what writes it": (stream(tied), FREE),
    "products of positions": (stream(kernel), FREE),
    "attention without matrices": (stream(attended), FREE),
    "quantised": (stream(quantised, table=nn.Embedding(7, SIZE)), FREE),
    "rows of a parameter summed": (
        stream(rows_summed, rows=nn.Parameter(torch.randn(SIZE, 3))),
        KEPT,
    ),
}


@functools.cache
def discovered(name):
    """The group of a module, at these sizes, for all tests."""
    return td.discover(ROTATE[name][0], torch.randn(2, 4, 3))


def rotation(group):
    found = [space for space in group.spaces if space.of("rotate")]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize("name", ROTATE)
def test_a_stream_rotates(name):
    model, expected = ROTATE[name]
    inputs, group = torch.randn(2, 4, 3), discovered(name)
    space = rotation(group)
    assert space is not None, str(group)
    size = SIZE - space.of("rotate")[0].fixes_mean
    assert size * (size - 1) // 2 == expected
    more = [(torch.randn(3, 7, 3),)]
    assert beyond(group, model, (inputs,), more, effort=Effort(trials=2, alone=2)) == []


@pytest.mark.parametrize("name", ROTATE)
def test_a_rotated_copy_comes_back(name):
    (model, _), group = ROTATE[name], discovered(name)
    params = {key: x.double() for key, x in model.state_dict().items()}
    element, other = (group.random(torch.Generator().manual_seed(seed)) for seed in (0, 1))
    moved = group.apply(element, params)
    back = group.apply(group.inverse(element), moved)
    twice = group.apply(group.compose(other, element), params)
    again = group.apply(other, moved)
    for key in params:
        torch.testing.assert_close(back[key], params[key], atol=1e-9, rtol=1e-9)
        torch.testing.assert_close(twice[key], again[key], atol=1e-8, rtol=1e-8)
    assert td.SymmetryGroup.from_json(group.to_json()) == group
    found = td.align(group, moved, to=params)
    toroid = td.Toroid(group)
    size = sum(float(x.square().sum()) for x in found.reference.values()) ** 0.5
    assert toroid.distance(found.reference, found.params) < 1e-10 * size
    assert found.similarity == pytest.approx(found.bound, rel=1e-10)
    torch.testing.assert_close(
        toroid.distance(found.reference, td.canonicalize(group, again)),
        toroid.distance(*(td.canonicalize(group, p) for p in (params, again))),
    )


def test_codes_that_the_nearest_looks_up_are_permuted():
    group = discovered("quantised")
    assert [space.size for space in group.spaces if space.legs[0].tensor == "table.weight"] == [7]


MEAN_SEEN = {
    "a variance over tokens too": lambda h: h.var((1, 2)),
    "a deviation of everything": lambda h: h.std(),
    "the mean beside a variance": lambda h: torch.var_mean(h, -1)[1],
    "the mean beside a norm": lambda h: torch.native_layer_norm(h, (SIZE,), None, None, 1e-5)[1],
}


@pytest.mark.parametrize("name", MEAN_SEEN)
def test_a_mean_that_is_seen_stays(name):
    seen = MEAN_SEEN[name]
    model = Function(lambda m, x: seen(m.write(x)), write=nn.Linear(3, SIZE)).double()
    inputs = torch.randn(2, 4, 3, dtype=torch.float64)
    group = td.discover(model, inputs)
    assert rotation(group).of("rotate")[0].fixes_mean
    canonical = td.canonicalize(group, model.state_dict())
    found = torch.func.functional_call(model, dict(canonical), (inputs,))
    torch.testing.assert_close(found, model(inputs))


class Patches(nn.Module):
    """A class token beside patches, of which there may be one only; branches have scales."""

    def __init__(self):
        super().__init__()
        self.write, self.token = nn.Conv2d(1, SIZE, 2, 2), nn.Parameter(torch.randn(1, 1, SIZE))
        self.norm, self.up, self.down = layer_norm(), nn.Linear(SIZE, 5), nn.Linear(5, SIZE)
        self.scale, self.last = nn.Parameter(torch.rand(SIZE) + 0.5), layer_norm()
        self.head = nn.Linear(2 * SIZE, 3)

    def forward(self, x):
        patches = self.write(x).flatten(2).mT
        h = torch.cat([self.token.expand(len(x), -1, -1), patches], 1)
        h = self.last(h + self.scale * self.down(F.gelu(self.up(self.norm(h)))))
        return self.head(torch.cat([h[:, 0], h[:, 1:].mean(1)], 1))


def test_a_class_token_rotates_beside_a_single_patch():
    group = td.discover(Patches(), torch.randn(2, 1, 4, 4), also=[torch.randn(2, 1, 2, 2)])
    assert rotation(group) is not None, str(group)


def post_norm(m, x):
    h = m.norm(m.write(x))
    return m.head(m.last(h + m.down(F.gelu(m.up(h)))))


def sandwich(m, x):
    h = m.write(x)
    return m.head(m.last(h + m.norm(m.down(F.gelu(m.up(h))))))


def raw_read_by_units(m, x):
    h = block(m, m.write(x), m.norm)
    return m.head(m.last(h)) + m.head(torch.tanh(h))


def tied_head(m, x):
    return F.linear(m.last(F.linear(x, m.table.T)), m.table.T[:, :].T)


def largest(m, x):
    h = block(m, m.write(x), m.norm)
    return m.head(m.last(h)) * h.amax(-1, keepdim=True)


def softmax_over(m, x):
    return m.head(m.last(m.write(x)).softmax(-1))


def gain_twice(m, x):
    h = m.write(x)
    return m.head(m.norm(h) + m.last.weight * m.norm(h))


def layer_scales(m, x):
    h = m.write(x)
    for scale in m.scales[:2]:
        h = h + scale * m.down(F.gelu(m.up(m.norm(h))))
    return m.head(m.last(h))


def group_norm(m, x):
    h = m.write(x)
    return m.head(m.last(h) + F.group_norm(h.flatten(0, 1), 2).view(h.shape))


def buffer_added(m, x):
    return m.head(m.last(m.write(x) + m.position))


def powers_of_four(m, x):
    h = m.write(x)
    return m.head(h / (h.pow(4).mean(-1, keepdim=True) + 1.0))


def padded_units(m, x):
    return m.head(F.pad(m.last(m.write(x))[..., :-1], (0, 1)))


def integers(m, x):
    return m.head((3 * m.write(x)).long().to(x.dtype))


def halves(m, x):
    return m.head(m.last(m.write(x).half().to(x.dtype)))


def sums_of_distances(m, x):
    return torch.cdist(m.write(x), m.prototypes, p=1.0)


def squares_scaled_by_units(m, x):
    h = m.write(x)
    return (h.sum(1) ** 2 - m.last.weight * (h**2).sum(1)).sum(-1, keepdim=True)


def products_of_squares(m, x):
    h = m.write(x)
    return (h.sum(1) ** 2 * (h**2).sum(1)).sum(-1, keepdim=True)


def fourth_powers_by_hand(m, x):
    square = m.write(x) ** 2
    return (square * square).sum(-1, keepdim=True)


def squares_one_by_one(m, x):
    return m.head(F.mse_loss(m.write(x), m.write(x.flip(1)), reduction="none"))


def columns_of_unit_length(m, x):
    return m.columns(F.normalize(m.write(x), dim=-1))


class Merged(nn.Module):
    """Neighbours that are laid side by side before one norm, as patches are in a Swin."""

    def __init__(self):
        super().__init__()
        self.words, self.norm = nn.Linear(7, SIZE), nn.LayerNorm(SIZE)
        self.up, self.down = nn.Linear(SIZE, 8), nn.Linear(8, SIZE)
        self.both, self.halve = nn.LayerNorm(2 * SIZE), nn.Linear(2 * SIZE, 4, bias=False)
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        x = self.words(x)
        x = x + self.down(F.gelu(self.up(self.norm(x))))
        x = self.halve(self.both(torch.cat([x[:, 0::2], x[:, 1::2]], -1)))
        return self.out(F.gelu(x))


def test_every_half_of_a_norm_over_neighbours_is_a_gain_of_the_stream():
    torch.manual_seed(0)
    model, inputs = Merged().double(), torch.randn(2, 4, 7).double()
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) / 3
    group = td.discover(model, inputs)
    space = rotation(group)
    assert space is not None and len(space.of("rescale")) == 3
    turns = space.of("rotate")[0]
    assert turns.fixes_mean and not turns.hides_mean  # one half's mean is seen beside the other's
    more = [(torch.randn(3, 6, 7).double(),)]
    assert beyond(group, model, (inputs,), more, effort=Effort(trials=2, alone=2)) == []
    params = dict(model.state_dict())
    found = td.align(group, group.apply(group.random(torch.Generator()), params), to=params)
    assert td.Toroid(group).distance(found.reference, found.params) < 1e-10
    assert td.audit(model, torch.randn(60, 4, 7).double(), group=group).unexplained == 0


STAY = {
    "products of products": (stream(of_products), None),
    "products and units": (stream(products_and_units), None),
    "sums of distances": (
        stream(sums_of_distances, prototypes=nn.Parameter(torch.randn(7, SIZE))),
        None,
    ),
    "squares scaled by units": (stream(squares_scaled_by_units), None),
    "products of squares": (stream(products_of_squares), None),
    "fourth powers by hand": (stream(fourth_powers_by_hand), None),
    "squares one by one": (stream(squares_one_by_one), None),
    "columns of unit length": (
        stream(
            columns_of_unit_length,
            columns=nn.utils.parametrizations.weight_norm(nn.Linear(SIZE, 2), dim=1),
        ),
        None,
    ),
    "made integers": (stream(integers), None),
    "rounded to half precision": (stream(halves), None),
    "a gain on the stream": (stream(post_norm), "`norm.weight` stands"),
    "a gain before the sum": (stream(sandwich), "`norm.weight` stands"),
    "units read one by one": (stream(raw_read_by_units), None),
    "a tied head": (stream(tied_head, table=nn.Parameter(torch.randn(3, SIZE))), "`last.weight`"),
    "the largest unit": (stream(largest), None),
    "a softmax over the units": (stream(softmax_over), None),
    "two gains before one reader": (stream(gain_twice), None),
    "gains that are some rows of a table": (
        stream(layer_scales, scales=nn.Parameter(torch.randn(3, SIZE))),
        "`scales` holds several gains",
    ),
    "a norm over groups of units": (stream(group_norm), None),
    "a buffer added": (stream(buffer_added, position=torch.randn(SIZE)), None),
    "fourth powers": (stream(powers_of_four), None),
    "a part of the units": (stream(padded_units), None),
}


@pytest.mark.parametrize("name", STAY)
def test_a_stream_stays(name):
    model, note = STAY[name]
    group = td.discover(model, torch.randn(2, 4, 3))
    assert rotation(group) is None, str(group)
    if note is not None:
        assert any("would let rotate" in n and note in n for n in group.notes), group.notes


@pytest.mark.parametrize("name", ["rms norms", "a norm under two names"])
def test_gains_that_are_zero_are_opened(name):
    model, _ = ROTATE[name]
    group = td.discover(model, torch.randn(2, 4, 3))
    params = {key: x.double() for key, x in model.state_dict().items()}
    params["norm.weight"][2] = 0.0
    params |= {name: params[first] for name, first in group.tied.items()}
    with pytest.raises(td.errors.ParamsError, match="gains that are exactly zero.*canonicalize"):
        group.apply(group.random(), params)
    canonical = td.canonicalize(group, params)
    assert canonical["norm.weight"][2] == 1 and not canonical["up.weight"][:, 2].any()
    moved = group.apply(group.random(), canonical)
    x = torch.randn(2, 4, 3, dtype=torch.float64)
    model = model.double()
    first, found = (
        torch.func.functional_call(model, p, (x,), tie_weights=False) for p in (params, moved)
    )
    torch.testing.assert_close(found, first, atol=1e-6, rtol=1e-6)
    model.float()


def test_raw_gains_are_not_on_the_toroid():
    model, _ = ROTATE["rms norms"]
    group = td.discover(model, torch.randn(2, 4, 3))
    canonical = dict(td.canonicalize(group, model.state_dict()))
    canonical["norm.weight"] = 2 * canonical["norm.weight"]
    with pytest.raises(td.errors.ParamsError, match="`norm.weight`.*gains that are not one"):
        td.Toroid(group).distance(canonical, canonical)


def test_matrices_of_another_kind_are_refused():
    model, _ = ROTATE["layer norms"]
    group = td.discover(model, torch.randn(2, 4, 3))
    space = rotation(group)
    still = torch.arange(SIZE)
    flipped = -torch.eye(SIZE, dtype=torch.float64)[None]  # orthogonal, but moves the mean
    choices = group.identity().choices | {space.name: td.symmetry.SpaceElement(still, mix=flipped)}
    with pytest.raises(td.ToroidsError, match="orthogonal one that keeps the mean"):
        group.apply(td.symmetry.Element(choices), model.state_dict())
