import math

import pytest
import torch
from small_study import SMALL

import toroids as td
from toroids.errors import ToroidsError
from toroids.report.page import write_report
from toroids.study import run as run_module
from toroids.study.config import StudyConfig
from toroids.study.run import run_study
from toroids.study.store import read_rows


def of_kind(rows, kind):
    return [row for row in rows if row["kind"] == kind]


def without_times(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def test_every_task_left_its_row_and_its_weights(run, rows):
    networks, pairs = of_kind(rows, "network"), of_kind(rows, "pair")
    assert (len(networks), len(pairs), len(of_kind(rows, "run"))) == (6, 15, 1)
    files = sorted(path.stem for path in (run / "networks").iterdir())
    assert files == sorted(row["name"] for row in networks)
    assert sum(bool(row["profiles"]) for row in pairs) == 8
    for row in pairs:
        assert set(row["profiles"]) <= {"raw", "normalised", "aligned", "both", "geodesic"}


def test_rows_carry_config_seed_versions_and_time(rows):
    for row in of_kind(rows, "network") + of_kind(rows, "pair"):
        assert row["study"] == "small"
        assert row["versions"]["torch"] == torch.__version__
        assert row["seconds"] > 0
        assert row["config"]
        assert row["seed"] is not None
    (final,) = of_kind(rows, "run")
    assert final["config"]["name"] == "small"


def test_the_numbers_follow_from_the_stored_weights(run, rows, config):
    """Every measurement of one pair, recomputed from the files through the public functions."""
    data = td.data.digits(config.data.train, config.data.seed)
    model = td.models.fully_connected([64, 12, 10])
    row = next(row for row in of_kind(rows, "pair") if row["profiles"])
    a, b = (td.load_params(run / "networks" / f"{row[side]}.safetensors") for side in "ab")
    group = td.fully_connected_group(a, output="classifier")
    alignment = td.align(group, b, to=a, method="greedy")
    toroid = td.Toroid(group)
    after = toroid.distance(alignment.reference, alignment.params)
    assert row["distance"]["after"] == pytest.approx(after)
    path = toroid.geodesic(alignment.reference, alignment.params)
    curve = td.profile(model, path, data.train, 3)
    assert row["profiles"]["geodesic"]["error"] == curve.error.tolist()
    moved = td.Line(a, group.apply(alignment.element, b))
    assert (
        row["profiles"]["aligned"]["error"]
        == td.profile(model, moved, data.train, 3).error.tolist()
    )
    for network in of_kind(rows, "network"):
        if network["name"] == row["a"]:
            assert network["test_error"] == td.evaluate(model, a, data.test).error
            energy = td.local_energy(model, a, data.train, (0.0, 0.5), samples=3)
            assert network["flatness"]["increase"] == energy.increase.tolist()


def test_all_five_paths_start_and_end_at_the_same_errors(rows):
    for row in of_kind(rows, "pair"):
        for end in (0, -1):
            errors = {profile["error"][end] for profile in row["profiles"].values()}
            assert len(errors) <= 1


def test_the_same_study_gives_the_same_numbers(config, rows, tmp_path):
    again = read_rows(run_study(config, tmp_path / "again"))
    assert without_times(again) == without_times(rows)


def test_progress_counts_every_task(config, tmp_path):
    steps = []
    run_study(config, tmp_path / "p", lambda text, done, total: steps.append((text, done, total)))
    assert [step[1:] for step in steps] == [(done, 21) for done in range(1, 22)]
    assert steps[0][0].startswith("sgd-0: ")


def test_a_wrong_symmetry_stops_the_study(config, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "verify", lambda *_: math.nan)
    with pytest.raises(td.ToroidsError, match="changes the network's outputs by nan"):
        run_study(config, tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_threads_are_as_before(config, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run_study(config, tmp_path / "t")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_every_task_runs_on_one_thread(config, tmp_path):
    seen = []
    run_study(config, tmp_path / "o", lambda *_: seen.append(torch.get_num_threads()))
    assert set(seen) == {1}


def test_networks_that_diverge_are_recorded_and_the_study_goes_on(tmp_path):
    solvers = {
        "sgd": {"method": "sgd", "budget": 2},
        "wild": {"method": "sgd", "budget": 2, "lr": 1e6},
        "adam": {"method": "adam", "budget": 2},
    }
    deep = {"hidden": [64, 64, 64]}
    config = StudyConfig.model_validate({**SMALL, "solvers": solvers, "network": deep})
    folder = run_study(config, tmp_path / "run")
    rows = read_rows(folder)
    diverged = of_kind(rows, "diverged")
    assert diverged
    for row in diverged:
        assert row["solver"] == "wild"
        assert "the loss is NaN or infinite in epoch" in row["note"]
        assert row["seed"] is not None
    measured = {row["name"] for row in of_kind(rows, "network")}
    assert len(measured) + len(diverged) == 9
    gone = {row["name"] for row in diverged}
    assert not any(gone & {row["a"], row["b"]} for row in of_kind(rows, "pair"))
    page = write_report(folder).read_text()
    assert "not measured, because they diverged: wild-" in page


def test_a_study_of_nothing_but_divergence_says_so(tmp_path):
    solvers = {"wild": {"method": "sgd", "budget": 1, "lr": 1e6}}
    deep = {"hidden": [64, 64, 64]}
    config = StudyConfig.model_validate({**SMALL, "solvers": solvers, "network": deep})
    with pytest.raises(ToroidsError, match="every network of the study diverged"):
        run_study(config, tmp_path / "run")
