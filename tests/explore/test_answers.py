"""Every number on the page is what the public functions and the study's rows say."""

import pytest
import torch
from explore.runs import REAL

import toroids as td
from toroids.explore import answers as module
from toroids.explore.answers import MOST_WAITING, Answers, Refused
from toroids.explore.queue import Gone, Queue
from toroids.study.opened import open_run
from toroids.study.store import plain

TWO = {"a": ["mlp-sgd-0"], "b": ["mlp-replicated_sgd-1"]}
THREE = {"a": ["mlp-sgd-0"], "b": ["mlp-sgd-1"], "c": ["mlp-sgd-2"]}


@pytest.fixture(scope="module")
def run(real):
    return open_run(real)


@pytest.fixture(scope="module")
def bits(binary):
    return open_run(binary)


@pytest.fixture
def asked(run):
    return Answers(run)


def architecture(asked, name):
    return next(one for one in asked.networks["architectures"] if one["name"] == name)


def test_networks_of_both_architectures(asked):
    found = asked.networks
    assert found["study"] == "small" and found["finished"] and found["points"] == 5
    assert {one["name"] for one in found["architectures"]} == {"mlp", "deep"}
    mlp = architecture(asked, "mlp")
    assert [one["name"] for one in mlp["networks"]][:2] == ["mlp-sgd-0", "mlp-sgd-1"]
    assert {solver["name"] for solver in mlp["solvers"]} == set(REAL["solvers"])


def test_networks_are_told_as_measured(asked, run):
    row = next(row for row in run.rows if row.kind == "network" and row.name == "mlp-sgd-0")
    found = architecture(asked, "mlp")["networks"][0]
    assert found["test_error"] == row.test_error
    assert found["flatness"]["increase"] == row.flatness.increase[1]


def test_maps_before_and_after(asked):
    maps = architecture(asked, "mlp")["maps"]
    assert set(maps) == {"before", "after"}
    assert all(len(maps[moment]["x"]) == len(maps[moment]["names"]) == 6 for moment in maps)


def profiled(run, architecture):
    return next(
        row
        for row in run.rows
        if row.kind == "pair" and row.architecture == architecture and row.profiles
    )


@pytest.mark.parametrize("architecture", ["mlp", "deep"])
def test_profile_is_that_of_the_study(run, architecture):
    row = profiled(run, architecture)
    found = Answers(run).profile({"a": [row.a], "b": [row.b]})
    for field in ("a", "b", "architecture", "method", "distance", "mean_angle", "layers"):
        assert found[field] == row.data[field]
    assert found["profiles"].keys() == row.profiles.keys()
    for way, curve in row.profiles.items():
        assert found["profiles"][way].items() >= plain(curve).items()


def test_profile_has_the_error_of_the_barrier(run, asked):
    a, b = run.params("mlp-sgd-0"), run.params("mlp-replicated_sgd-1")
    curve = td.profile(td.Landscape(run.model("mlp"), run.data().train), td.geometry.Line(a, b), 7)
    found = asked.profile({**TWO, "points": ["7"]})["profiles"]["raw"]
    assert found["barrier"] == curve.barrier
    assert found["barrier_stderr"] == curve.barrier_stderr
    assert found["t"] == curve.t.tolist()


def test_binary_profile_is_that_of_the_study(bits):
    row = profiled(bits, "bits")
    found = Answers(bits).profile({"a": [row.a], "b": [row.b]})
    assert found["hamming"] == plain(row.hamming)
    assert found["profiles"].keys() == {"flips_raw", "flips", "flips_greedy"}
    for way, curve in row.profiles.items():
        again = found["profiles"][way]
        assert again["error"] == curve.error
        assert again["barrier"] == pytest.approx(curve.barrier, abs=1e-12)
    assert found["profiles"]["flips"]["barrier_stderr"] is not None
    assert found["profiles"]["flips_greedy"]["barrier_stderr"] is None  # of one order


def test_section_is_that_of_the_study(run, asked):
    row = next(row for row in run.rows if row.kind == "section" and row.architecture == "mlp")
    found = asked.section(dict(zip("abc", ([name] for name in row.networks), strict=True)))
    for field in ("networks", "x", "y", "error", "error_stderr", "points", "errors"):
        assert found[field] == row.data[field]


def test_section_is_that_of_the_public_functions(run, asked):
    a, b, c = (run.params(name) for (name,) in THREE.values())
    group, train = run.group("mlp"), run.data().train
    first, second = (td.align(group, x, to=a) for x in (b, c))
    toroid = td.Toroid(group)
    ends = first.reference, first.params, second.params
    section = td.section(td.Landscape(run.model("mlp"), train, on=toroid), ends, 4)
    found = asked.section({**THREE, "resolution": ["4"]})
    assert found["error"] == section.error.tolist()
    assert [row["distance"] for row in found["apart"]] == [
        toroid.distance(ends[i], ends[j]) for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    assert found["errors_stderr"] == pytest.approx(
        [td.evaluate(run.model("mlp"), end, train).error_stderr for end in ends], abs=1e-12
    )


def test_binary_section_is_the_median_section(bits):
    names = ["bits-sgd-0", "bits-sgd-1", "bits-replicated_sgd-0"]
    group, (a, b, c) = bits.group("bits"), map(bits.params, names)
    first, second = (td.align(group, x, to=a) for x in (b, c))
    ends = first.reference, first.params, second.params
    cube = td.geometry.Hypercube(group)
    faces = td.median_section(td.Landscape(bits.model("bits"), bits.data().train, on=cube), ends, 4)
    found = Answers(bits).section(dict(zip("abc", ([name] for name in names), strict=True)))
    assert found["error"] == faces.error.tolist()
    assert found["distances"] == faces.distances.tolist()
    assert found["median_error"] == faces.median_error
    assert found["errors"] == faces.errors.tolist()


def test_order_of_choosing_does_not_matter(asked):
    turned = asked.profile({"a": TWO["b"], "b": TWO["a"]})
    assert (turned["a"], turned["b"]) == ("mlp-sgd-0", "mlp-replicated_sgd-1")
    assert asked.profile(TWO) is turned  # remembered


def test_only_so_many_answers_are_remembered(asked, monkeypatch):
    monkeypatch.setattr(module, "KEPT", 2)
    first = asked.profile({**TWO, "points": ["2"]})
    asked.profile({**TWO, "points": ["3"]})
    assert asked.profile({**TWO, "points": ["2"]}) is first
    asked.profile({**TWO, "points": ["4"]})
    asked.profile({**TWO, "points": ["5"]})
    assert asked.profile({**TWO, "points": ["2"]}) is not first


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ({}, 400, "between two networks, a and b, each named once; got nothing"),
        ({"a": ["mlp-sgd-0"]}, 400, "each named once; got a"),
        ({**TWO, "c": ["mlp-sgd-2"]}, 400, "got a, b, c"),
        ({**TWO, "a": ["mlp-sgd-0", "mlp-sgd-1"]}, 400, "each named once"),
        ({**TWO, "seed": ["1"]}, 400, "got a, b, seed"),
        ({"a": ["mlp-sgd-0"], "b": ["mlp-sgd-0"]}, 400, "the same network twice"),
        ({"a": ["mlp-sgd-0"], "b": ["deep-sgd-0"]}, 400, "architectures deep and mlp"),
        ({"a": ["mlp-sgd-0"], "b": ["mlp-sgd-9"]}, 404, "no trained network 'mlp-sgd-9'"),
        ({"a": ["mlp-sgd-0"], "b": ["../../etc/passwd"]}, 404, "no trained network"),
        ({**TWO, "points": ["1"]}, 400, "points is '1'; pass an integer from 2 to 401"),
        ({**TWO, "points": ["1e3"]}, 400, "points is '1e3'"),
        ({**TWO, "points": ["-5"]}, 400, "points is '-5'"),
        ({**TWO, "points": ["٣"]}, 400, "pass an integer"),
        ({**TWO, "points": ["9" * 5000]}, 400, "pass an integer"),
        ({**TWO, "points": ["3", "4"]}, 400, "each named once"),
    ],
)
def test_questions_without_an_answer(asked, query, status, sentence):
    with pytest.raises(Refused, match=sentence) as refusal:
        asked.profile(query)
    assert refusal.value.status == status


def test_family_tree_is_that_of_the_public_function(run, asked, monkeypatch):
    page = asked.family({"architecture": ["mlp"]})
    names = [one["name"] for one in architecture(asked, "mlp")["networks"]]
    group = run.group("mlp")
    one = td.compare(group, *(run.params(name) for name in names[:2]))
    assert all(name in page for name in names) and "The family tree" in page
    assert one.reason in page
    for query, sentence in (
        ({}, "pass .architecture= with one of mlp, deep"),
        ({"architecture": ["other"]}, "with one of mlp, deep"),
        ({"architecture": ["mlp"], "a": ["mlp-sgd-0"]}, "with one of mlp, deep"),
    ):
        with pytest.raises(Refused, match=sentence):
            asked.family(query)
    monkeypatch.setattr(module, "MOST_NETWORKS", 3)
    with pytest.raises(Refused, match="2 to 3 of them, and mlp has 6"):
        asked.family({"architecture": ["mlp"]})


def test_no_family_tree_of_binary_networks(bits):
    asked = Answers(bits)
    name = asked.networks["architectures"][0]["name"]
    with pytest.raises(Refused, match="are binary"):
        asked.family({"architecture": [name]})


def test_section_needs_three(asked):
    with pytest.raises(Refused, match="goes through three networks, a, b and c"):
        asked.section(TWO)


def test_failure_of_a_measurement_is_its_sentence_and_not_remembered(run):
    params = dict(run.params("mlp-sgd-0"))
    params["hidden1.weight"] = torch.full_like(params["hidden1.weight"], torch.nan)
    broken = Answers(_Broken(run, params))
    with pytest.raises(td.errors.ParamsError, match="finite"):
        broken.profile(TWO)
    broken._measurers.clear()
    broken._run = run
    assert broken.profile(TWO)["a"] == "mlp-sgd-0"


class _Broken:
    """A run one network of which is not finite."""

    def __init__(self, run, params):
        self._run, self._params = run, params

    def __getattr__(self, name):
        return getattr(self._run, name)

    def params(self, name):
        return self._params if name == "mlp-sgd-0" else self._run.params(name)


def test_who_has_gone_is_not_measured_for(asked):
    with pytest.raises(Gone):
        asked.profile(TWO, gone=lambda: True)
    assert asked.profile(TWO)["a"] == "mlp-sgd-0"  # the turn was given back


def test_more_questions_than_may_wait_are_refused(asked, monkeypatch):
    monkeypatch.setattr(asked, "_queue", Queue(0))
    with pytest.raises(Refused, match=f"{MOST_WAITING} questions wait already") as refusal:
        asked.profile(TWO)
    assert refusal.value.status == 503


def test_answers_are_plain(asked):
    assert plain(asked.profile(TWO)) == asked.profile(TWO)


def test_run_without_networks(run):
    class Empty(_Broken):
        rows = ()

    with pytest.raises(td.ToroidsError, match="no trained network yet"):
        Answers(Empty(run, {}))
