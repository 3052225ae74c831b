"""The hypercube: distances, paths that flip weights, medians."""

import pytest
import torch

import toroids as td


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def pair():
    make = td.models.binary_fully_connected
    a, b = (make([6, 5, 3], seed=seed).state_dict() for seed in (0, 1))
    group = td.discover(make([6, 5, 3]), torch.randn(4, 6, generator=seeded(0)))
    return td.geometry.Hypercube(group), td.canonicalize(group, a), td.canonicalize(group, b)


def row(params):
    return torch.cat([tensor.flatten() for tensor in params.values()])


def test_distance_is_the_fraction_of_weights_that_differ(pair):
    cube, a, b = pair
    different = row(a) != row(b)
    assert cube.distance(a, b) == pytest.approx(different.double().mean().item())
    assert cube.distance(a, b) == cube.distance(b, a) > 0
    assert cube.distance(a, a) == 0
    sizes = {name: tensor.numel() for name, tensor in a.items()}
    parts = cube.distances(a, b)
    total = sum(parts[name] * sizes[name] for name in parts) / cube.dimension
    assert cube.distance(a, b) == pytest.approx(total)


def test_distance_is_invariant_under_the_group(pair):
    cube, a, b = pair
    g = cube.group.random(seeded(3))
    moved = (cube.group.apply(g, dict(a)), cube.group.apply(g, dict(b)))
    assert cube.distance(*moved) == cube.distance(a, b)


def test_a_path_flips_every_differing_weight_once(pair):
    cube, a, b = pair
    path = cube.geodesic(a, b, seeded(1))
    flips = len(path)
    for k in range(flips + 1):
        point = path(k / flips)
        assert cube.distance(a, point) * cube.dimension == pytest.approx(k)
        assert cube.distance(point, b) * cube.dimension == pytest.approx(flips - k)
    assert torch.equal(row(path(0.0)), row(a)) and torch.equal(row(path(1.0)), row(b))


def test_orders_are_drawn_by_the_generator(pair):
    cube, a, b = pair
    first, again, other = (cube.geodesic(a, b, seeded(s)).order for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_an_order_of_ones_own_is_followed_or_refused(pair):
    cube, a, b = pair
    order = cube.geodesic(a, b).order.sort().values
    path = cube.geodesic(a, b, order=order)
    assert (row(path(1 / len(order))) != row(a)).nonzero().item() == order[0]
    with pytest.raises(td.ToroidsError, match="every one of the"):
        cube.geodesic(a, b, order=order[:-1])
    with pytest.raises(td.ToroidsError, match="t = 0 to t = 1"):
        path(1.5)


def test_flips_are_as_many_as_asked(pair):
    cube, a, _ = pair
    for fraction in (0.0, 0.1, 1.0):
        flipped = cube.flip(a, fraction, seeded(0))
        count = round(fraction * cube.dimension)
        assert cube.distance(a, flipped) * cube.dimension == pytest.approx(count)
    with pytest.raises(td.ToroidsError, match="in \\[0, 1\\]"):
        cube.flip(a, 1.1, seeded(0))


def test_the_median_lies_between_every_two(pair):
    cube, a, b = pair
    c = cube.flip(a, 0.4, seeded(5))
    median = cube.median(a, b, c)
    for x, y in ((a, b), (a, c), (b, c)):
        way = cube.distance(x, median) + cube.distance(median, y)
        assert way == pytest.approx(cube.distance(x, y))
    assert torch.equal(row(cube.majority([a, b])), row(a))  # undecided weights: the first's
    with pytest.raises(td.ToroidsError, match="there are 0 networks; pass one or more"):
        cube.majority([])


def test_what_is_not_binary_moves_on_the_toroid():
    model = td.models.binary_fully_connected([6, 5, 3], norm="batch_norm").eval()
    other = td.models.binary_fully_connected([6, 5, 3], norm="batch_norm", seed=1)
    torch.nn.init.normal_(model.norm1.bias, generator=seeded(0))
    torch.nn.init.normal_(other.norm1.bias, generator=seeded(1))
    group = td.discover(model, torch.randn(4, 6, generator=seeded(0)))
    cube = td.geometry.Hypercube(group)
    a, b = (td.canonicalize(group, m.state_dict()) for m in (model, other))
    path, expected = cube.geodesic(a, b), cube.toroid.geodesic(a, b)
    for name in ("norm1.weight", "norm1.bias"):
        torch.testing.assert_close(path(0.3)[name], expected(0.3)[name])
    assert set(path(0.3)["output.weight"].unique().tolist()) == {-1.0, 1.0}


def test_raw_latent_weights_are_refused(pair):
    cube, a, _ = pair
    raw = td.models.binary_fully_connected([6, 5, 3]).state_dict()
    with pytest.raises(td.errors.ParamsError, match="expected -1 or \\+1; pass what canonicalize"):
        cube.distance(a, raw)


def test_networks_without_binary_weights_have_none():
    model = td.models.fully_connected([4, 3, 2])
    group = td.symmetry.fully_connected_group(model.state_dict())
    with pytest.raises(td.ToroidsError, match="no weights of the group are binary"):
        td.geometry.Hypercube(group)
