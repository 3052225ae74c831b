import pytest

import toroids as td
from toroids.study.config import FlatnessConfig, ProfilesConfig
from toroids.study.measure import measure_network, measure_pair

POINTS = 5
PROFILES = ProfilesConfig(points=POINTS, bend_steps=20, orders=2, blocks=4)


@pytest.fixture(scope="module")
def setting():
    data = td.data.digits(60)
    model = td.models.fully_connected([64, 12, 10])
    a, b = (td.models.fully_connected([64, 12, 10], seed=s).state_dict() for s in (1, 2))
    return model, td.fully_connected_group(a, output="classifier"), a, b, data


def test_the_five_paths_are_what_their_names_say(setting):
    model, group, a, b, data = setting
    row = measure_pair(*setting, PROFILES, True)
    canonical_a, canonical_b = td.canonicalize(group, a), td.canonicalize(group, b)
    alignment = td.align(group, b, to=a, method="greedy")
    aligned_b = group.apply(alignment.element, canonical_b)
    paths = {
        "raw": td.Line(a, b),
        "normalised": td.Line(canonical_a, canonical_b),
        "aligned": td.Line(a, group.apply(alignment.element, b)),
        "both": td.Line(canonical_a, aligned_b),
        "geodesic": td.Toroid(group).geodesic(canonical_a, aligned_b),
    }
    assert list(row["profiles"]) == list(paths)
    losses = set()
    for name, path in paths.items():
        curve = td.profile(model, path, data.train, POINTS)
        found = row["profiles"][name]
        assert found["error"].tolist() == curve.error.tolist()
        assert found["loss"].tolist() == pytest.approx(curve.loss.tolist())
        assert found["barrier"] == curve.barrier
        losses.add(round(float(curve.loss[POINTS // 2]), 6))
    assert len(losses) == 5  # no two paths are the same


def test_distances_before_and_after(setting):
    _, group, a, b, _ = setting
    row = measure_pair(*setting, PROFILES, False)
    toroid, alignment = td.Toroid(group), td.align(group, b, to=a, method="greedy")
    start, canonical_b = alignment.reference, td.canonicalize(group, b)
    for statistic, measure in (("distance", toroid.distance), ("mean_angle", toroid.mean_angle)):
        assert row[statistic]["before"] == measure(start, canonical_b)
        assert row[statistic]["after"] == measure(start, alignment.params)
        assert row[statistic]["after"] < row[statistic]["before"]
    assert row["profiles"] == {}


def test_a_network_with_a_zero_unit_is_measured_and_reported(setting):
    model, group, a, b, data = setting
    broken = {name: tensor.clone() for name, tensor in b.items()}
    broken["hidden1.weight"][3] = 0
    broken["hidden1.bias"][3] = 0
    row = measure_network(model, group, broken, data, FlatnessConfig(samples=2))
    assert "units [3] have zero norm" in row["notes"][0]
    measure_pair(model, group, a, broken, data, PROFILES, True)


def test_a_bend_is_one_more_path(setting):
    profiles = measure_pair(*setting, PROFILES, True, True)["profiles"]
    assert len(profiles["bend"]["t"]) == 2 * POINTS - 1
    assert list(profiles) == [*measure_pair(*setting, PROFILES, True)["profiles"], "bend"]


def test_binary_networks_are_measured_by_flips():
    data = td.data.digits(60)
    make = td.models.binary_fully_connected
    model = make([64, 9, 10], threshold=0.5)
    group = td.discover(model, data.train[0][:4])
    a, b = (make([64, 9, 10], seed=s).state_dict() for s in (1, 2))
    flatness = FlatnessConfig(sigmas=(0.0, 0.1), samples=2, reference=0.1)
    row = measure_network(model, group, a, data, flatness)
    assert row["flatness"]["increase"][0] == 0
    row = measure_pair(model, group, a, b, data, PROFILES, True, True)
    alignment, cube = td.align(group, b, to=a), td.Hypercube(group)
    start, canonical_b = alignment.reference, td.canonicalize(group, b)
    assert row["hamming"] == {
        "before": cube.distance(start, canonical_b),
        "after": cube.distance(start, alignment.params),
    }
    expected = td.flip_profile(model, cube, start, alignment.params, data.train, 2, POINTS)
    assert row["profiles"]["flips"]["error"].tolist() == expected.error.tolist()
    assert row["profiles"]["flips"]["barrier"] == pytest.approx(expected.barrier)
    bend = row["profiles"]["bend"]
    assert len(bend["t"]) == len(bend["error"]) == 2 * POINTS - 1
    assert (bend["t"].diff() > 0).all()
    ends = [td.evaluate(model, end, data.train).error for end in (start, alignment.params)]
    assert [bend["error"][0].item(), bend["error"][-1].item()] == pytest.approx(ends)
