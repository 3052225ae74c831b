import itertools
from dataclasses import replace

import numpy as np
import pytest
from few_rows import network, pair
from sklearn.manifold import smacof

from toroids.statistics.map import between, make_maps, scale, stress
from toroids.statistics.measured import Moments


def rows_of(before, after=None, measure="mean_angle", architecture="mlp"):
    after = before if after is None else after
    names = [f"{architecture}-x-{i}" for i in range(len(before))]
    rows = [network(name, 0.1, 0.1, architecture) for name in names]
    for i, j in itertools.combinations(range(len(names)), 2):
        moments = Moments(before=float(before[i, j]), after=float(after[i, j]))
        one = replace(pair(names[i], names[j], 0.1), architecture=architecture)
        rows.append(replace(one, **{measure: moments}))
    return rows


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(0).normal(size=(9, 2)) * [3, 1]


@pytest.fixture(scope="module")
def scattered():
    return between(np.random.default_rng(1).normal(size=(12, 6)))


def placed(row):
    return np.column_stack([row.x, row.y])


def test_a_plane_is_recovered(points):
    before, after = make_maps(rows_of(between(points)))
    assert between(placed(before)) == pytest.approx(between(points), abs=1e-6)
    assert before.stress == pytest.approx(0, abs=1e-6)
    assert (before.moment, after.moment) == ("before", "after")
    assert before.measure == "mean_angle"
    assert before.names == [f"mlp-x-{i}" for i in range(9)]


def test_the_map_after_lies_on_the_one_before(points):
    """Mirrored and turned points have the same distances, and so the same map."""
    turn = np.array([[0.0, -1.0], [1.0, 0.0]]) @ np.diag([1.0, -1.0])
    before, after = make_maps(rows_of(between(points), between(0.5 * points @ turn)))
    assert placed(after) == pytest.approx(0.5 * placed(before), abs=1e-6)


def test_the_stress_is_that_of_a_reference_or_less(scattered):
    found = scale(scattered)
    settings = {"metric": True, "n_components": 2, "n_init": 1, "max_iter": 3000, "eps": 1e-9}
    other, _ = smacof(scattered, init=found, normalized_stress=False, **settings)
    assert stress(found, scattered) <= stress(other, scattered) + 1e-4
    assert 0.05 < stress(found, scattered) < 0.4


def test_majorisation_improves_on_the_classical_solution(scattered):
    values, vectors = np.linalg.eigh(
        -(np.eye(12) - 1 / 12) @ scattered**2 @ (np.eye(12) - 1 / 12) / 2
    )
    classical = vectors[:, -2:] * np.sqrt(values[-2:])
    assert stress(scale(scattered), scattered) < stress(classical, scattered)


def test_the_stress_is_kruskals(scattered, points):
    apart = between(points)
    upper = np.triu_indices(9, 1)
    wanted = scattered[:9, :9]
    expected = ((apart - wanted)[upper] ** 2).sum() / (apart[upper] ** 2).sum()
    assert stress(points, wanted) == pytest.approx(expected**0.5)


def test_maps_are_turned_to_their_principal_axes_and_always_the_same(scattered):
    rows = rows_of(scattered)
    found = placed(make_maps(rows)[0])
    assert make_maps(rows) == make_maps(rows)
    assert found.mean(axis=0) == pytest.approx(0, abs=1e-9)
    assert (found.T @ found)[0, 1] == pytest.approx(0, abs=1e-6)
    assert found[:, 0].std() > found[:, 1].std()
    assert (found[np.abs(found).argmax(axis=0), [0, 1]] > 0).all()


def test_networks_at_the_same_place_have_a_map():
    (before, _) = make_maps(rows_of(np.zeros((4, 4))))
    assert before.stress == 0
    assert before.x == before.y == [0] * 4


def test_binary_networks_lie_by_their_hamming_distance(scattered):
    assert {row.measure for row in make_maps(rows_of(scattered, measure="hamming"))} == {"hamming"}


def test_every_architecture_has_its_own(points, scattered):
    rows = rows_of(between(points)) + rows_of(scattered, architecture="cnn")
    assert [row.architecture for row in make_maps(rows)] == ["mlp", "mlp", "cnn", "cnn"]


def test_two_networks_have_no_map(points):
    assert make_maps(rows_of(between(points[:2]))) == []
    assert make_maps([]) == []


def test_a_pair_that_is_missing_or_not_finite_leaves_no_map(points):
    rows = rows_of(between(points))
    assert make_maps(rows[:-1]) == []
    rows[-1] = replace(rows[-1], mean_angle=Moments(before=1.0, after=None))
    assert [row.moment for row in make_maps(rows)] == ["before"]
