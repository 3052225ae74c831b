"""Profiles over orders of flips, and greedy orders."""

from itertools import permutations

import pytest
import torch

import toroids as td
from toroids.landscape.greedy_order import greedy_order


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def row(params):
    return torch.cat([tensor.flatten() for tensor in params.values()])


@pytest.fixture(scope="module")
def setting(device):
    """Two networks with binary weights on data that a third one labelled."""
    make = td.models.binary_fully_connected
    model, other, teacher = (make([9, 7, 3], seed=s).double().to(device) for s in range(3))
    inputs = torch.randn(80, 9, generator=seeded(0), dtype=torch.float64).to(device)
    cube = td.geometry.Hypercube(td.discover(model, inputs[:4]))
    a = td.canonicalize(cube.group, model.state_dict())
    b = td.align(cube.group, other.state_dict(), to=a).params
    return model, cube, a, b, (inputs, teacher(inputs).argmax(dim=1))


@pytest.mark.parametrize(
    ("orders", "kind"),
    [(3, "random"), (td.landscape.Greedy(3, blocks=6), "greedy")],
    ids=["random", "greedy"],
)
def test_every_curve_is_the_profile_of_a_geodesic(setting, orders, kind):
    model, cube, a, b, data = setting
    found = td.flip_profile(td.Landscape(model, data, on=cube), a, b, orders, 9)
    assert found.curves.shape == (3, 9)
    assert found.order == kind
    torch.testing.assert_close(found.error, found.curves.mean(dim=0))
    torch.testing.assert_close(found.error_spread, found.curves.std(dim=0))
    ends = torch.maximum(found.curves[:, 0], found.curves[:, -1])
    torch.testing.assert_close(found.barriers, found.curves.max(dim=1).values - ends)
    assert found.barrier == pytest.approx(found.barriers.mean().item())
    assert found.barrier_stderr == pytest.approx(found.barriers.std().item() / 3**0.5)
    assert found.error[0].item() == pytest.approx(td.evaluate(model, a, data).error)
    assert found.error[-1].item() == pytest.approx(td.evaluate(model, b, data).error)
    best = td.profile(td.Landscape(model, data), found.lowest, 9)
    assert best.barrier == found.barriers.min()
    assert any(torch.equal(best.error, curve) for curve in found.curves)
    flips = len(found.lowest)
    for k in range(0, flips + 1, 7):
        point = found.lowest(k / flips)
        assert cube.distance(a, point) * cube.dimension == pytest.approx(k)
        assert cube.distance(point, b) * cube.dimension == pytest.approx(flips - k)


def test_random_orders_are_those_of_the_generator(setting):
    model, cube, a, b, data = setting
    found = td.flip_profile(td.Landscape(model, data, on=cube), a, b, 2, 9, generator=seeded(4))
    generator = seeded(4)
    for curve in found.curves:
        path = cube.geodesic(a, b, generator)
        assert torch.equal(curve, td.profile(td.Landscape(model, data), path, 9).error)


def test_greedy_orders_are_much_lower_than_random_ones(setting):
    model, cube, a, b, data = setting
    random, greedy = (
        td.flip_profile(td.Landscape(model, data, on=cube), a, b, orders)
        for orders in (4, td.landscape.Greedy(4, blocks=30))
    )
    assert greedy.error.mean() < random.error.mean() - 0.05
    assert greedy.barriers.max() <= random.barriers.min()
    assert greedy.error[0] == random.error[0] and greedy.error[-1] == random.error[-1]


def test_against_all_orders_of_a_few_flips(setting):
    """No order beats the best of all, and the mean over random ones is the mean over all."""
    model, cube, a, _, data = setting
    b = cube.flip(a, 5 / cube.dimension, seeded(1))
    apart = cube.geodesic(a, b).order.sort().values
    every = torch.tensor(
        [
            td.profile(
                td.Landscape(model, data), cube.geodesic(a, b, order=apart[list(p)]), 6
            ).barrier
            for p in permutations(range(5))
        ]
    )
    landscape = td.Landscape(model, data, on=cube)
    random = td.flip_profile(landscape, a, b, 60, 6)
    greedy = td.flip_profile(landscape, a, b, td.landscape.Greedy(2), 6)
    assert abs(random.barrier - every.mean().item()) < 4 * random.barrier_stderr
    assert every.min() - 1e-12 <= greedy.barriers.min() <= every.mean()


def test_the_first_block_is_that_of_the_lowest_estimates(setting):
    model, cube, a, b, data = setting
    path, landscape = cube.geodesic(a, b), td.Landscape(model, data)
    order = greedy_order(landscape, path, td.landscape.Greedy(blocks=4, candidates=0), seeded(0))
    assert torch.equal(order.sort().values, path.order.sort().values)
    leaves = {n: t.clone().requires_grad_() for n, t in a.items()}
    outputs = torch.func.functional_call(model, leaves, (data[0],))
    loss = torch.nn.functional.cross_entropy(outputs, data[1])
    grads = torch.autograd.grad(loss, list(leaves.values()))
    estimate = -2 * row(a) * torch.cat([grad.flatten() for grad in grads])
    size = len(path) // 4
    inside = estimate[order[:size]].max()
    apart = path.order
    assert (estimate[apart] < inside).sum() < size


def test_equal_networks_and_single_orders(setting):
    model, cube, a, b, data = setting
    landscape = td.Landscape(model, data, on=cube)
    for orders in (1, td.landscape.Greedy(1)):
        same = td.flip_profile(landscape, a, a, orders, 3)
        assert same.barrier == 0
        assert same.barrier_stderr != same.barrier_stderr  # NaN
        assert same.error_spread.isnan().all()
        assert len(same.lowest) == 0
    one = td.flip_profile(landscape, a, b, td.landscape.Greedy(1, blocks=10**5, candidates=1), 3)
    assert len(one.lowest) > 0


def test_batch_norms_are_recalibrated_on_the_way():
    make = td.models.binary_fully_connected
    model, other = (make([6, 5, 3], norm="batch_norm", seed=s).eval() for s in (0, 1))
    for net in (model, other):
        torch.nn.init.normal_(net.norm1.bias)  # two units without a bias may be antipodal
    data = torch.randn(40, 6), torch.randint(3, (40,))
    model.load_state_dict(td.recalibrate(model, model.state_dict(), data))
    cube = td.geometry.Hypercube(td.discover(model, data[0][:4]))
    a = td.canonicalize(cube.group, model.state_dict())
    b = td.align(cube.group, td.recalibrate(other, other.state_dict(), data), to=a).params
    found = td.flip_profile(
        td.Landscape(model, data, on=cube), a, b, td.landscape.Greedy(2, blocks=4), 5
    )
    middle = td.recalibrate(model, found.lowest(0.5), data)
    best = int(found.barriers.argmin())
    assert found.curves[best, 2].item() == pytest.approx(td.evaluate(model, middle, data).error)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"orders": "best"}, "`orders` is 'best'; pass a whole number up to 1,000,000 or a Greedy"),
        ({"orders": 0}, "there are 0 orders"),
        ({"orders": td.landscape.Greedy(0)}, "there are 0 orders"),
        ({"points": 1}, "of 1 points"),
    ],
)
def test_bad_requests(setting, arguments, message):
    model, cube, a, b, data = setting
    with pytest.raises(td.ToroidsError, match=message):
        td.flip_profile(td.Landscape(model, data, on=cube), a, b, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"), [({"blocks": 0}, "has 0 blocks"), ({"candidates": -1}, "-1 cand")]
)
def test_bad_greedy_orders(arguments, message):
    with pytest.raises(td.ToroidsError, match=message):
        td.landscape.Greedy(**arguments)


def test_a_landscape_on_no_cube_is_refused(setting):
    model, cube, a, b, data = setting
    message = "the landscape is on {}, not on a hypercube; pass .*on=td.geometry.Hypercube"
    with pytest.raises(td.ToroidsError, match=message.format("no manifold")):
        td.flip_profile(td.Landscape(model, data), a, b)
    with pytest.raises(td.ToroidsError, match=message.format("a Toroid")):
        td.flip_profile(td.Landscape(model, data, on=cube.toroid), a, b)


def test_raw_networks_are_refused(setting):
    model, cube, a, b, data = setting
    with pytest.raises(
        td.errors.ParamsError, match="in the second network holds .* expected -1 or"
    ):
        td.flip_profile(td.Landscape(model, data, on=cube), a, {n: 0.3 * t for n, t in b.items()})
