import math

import pytest
import torch
from torch import nn

import toroids as td
from toroids.errors import DataError, ParamsError, ToroidsError
from toroids.landscape.plane import lines

NAMES = ("a", "b", "c")


class Weights(nn.Module):
    """Outputs its own weights for every example, so that a metric is a function of the weights."""

    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.zeros(3, 4, dtype=torch.float64))
        self.second = nn.Parameter(torch.zeros(5, dtype=torch.float64))

    def forward(self, inputs):
        weights = torch.cat([self.first.flatten(), self.second])
        return weights.expand(len(inputs), -1)


def flat(params):
    return torch.cat([tensor.flatten() for tensor in params.values()]).double()


def distance(a, b):
    return float((flat(a) - flat(b)).norm())


def quadratic(device="cpu", seed=0):
    """Three networks and a loss with a centre and a curvature of its own for every weight."""
    generator = torch.Generator().manual_seed(seed)
    model = Weights().to(device)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(device)

    networks = [{"first": 3 * draw(3, 4), "second": draw(5) - 1} for _ in NAMES]
    centre, curvature = draw(17), draw(17).exp()

    def metric(outputs, targets):
        losses = ((outputs - centre).square() * curvature).sum(dim=1)
        return losses / 7, losses

    data = torch.zeros(3, 1, dtype=torch.float64), torch.zeros(3).long()
    return model, networks, data, metric, centre, curvature


def axes(networks):
    """Orthonormal axes by the definition."""
    a, b, c = (flat(network) for network in networks)
    first = (b - a) / (b - a).norm()
    rest = (c - a) - ((c - a) @ first) * first
    return a, first, rest / rest.norm()


@pytest.mark.parametrize("resolution", [(11, 6), (4, 13), 8])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_every_value_of_a_quadratic_stands_where_its_weights_are(device, resolution, order):
    model, networks, data, metric, centre, curvature = quadratic(device)
    networks = [networks[number] for number in order]
    found = td.section(td.Landscape(model, data, metric=metric), networks, resolution, margin=0.3)
    origin, first, second = axes(networks)
    assert found.error.shape == found.loss.shape == (len(found.y), len(found.x))
    assert len(set(found.error.flatten().tolist())) == found.error.numel()  # nothing is repeated
    for row, y in enumerate(found.y.tolist()):
        for column, x in enumerate(found.x.tolist()):
            weights = origin + x * first + y * second
            loss = ((weights - centre).square() * curvature).sum().item()
            assert found.loss[row, column].item() == pytest.approx(loss, rel=1e-10)
            assert found.error[row, column].item() == pytest.approx(loss / 7, rel=1e-10)


@pytest.mark.parametrize("number", range(3))
def test_positions_are_true_distances(number):
    model, networks, data, *_ = quadratic()
    target = flat(networks[number])

    def metric(outputs, targets):
        return (outputs - target).square().sum(dim=1)

    found = td.section(td.Landscape(model, data, metric=metric), networks, (9, 7))
    x, y = found.points[number]
    expected = (found.x - x).square() + (found.y - y).square()[:, None]
    assert torch.allclose(found.loss, expected, rtol=1e-10, atol=1e-10)
    assert found.errors[number] == 0


def test_the_three_networks_are_on_the_grid_and_exact():
    seen = []
    model = td.models.fully_connected([4, 6, 3], seed=0)
    networks = [td.models.fully_connected([4, 6, 3], seed=s).state_dict() for s in range(3)]
    model.register_forward_pre_hook(
        lambda m, _: seen.append({n: p.detach().clone() for n, p in m.named_parameters()})
    )
    data = torch.randn(20, 4), torch.randint(3, (20,))
    found = td.section(td.Landscape(model, data), networks, (7, 5))
    for number, network in enumerate(networks):
        assert any(all(torch.equal(x[n], network[n]) for n in network) for x in seen)
        x, y = found.points[number]
        assert (found.x == x).sum() == (found.y == y).sum() == 1
        place = int((found.y == y).nonzero()), int((found.x == x).nonzero())
        expected = td.evaluate(model, network, data)
        assert found.errors[number] == found.error[place] == expected.error
        assert found.loss[place] == expected.loss
        assert found.error_stderr[place] == expected.error_stderr
    for first, second in ((0, 1), (0, 2), (1, 2)):
        apart = (found.points[first] - found.points[second]).norm().item()
        assert apart == pytest.approx(distance(networks[first], networks[second]), rel=1e-12)


def test_lines_go_through_positions_and_are_added_where_two_would_merge():
    even = lines([0.0, 1.0], 8, 0.2)
    assert len(even) == 8
    assert even[0].item() == pytest.approx(-0.2)
    assert even[-1].item() == pytest.approx(1.2)
    assert {0.0, 1.0} <= set(even.tolist())
    close = [0.0, 0.01, 1.0]
    added = lines(close, 8, 0.2)
    assert len(added) == 9
    assert set(close) <= set(added.tolist())
    for through in ([0.0, 1.0], close, [-0.3, 0.0, 1.0], [0.0, 0.51, 0.52]):
        for count in range(2, 30):
            for margin in (0.0, 0.2, 3.0):
                found = lines(through, count, margin)
                assert (found.diff() > 0).all()
                assert set(through) <= set(found.tolist())


def test_a_right_angle_has_no_two_columns_at_one_place():
    model, (a, b, _), data, metric, *_ = quadratic()
    step, other = flat(b) - flat(a), flat(a).clone()
    other[0:16:2] -= step[1:16:2]  # every two entries are turned by a right angle
    other[1:16:2] += step[0:16:2]
    c = {"first": other[:12].reshape(3, 4), "second": other[12:]}
    found = td.section(td.Landscape(model, data, metric=metric), [a, b, c], 5)
    assert found.points[2, 0] == 0
    assert len(found.x) == 5


def test_a_flat_plane_is_interpolated_and_a_steep_one_is_evaluated():
    model, networks, data, metric, *_ = quadratic()
    landscape = td.Landscape(model, data, metric=metric)
    full = td.section(landscape, networks, (21, 17))
    assert full.evaluated.all()
    flat_ = td.section(landscape, networks, (21, 17), tolerance=math.inf)
    assert flat_.evaluated.float().mean() < 0.25
    steep = td.section(landscape, networks, (21, 17), tolerance=0.0)
    assert steep.evaluated.all()
    some = td.section(landscape, networks, (21, 17), tolerance=20.0)
    assert flat_.evaluated.sum() < some.evaluated.sum() < full.evaluated.sum()
    for found in (flat_, steep, some):
        assert torch.equal(found.x, full.x)
        assert torch.equal(found.y, full.y)
        for name in ("error", "loss"):
            here, there = getattr(found, name), getattr(full, name)
            assert torch.equal(here[found.evaluated], there[found.evaluated])
        assert torch.equal(found.errors, full.errors)
    rest = ~some.evaluated
    assert (some.error - full.error)[rest].abs().max() < 20


def test_what_is_not_evaluated_is_bilinear():
    model, networks, data, *_ = quadratic()
    origin, first, second = axes(networks)

    def metric(outputs, targets):  # 2 + 3 x - y + x y / 2 of the true coordinates
        x, y = (outputs - origin) @ first, (outputs - origin) @ second
        return 2 + 3 * x - y + x * y / 2

    landscape = td.Landscape(model, data, metric=metric)
    full = td.section(landscape, networks, (14, 19))
    found = td.section(landscape, networks, (14, 19), tolerance=math.inf)
    assert not found.evaluated.all()
    assert torch.allclose(found.error, full.error, rtol=1e-10, atol=1e-9)


def test_buffers_are_combined_and_do_not_count_in_distances(device):
    def build(seed):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2))
        model.to(device)
        model(torch.randn(50, 3).to(device) * (seed + 1))  # moves the running statistics
        model[1].num_batches_tracked += seed
        return model

    models = [build(seed) for seed in range(3)]
    networks = [{n: t.detach() for n, t in m.state_dict().items()} for m in models]
    data = torch.randn(30, 3), torch.randint(2, (30,))
    seen = []
    models[0][1].register_forward_pre_hook(
        lambda m, _: seen.append((m.running_var.clone(), int(m.num_batches_tracked)))
    )
    found = td.section(td.Landscape(models[0], data), networks, (5, 4))
    steps = [number for _, number in seen]  # 1 in a, 2 in b, 3 in c
    assert sorted(steps) == [1] * (len(steps) - 2) + [2, 3]
    # points are taken row by row
    v = float(found.y[0] / found.points[2, 1])
    u = float((found.x[0] - v * found.points[2, 0]) / found.points[1, 0])
    variances = [network["1.running_var"] for network in networks]
    expected = (1 - u - v) * variances[0] + u * variances[1] + v * variances[2]
    assert torch.allclose(seen[0][0], expected, atol=1e-5)
    apart = [
        torch.cat(
            [
                (p - q).detach().flatten()
                for p, q in zip(m.parameters(), n.parameters(), strict=True)
            ]
        )
        for m, n in ((models[0], models[1]), (models[0], models[2]))
    ]
    assert found.points[1, 0].item() == pytest.approx(apart[0].double().norm().item(), rel=1e-6)
    assert found.points[2].norm().item() == pytest.approx(apart[1].double().norm().item(), rel=1e-6)
    for number, network in enumerate(networks):
        assert found.errors[number] == td.evaluate(models[0], network, data).error


def test_tied_weights_count_once_and_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 3, bias=False)
            self.b = nn.Linear(3, 3, bias=False)
            self.b.weight = self.a.weight

        def forward(self, inputs):
            assert torch.equal(self.a.weight, self.b.weight)
            return self.b(self.a(inputs))

    models = [Tied() for _ in NAMES]
    data = torch.randn(4, 3), torch.zeros(4).long()
    found = td.section(td.Landscape(models[0], data), [m.state_dict() for m in models], 4)
    apart = (models[0].a.weight - models[1].a.weight).detach().double().norm().item()
    assert found.points[1, 0].item() == pytest.approx(apart, rel=1e-6)


def test_points_are_moved_to_the_toroid():
    model = td.models.fully_connected([4, 6, 3], seed=0).double()
    group = td.symmetry.fully_connected_group(model.state_dict(), output="classifier")
    toroid = td.Toroid(group)
    raw = [td.models.fully_connected([4, 6, 3], seed=s).double().state_dict() for s in range(3)]
    networks = [td.canonicalize(group, network) for network in raw]
    data = torch.randn(50, 4), torch.randint(3, (50,))
    seen = []
    model.register_forward_pre_hook(
        lambda m, _: seen.append({n: p.detach().clone() for n, p in m.named_parameters()})
    )
    landscape = td.Landscape(model, data, on=toroid)
    found = td.section(landscape, networks, 5)
    for params in seen:
        toroid.check(params)
    for number, network in enumerate(networks):
        assert found.errors[number] == td.evaluate(model, network, data).error
    apart = distance(networks[0], networks[1])  # of the plane, not of the toroid
    assert found.points[1, 0].item() == pytest.approx(apart)
    with pytest.raises(ParamsError, match="in network a has norm"):
        td.section(landscape, raw, 5)


def test_points_that_overflow_are_noted_and_the_rest_is_kept():
    model, networks, data, *_ = quadratic()

    class Exploding(Weights):
        def forward(self, inputs):
            weights = super().forward(inputs)
            return torch.where(weights[:, :1] > 0, weights, weights * math.nan)

    model = Exploding()
    for tolerance in (None, 0.5):
        found = td.section(
            td.Landscape(model, data, metric=lambda o, t: o[:, 0]),
            networks,
            (6, 5),
            tolerance=tolerance,
        )
        bad = found.error.isnan()
        assert 0 < bad.sum() < bad.numel()
        assert torch.equal(bad, found.loss.isnan())
        assert len(found.notes) == (bad & found.evaluated).sum()
        row, column = bad.nonzero()[0].tolist()
        if tolerance is None:
            place = f"at x = {found.x[column]:.6g}, y = {found.y[row]:.6g} the outputs are NaN"
            assert found.notes[0].startswith(place)


def test_metric_temperature_and_progress_are_passed_on():
    model = td.models.fully_connected([4, 6, 3], seed=0)
    networks = [td.models.fully_connected([4, 6, 3], seed=s).state_dict() for s in range(3)]
    data = torch.randn(20, 4), torch.randint(3, (20,))
    heard = []
    landscape = td.Landscape(model, data, metric="top-2", temperature=0.1, batch_size=7)
    found = td.section(landscape, networks, 4, progress=lambda *report: heard.append(report))
    expected = td.Landscape(model, data, metric="top-2", temperature=0.1)(networks[1])
    assert found.errors[1] == expected.error
    size = found.error.numel()
    assert [report[1:] for report in heard] == [(n, size) for n in range(1, size + 1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resolution": 1}, "the resolution is 1; pass at least 2 columns"),
        ({"resolution": (5, 1)}, r"the resolution is \(5, 1\)"),
        ({"margin": -0.1}, "the margin is -0.1"),
        ({"margin": math.nan}, "the margin is nan"),
        ({"tolerance": -1.0}, "the tolerance is -1.0"),
        ({"tolerance": math.nan}, "the tolerance is nan"),
    ],
)
def test_bad_requests(arguments, message):
    model, networks, data, metric, *_ = quadratic()
    landscape = td.Landscape(model, data, metric=metric)
    with pytest.raises(ToroidsError, match=message):
        td.section(landscape, networks, **{"resolution": 3, **arguments})


def test_a_section_goes_through_three_networks_and_on_no_cube():
    model, networks, data, *_ = quadratic()
    for few in (networks[:2], [*networks, networks[0]]):
        with pytest.raises(ParamsError, match=f"there are {len(few)} networks"):
            td.section(td.Landscape(model, data), few)
    bits = td.models.binary_fully_connected([5, 3, 2])
    cube = td.geometry.Hypercube(td.discover(bits, torch.ones(1, 5)))
    data = torch.ones(2, 5), torch.zeros(2, dtype=torch.long)
    with pytest.raises(ToroidsError, match="is on a Hypercube, not on a toroid"):
        td.section(td.Landscape(bits, data, on=cube), [bits.state_dict()] * 3)


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.bfloat16])
def test_networks_on_a_line_are_refused(kind):
    model = td.models.fully_connected([4, 6, 3], seed=0)
    a, b = (
        {
            n: t.to(kind)
            for n, t in td.models.fully_connected([4, 6, 3], seed=s).state_dict().items()
        }
        for s in (0, 1)
    )
    data = torch.randn(20, 4), torch.randint(3, (20,))
    line = td.geometry.Line(a, b)
    landscape = td.Landscape(model, data)
    for c in (line(0.5), line(0.3), {n: 2 * b[n] - a[n] for n in a}):
        with pytest.raises(ToroidsError, match="the three networks lie on one line"):
            td.section(landscape, [a, b, c], 3)
    for networks, pair in (((a, a, b), "a and b"), ((a, b, a), "a and c"), ((a, b, b), "b and c")):
        with pytest.raises(ToroidsError, match=f"networks {pair} have the same parameters"):
            td.section(landscape, networks, 3)


def test_networks_that_do_not_fit_are_named():
    model, (a, b, c), data, metric, *_ = quadratic()
    landscape = td.Landscape(model, data)
    with pytest.raises(ParamsError, match="network b lacks? `second`"):
        td.section(landscape, [a, {"first": b["first"]}, c], 3)
    with pytest.raises(ParamsError, match="`second` in network c has 5 of 5 entries"):
        td.section(landscape, [a, b, {**c, "second": c["second"] * math.nan}], 3)
    far = {name: tensor * 1e300 for name, tensor in c.items()}
    with pytest.raises(ToroidsError, match="networks a and c are too far apart"):
        td.section(td.Landscape(model, data, metric=metric), [a, b, far], 3)
    with pytest.raises(ParamsError, match="convert one of them"):
        td.section(landscape, [a, b, {n: t.float() for n, t in c.items()}], 3)
    with pytest.raises(DataError, match="no examples"):
        td.section(td.Landscape(model, (data[0][:0], data[1][:0]), metric=metric), [a, b, c], 3)
