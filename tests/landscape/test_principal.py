"""Sections along the checkpoints of one training: principal axes against a decomposition."""

import pytest
import torch
from landscape.test_section import Weights, flat

import toroids as td
from toroids.errors import ParamsError, ToroidsError

DATA = torch.zeros(3, 1, dtype=torch.float64), torch.zeros(3).long()
SHAPES = {"first": (3, 4), "second": (5,)}


def networks(count, seed=0, rank=17):
    """Networks that differ in a few directions, the last of them the origin."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(17, generator=generator, dtype=torch.float64)
    basis = torch.randn(rank, 17, generator=generator, dtype=torch.float64)
    sizes = torch.linspace(3, 0.5, rank, dtype=torch.float64)[:, None]
    steps = torch.randn(count, rank, generator=generator, dtype=torch.float64) @ (sizes * basis)
    return [named(start + step) for step in steps]


def named(weights):
    parts = weights.split([12, 5])
    return {name: part.reshape(SHAPES[name]) for name, part in zip(SHAPES, parts, strict=True)}


def metric(outputs, targets):
    losses = (outputs * torch.linspace(1, 2, 17, dtype=torch.float64)).square().sum(dim=1)
    return losses / 7, losses


def loss(weights):
    return float((weights * torch.linspace(1, 2, 17, dtype=torch.float64)).square().sum())


def section(given, resolution=5, **more):
    landscape = td.Landscape(Weights(), DATA, metric=metric)
    return td.section(landscape, given, resolution, axes="principal", **more)


def by_definition(given):
    """Axes and singular values of the differences from the last."""
    rows = torch.stack([flat(network) for network in given])
    _, values, vectors = torch.linalg.svd(rows - rows[-1], full_matrices=False)
    return rows - rows[-1], values, vectors[:2]


@pytest.mark.parametrize("count", [3, 4, 9, 30])
def test_axes_are_those_of_a_singular_value_decomposition(count):
    given = networks(count)
    found = section(given)
    steps, values, axes = by_definition(given)
    expected = steps @ axes.T
    signs = (expected * found.points).sum(dim=0).sign()
    assert torch.allclose(found.points, expected * signs, atol=1e-10)
    rest = (steps - expected @ axes).norm(dim=1)
    assert torch.allclose(found.away, rest, atol=1e-10)
    shares = values[:2].square() / values.square().sum()
    assert torch.allclose(found.explained, shares, atol=1e-12)
    assert found.points[-1].tolist() == [0, 0] and found.points[0, 0] > 0
    assert found.points[:, 1].abs().max() == found.points[:, 1].max()


def test_every_value_stands_where_its_weights_are():
    given = networks(6)
    found = section(given, (5, 4))
    steps, _, axes = by_definition(given)
    axes = axes * ((steps @ axes.T) * found.points).sum(dim=0).sign()[:, None]
    for row, y in enumerate(found.y.tolist()):
        for column, x in enumerate(found.x.tolist()):
            expected = loss(flat(given[-1]) + x * axes[0] + y * axes[1])
            assert found.loss[row, column].item() == pytest.approx(expected, rel=1e-10)
    own = [loss(flat(network)) / 7 for network in given]
    assert found.errors.tolist() == pytest.approx(own, rel=1e-12)
    assert (found.x == 0).any() and (found.y == 0).any()
    for axis, positions in enumerate((found.x, found.y)):  # the grid holds all networks
        assert positions.min() <= found.points[:, axis].min()
        assert positions.max() >= found.points[:, axis].max()


def test_three_networks_give_the_plane_through_them():
    given = networks(3)
    found, plane = (
        section(given),
        td.section(td.Landscape(Weights(), DATA, metric=metric), given, 5),
    )
    assert torch.allclose(found.away, torch.zeros(3, dtype=torch.float64), atol=1e-10)
    assert found.explained.sum().item() == pytest.approx(1, abs=1e-12)
    assert torch.equal(plane.away, torch.zeros(3, dtype=torch.float64))
    for one in (found, plane):
        between = torch.cdist(one.points, one.points)
        rows = torch.stack([flat(network) for network in given])
        assert torch.allclose(between, torch.cdist(rows, rows), atol=1e-10)


def test_no_other_plane_through_the_last_is_nearer():
    given = networks(8)
    least = section(given).away.square().sum()
    steps, _, _ = by_definition(given)
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        frame = torch.randn(17, 2, generator=generator, dtype=torch.float64)
        frame = torch.linalg.qr(frame).Q
        assert (steps - steps @ frame @ frame.T).square().sum() > least


def test_a_network_whose_outputs_are_not_finite_is_noted():
    given = networks(4)
    first = flat(given[0]).sum()

    class Broken(Weights):
        def forward(self, inputs):
            found = super().forward(inputs)
            return found / ((found.sum(dim=1, keepdim=True) - first).abs() > 1e-9)

    found = td.section(td.Landscape(Broken(), DATA, metric=metric), given, 3, axes="principal")
    assert found.errors.isnan().tolist() == [True, False, False, False]
    assert any(note.startswith("of network 0") for note in found.notes)


def test_batch_norms_move_along_and_are_estimated_anew():
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU(), torch.nn.Linear(4, 2)
    )
    x = torch.randn(32, 3)
    data, given = (x, (x[:, 0] > 0).long()), []
    optimiser = torch.optim.SGD(model.parameters(), 0.3)
    for _ in range(5):
        given.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        for _ in range(5):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model.train()(x), data[1]).backward()
            optimiser.step()
    landscape = td.Landscape(model, data, training=data)
    found = td.section(landscape, given, 5, axes="principal")
    last = td.evaluate(model, given[-1], data)
    row, column = int((found.y == 0).nonzero()), int((found.x == 0).nonzero())
    assert found.error[row, column] == last.error == found.errors[-1]
    assert found.away.max() > 0 and found.explained.sum() < 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (networks(2), "there are 2 networks; pass 3 or more"),
        ([networks(3)[0]] * 4, "all 4 networks are the same; pass checkpoints between which"),
        (networks(5, rank=1), "the 5 networks lie on one line through the last; pass"),
        ([{**networks(3)[0], "first": torch.zeros(2)}, *networks(3)], "network 0"),
        ([{n: 1e200 * t for n, t in x.items()} for x in networks(4)], "too far apart"),
    ],
)
def test_networks_without_principal_axes(given, message):
    with pytest.raises(ToroidsError, match=message):
        section(given)


def test_axes_that_are_not_there_and_too_many_networks():
    landscape = td.Landscape(Weights(), DATA, metric=metric)
    with pytest.raises(ToroidsError, match="no axes 'main'; choose from networks, principal"):
        td.section(landscape, networks(3), axes="main")
    with pytest.raises(
        ParamsError, match=r"4 networks; a section goes through three, or of many a"
    ):
        td.section(landscape, networks(4))
