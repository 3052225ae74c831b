"""Every way between two networks, on either manifold, is what the single measures give."""

import pytest
import torch

import toroids as td
from toroids.geometry.manifold import manifold_of
from toroids.landscape.between import FLIPS, Between
from toroids.landscape.joined import WAYS, joined


def between(make, widths, output, **settings):
    model, other = (make(widths, seed=seed).double() for seed in (0, 1))
    inputs = torch.randn(40, widths[0], dtype=torch.float64)
    data = inputs, torch.arange(40) % widths[-1]
    group = td.discover(model, inputs, output=output)
    a, b = model.state_dict(), other.state_dict()
    landscape = td.Landscape(model, data, on=manifold_of(group))
    return Between(landscape, td.align(group, b, to=a), a, b, points=5, **settings)


def test_real_networks_are_joined_in_six_ways():
    found = between(td.models.fully_connected, [4, 6, 3], "classifier")
    assert found.ways == WAYS
    assert isinstance(found.landscape.on, td.Toroid)
    paths = joined(found.landscape.on.group, found.alignment, found.a, found.b)
    for way in found.ways:
        by_hand = td.profile(found.landscape, paths[way], 5)
        assert torch.equal(found.profile(way).error, by_hand.error)


def test_binary_networks_are_joined_by_orders_of_flips():
    make = td.models.binary_fully_connected
    found = between(make, [5, 5, 3], "values", orders=2, blocks=3)
    assert found.ways == FLIPS
    start, end = found.alignment.reference, found.alignment.params
    by_hand = td.flip_profile(found.landscape, start, end, 2, 5)
    assert torch.equal(found.profile("flips").curves, by_hand.curves)
    assert found.profile("flips_raw").curves.shape == (2, 5)
    greedy = found.profile("flips_greedy")
    assert (greedy.order, greedy.curves.shape) == ("greedy", (1, 7))


@pytest.mark.parametrize(
    ("make", "output", "names"),
    [
        (td.models.fully_connected, "classifier", ["distance", "mean_angle"]),
        (td.models.binary_fully_connected, "values", ["hamming"]),
    ],
)
def test_measures_are_named_and_equal_the_distances(make, output, names):
    found = between(make, [5, 5, 3], output)
    manifold, a, b = found.landscape.on, found.alignment.reference, found.alignment.params
    measures = manifold.measures(a, b)
    assert list(measures) == names
    assert measures[names[0]] == manifold.distance(a, b)
    assert manifold.measures(a, a)[names[0]] == 0


def test_the_noise_is_that_of_the_manifold():
    for make, output, kind in (
        (td.models.fully_connected, "classifier", "multiplicative"),
        (td.models.binary_fully_connected, "values", "flips"),
    ):
        found = between(make, [5, 5, 3], output)
        energy = td.local_energy(found.landscape, found.alignment.reference, (0.1,), 2)
        assert energy.kind == kind


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_balanced_line_of_a_moved_copy_stays_where_it_is(activation):
    model = td.models.fully_connected([4, 6, 6, 3], activation=activation, seed=0).double()
    inputs = torch.randn(40, 4, dtype=torch.float64)
    group = td.discover(model, inputs, output="classifier")
    a = model.state_dict()
    b = group.apply(group.random(), a)
    path = joined(group, td.align(group, b, to=a), a, b, ["balanced"])["balanced"]
    start, middle = path(0.0), path(0.5)
    assert max((start[name] - middle[name]).abs().max() for name in start) < 1e-9
    scales = group.restricted({"rescale"})  # of tanh units there are none
    rescaled = scales.apply(scales.random(), start)
    weights = [name for name in group.parameters if "output" not in name]
    assert norm(start, weights) <= norm(rescaled, weights)
    assert (
        td.Toroid(group).distance(td.canonicalize(group, start), td.canonicalize(group, a)) < 1e-9
    )


def norm(params, names):
    return sum(params[name].square().sum() for name in names)
