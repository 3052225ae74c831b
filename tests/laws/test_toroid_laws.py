import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws.networks import element, largest_difference, permutations_of

import toroids as td
from toroids.errors import ParamsError

seeds = st.integers(0, 10_000)
times = st.floats(0, 1)


def canonical(case, seed):
    return td.canonicalize(case.group, case.other(seed))


@given(seed=seeds)
def test_distance_is_symmetric_and_zero_at_equality(case, seed):
    toroid, a, b = td.Toroid(case.group), canonical(case, seed), canonical(case, seed + 1)
    assert toroid.distance(a, b) == pytest.approx(toroid.distance(b, a), rel=1e-14)
    assert toroid.distance(a, b) > 0.1
    assert toroid.distance(a, a) == 0


@pytest.mark.parametrize(("dtype", "step"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_small_distances_are_resolved(case, dtype, step):
    a = {name: tensor.to(dtype) for name, tensor in canonical(case, 5).items()}
    toroid = td.Toroid(case.group)
    near = {name: tensor + step * case.other(6)[name].to(dtype) for name, tensor in a.items()}
    b = td.canonicalize(case.group, near)
    flat = math.sqrt(sum(float((a[name] - b[name]).double().square().sum()) for name in a))
    assert flat > 0
    # On so short a path chord and arc agree; coordinates are rounded at the precision's epsilon.
    assert toroid.distance(a, b) == pytest.approx(flat, rel=1e-2)


@given(seed=seeds)
def test_triangle_inequality(case, seed):
    toroid = td.Toroid(case.group)
    a, b, c = (canonical(case, seed + offset) for offset in range(3))
    assert toroid.distance(a, c) <= toroid.distance(a, b) + toroid.distance(b, c) + 1e-12


@given(seed=seeds)
def test_distance_is_invariant(case, seed):
    """Under permutations that act on both, and under rescalings of either after canonicalize."""
    toroid, a, b = td.Toroid(case.group), case.other(seed), case.other(seed + 1)
    expected = toroid.distance(*(td.canonicalize(case.group, p) for p in (a, b)))
    g = element(case, seed, 2.0)
    swap = permutations_of(case, g)
    rescale_only = case.group.compose(case.group.inverse(swap), g)
    moved_a = case.group.apply(g, a)
    moved_b = case.group.apply(swap, case.group.apply(rescale_only, b))
    after = toroid.distance(*(td.canonicalize(case.group, p) for p in (moved_a, moved_b)))
    assert after == pytest.approx(expected, rel=1e-10)


@given(seed=seeds)
def test_distance_is_the_root_of_the_squares_by_space(case, seed):
    toroid, a, b = td.Toroid(case.group), canonical(case, seed), canonical(case, seed + 1)
    parts = toroid.distances(a, b)
    assert toroid.distance(a, b) ** 2 == pytest.approx(sum(d**2 for d in parts.values()))


def test_geodesic_ends_are_exact(case):
    toroid, a, b = td.Toroid(case.group), canonical(case, 1), canonical(case, 2)
    path = toroid.geodesic(a, b)
    assert all(torch.equal(path(0.0)[name], a[name]) for name in a)
    assert all(torch.equal(path(1.0)[name], b[name]) for name in b)


@given(seed=seeds, s=times, t=times)
def test_geodesic_has_constant_speed_and_stays_on_the_toroid(case, seed, s, t):
    toroid, a, b = td.Toroid(case.group), canonical(case, seed), canonical(case, seed + 1)
    path = toroid.geodesic(a, b)
    for family in toroid.spheres:
        assert (family.norms(path(t)) - 1).abs().max() < 1e-10
    expected = abs(s - t) * toroid.distance(a, b)
    assert toroid.distance(path(s), path(t)) == pytest.approx(expected, abs=1e-9)


def test_geodesic_between_close_points_is_stable(case):
    a = canonical(case, 3)
    near = {name: tensor + 1e-9 * case.other(4)[name] for name, tensor in a.items()}
    b = td.canonicalize(case.group, near)
    middle = td.Toroid(case.group).geodesic(a, b)(0.5)
    straight = {name: (a[name] + b[name]) / 2 for name in a}
    assert largest_difference(middle, straight) < 1e-15


def test_line_shrinks_units_by_the_cosine_of_half_their_angle(case):
    toroid, a, b = td.Toroid(case.group), canonical(case, 1), canonical(case, 2)
    middle = td.geometry.Line(a, b)(0.5)
    angles = toroid.angles(a, b)
    for family, theta in zip(toroid.spheres, angles, strict=True):
        shrunk = (theta / 2).cos()
        assert torch.allclose(family.norms(middle), shrunk, atol=1e-12)


def test_raw_parameters_are_refused(case):
    a, b = canonical(case, 1), case.other(2)
    toroid = td.Toroid(case.group)
    if not toroid.spheres and case.group.output.mode == "values":
        pytest.skip("nothing is removed, so every network is canonical")
    for pair in itertools.permutations((a, b)):
        for measure in (toroid.distance, toroid.distances, toroid.mean_angle, toroid.geodesic):
            with pytest.raises(ParamsError, match="pass what canonicalize returns"):
                measure(*pair)
