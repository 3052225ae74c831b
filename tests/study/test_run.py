import errno
import json
import math
import pickle
import shutil
from dataclasses import replace

import pytest
import torch
from small_study import SMALL, lose, of_kind, without_times, write_toml

import toroids as td
from toroids.design.config import StudyConfig, load_config
from toroids.errors import ToroidsError
from toroids.landscape.joined import WAYS
from toroids.report.page import write_report
from toroids.study import run as run_module
from toroids.study.engines.engine import Finished
from toroids.study.engines.in_process import InProcess
from toroids.study.opened import open_run
from toroids.study.perform import symmetry as symmetry_module
from toroids.study.plan import make_plan
from toroids.study.rows import read_rows
from toroids.study.run import run_study
from toroids.study.sealed import read_sealed, write_sealed
from toroids.study.store import Store
from toroids.study.tables import make_tables

PAIR = "mlp-sgd-1 ~ mlp-start-0"


def changed(**values):
    return StudyConfig.model_validate({**SMALL, **values})


def done_by(config, folder, **options):
    """The labels of the tasks that a call of run_study does, by kind."""
    engine = Counting()
    run_study(config, folder, engine=engine, **options)
    return engine.tasks


class Counting(InProcess):
    def __init__(self):
        super().__init__()
        self.tasks = []

    def submit(self, job):
        self.tasks.append((job.task.kind, job.task.label))
        super().submit(job)


def test_every_task_left_its_row_and_its_weights(run, rows):
    networks, pairs = of_kind(rows, "network"), of_kind(rows, "pair")
    assert (len(networks), len(pairs), len(of_kind(rows, "run"))) == (6, 15, 1)
    files = sorted(path.stem.rpartition("-")[0] for path in (run / "networks").iterdir())
    assert files == sorted(row.name for row in networks)
    assert sum(bool(row.profiles) for row in pairs) == 8
    for row in pairs:
        assert set(row.profiles) <= set(WAYS)
    assert len(of_kind(rows, "claim")) == 8


def test_rows_carry_settings_seeds_versions_and_times(run, rows):
    lines = map(json.loads, (run / "measurements.jsonl").read_text().splitlines())
    assert [line["kind"] for line in lines if line["study"] == "small"] == [r.kind for r in rows]
    for row in of_kind(rows, "network") + of_kind(rows, "pair"):
        assert row.seconds > 0
    for row in of_kind(rows, "network"):
        assert row.config["method"] in ("sgd", "adversarial_sgd")
        assert row.seed in (0, 1, 2)
        assert row.random_seed > 2
    made = rows[-1]
    assert made.kind == "run"
    assert made.config["name"] == "small"
    assert made.versions["torch"] == torch.__version__
    assert made.finished is True
    assert made.done == sum(made.tasks.values()) == 28
    assert set(made.task_seconds) == {"symmetry", "train", "measure", "pair"}


def test_the_numbers_follow_from_the_stored_weights(run, rows, config):
    """Every measurement of one pair, recomputed from the files through the public functions."""
    opened = open_run(run)
    data, model, group = opened.data(), opened.model("mlp"), opened.group("mlp")
    row = next(row for row in of_kind(rows, "pair") if row.profiles)
    a, b = (opened.params(name) for name in (row.a, row.b))
    alignment = td.align(group, b, to=a)
    toroid = td.Toroid(group)
    after = toroid.distance(alignment.reference, alignment.params)
    assert row.distance.after == pytest.approx(after)
    path = toroid.geodesic(alignment.reference, alignment.params)
    curve = td.profile(td.Landscape(model, data.train), path, 3)
    assert row.profiles["geodesic"].error == curve.error.tolist()
    moved = td.geometry.Line(a, group.apply(alignment.element, b))
    found = td.profile(td.Landscape(model, data.train), moved, 3).error.tolist()
    assert row.profiles["aligned"].error == found
    for network in of_kind(rows, "network"):
        if network.name == row.a:
            assert network.test_error == td.evaluate(model, a, data.test).error
            canonical, toroid = td.canonicalize(group, a), td.Toroid(group)
            energy = td.local_energy(
                td.Landscape(model, data.train, on=toroid), canonical, (0.0, 0.5), 3
            )
            assert network.flatness.increase == energy.increase.tolist()


def test_all_five_paths_start_and_end_at_the_same_errors(rows):
    for row in of_kind(rows, "pair"):
        for end in (0, -1):
            errors = {profile.error[end] for profile in row.profiles.values()}
            assert len(errors) <= 1


def test_the_same_study_gives_the_same_numbers_and_progress_counts_every_task(
    config, rows, tmp_path
):
    steps = []
    run_study(config, tmp_path / "p", lambda text, done, total: steps.append((text, done, total)))
    assert without_times(read_rows(tmp_path / "p")) == without_times(rows)
    assert [step[1:] for step in steps] == [(done, 28) for done in range(1, 29)]
    assert steps[0][0].startswith("mlp: symmetries proven to ")
    assert steps[1][0].startswith("mlp-sgd-0: ")


def test_what_is_done_is_not_done_again(config, finished, tmp_path):
    assert done_by(config, tmp_path / "r") == []
    finer = changed(flatness={"sigmas": [0.0, 0.1, 0.5], "samples": 3})
    assert {kind for kind, _ in done_by(finer, tmp_path / "r")} == {"measure"}
    assert done_by(config, tmp_path / "r") == []  # what another study needed was kept
    none_across = {"points": 3, "across": 0}
    again = done_by(changed(profiles=none_across), tmp_path / "r")
    assert [kind for kind, _ in again] == ["pair", "pair"]
    found = done_by(changed(profiles=none_across, seeds=[0, 1, 2, 3]), tmp_path / "r")
    assert all("-3" in label for _, label in found)
    assert len(found) == 2 + 2 + (28 - 15)
    assert done_by(config, tmp_path / "r") == []  # and nothing of the first study was lost


def test_only_what_was_damaged_is_done_again(config, rows, finished):
    folder = finished
    results, networks = (sorted((folder / name).iterdir()) for name in ("results", "networks"))
    pair = next(path for path in results if path.name.startswith("pair"))
    measure = next(path for path in results if path.name.startswith("measure"))
    pair.write_bytes(pair.read_bytes()[:-20])
    measure.unlink()
    content = bytearray(networks[0].read_bytes())
    content[-3] ^= 4
    networks[0].write_bytes(content)
    (folder / "derived.json").write_text("{}")
    (folder / "run.json").write_bytes(b"\0\0")
    again = done_by(config, folder)
    assert sorted(kind for kind, _ in again) == ["measure", "pair", "train"]
    assert ("train", networks[0].stem.rpartition("-")[0]) in again
    assert without_times(read_rows(folder)) == without_times(rows)


def test_a_run_whose_results_hold_no_checksums_is_gone_on_with(config, rows, finished):
    """As runs that began with an earlier toroids of the same format."""
    folder = finished
    for path in (folder / "results").iterdir():
        content = read_sealed(path)
        kept = {key: content[key] for key in content if key not in ("inputs", "seal")}
        write_sealed(path, kept)
    assert done_by(config, folder) == []
    pair = next(path for path in (folder / "results").iterdir() if path.name.startswith("pair"))
    pair.unlink()
    assert [kind for kind, _ in done_by(config, folder)] == ["pair"]
    assert without_times(read_rows(folder)) == without_times(rows)


def test_what_was_computed_from_other_weights_is_done_again(rows, tmp_path):
    """A time limit, or a GPU, can give a network that was lost other weights than it had."""
    from toroids.solvers import session

    timed = {"sgd": {"method": "sgd", "budget": 3, "seconds": 1000.0}}
    config = changed(solvers=timed)
    folder = run_study(config, tmp_path / "r")
    lost = next(path for path in (folder / "networks").iterdir() if "sgd-1" in path.name)
    content = lost.read_bytes()
    lost.unlink()
    assert done_by(config, folder) == [("train", "mlp-sgd-1")]  # to the same weights
    assert lost.read_bytes() == content
    lost.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session.Session, "seconds", 2000.0)
        again = done_by(config, folder)
    assert again[0] == ("train", "mlp-sgd-1")
    assert len(again) == 1 + 1 + 2
    assert all("mlp-sgd-1" in label for _, label in again)
    assert done_by(config, folder) == []


def test_rows_can_be_read_while_the_study_runs(config, rows, tmp_path):
    seen = []

    def look(text, done, total):
        found = read_rows(tmp_path / "r")
        assert found[-1].finished is False
        seen.append((found[-1].done, len(of_kind(found, "network")), len(found)))

    run_study(config, tmp_path / "r", look)
    assert [done for done, *_ in seen] == list(range(1, 29))
    assert [networks for _, networks, _ in seen][::9] == [0, 3, 6, 6]
    page = write_report(tmp_path / "r").read_text()
    assert "mlp-sgd-0" in page or "sgd-0" in page


def test_a_full_disk_is_said_and_loses_nothing(config, rows, tmp_path, monkeypatch):
    keep, room = Store.keep, 11

    def full(self, *kept):
        nonlocal room
        room -= 1
        if room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return keep(self, *kept)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "keep", full)
        with pytest.raises(ToroidsError, match="the disk is full: .*free some space and give the"):
            run_study(config, tmp_path / "r")
    assert read_rows(tmp_path / "r")[-1].done == 11
    assert len(done_by(config, tmp_path / "r")) == 28 - 11
    assert without_times(read_rows(tmp_path / "r")) == without_times(rows)


@pytest.mark.parametrize("written", ["describe", "write_rows"])
def test_a_disk_that_is_full_at_the_end_is_said_too(written, config, rows, finished, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    lose(finished, ("pair", PAIR))
    with monkeypatch.context() as patch:
        patch.setattr(Store, written, full)
        with pytest.raises(ToroidsError, match="the disk is full: .*free some space and give the"):
            run_study(config, finished)
    run_study(config, finished)
    assert without_times(read_rows(finished)) == without_times(rows)


@pytest.mark.parametrize("part", ["", "results", "networks"])
def test_a_run_that_is_deleted_while_it_runs_says_so(part, config, rows, tmp_path):
    def delete(text, done, total):
        if done == 10:
            shutil.rmtree(tmp_path / "r" / part)

    with pytest.raises(ToroidsError, match="is gone from .* give the same command again"):
        run_study(config, tmp_path / "r", delete)
    run_study(config, tmp_path / "r")
    assert without_times(read_rows(tmp_path / "r")) == without_times(rows)


class Faulty(InProcess):
    """Fails, or loses the worker of, tasks with a label."""

    def __init__(self, label, error="", died="", times=math.inf):
        super().__init__()
        self.label, self.answer, self.times, self.begun = label, (error, died), times, 0

    def next(self):
        if self._jobs[0].task.label == self.label:
            self.begun += 1
            if self.begun <= self.times:
                error, died = self.answer
                return Finished(self._jobs.popleft(), error=error, died=died)
        return super().next()


def test_a_task_that_fails_does_not_end_the_others(config, rows, tmp_path):
    engine = Faulty("mlp-sgd-1", error="there is a trick in it.")
    with pytest.raises(
        ToroidsError, match=r"1 of 28 tasks failed.*mlp-sgd-1 \(train\): there is a"
    ):
        run_study(config, tmp_path / "r", engine=engine)
    assert engine.begun == 1  # it would fail again
    found = read_rows(tmp_path / "r")
    (failed,) = of_kind(found, "failed")
    assert (failed.label, failed.note) == ("mlp-sgd-1", "there is a trick in it.")
    assert found[-1].finished is False
    assert (len(of_kind(found, "network")), len(of_kind(found, "pair"))) == (5, 10)
    write_report(tmp_path / "r")
    assert len(done_by(config, tmp_path / "r")) == 1 + 1 + 5
    assert without_times(read_rows(tmp_path / "r")) == without_times(rows)


def test_a_result_of_another_kind_is_a_task_that_fails(config, tmp_path):
    class Wrong(InProcess):
        def next(self):
            finished = super().next()
            if finished.job.task.label == "mlp-sgd-1 ~ mlp-start-0":
                outcome = replace(finished.outcome, row={"kind": "pair", "measures": None})
                return replace(finished, outcome=outcome)
            return finished

    with pytest.raises(ToroidsError, match="1 of 28 tasks failed.*no result of the kind pair"):
        run_study(config, tmp_path / "r", engine=Wrong())
    assert len(of_kind(read_rows(tmp_path / "r"), "pair")) == 14


def test_a_task_whose_worker_died_is_begun_again(config, rows, finished):
    lose(finished, ("pair", PAIR))
    engine = Faulty(PAIR, died="its worker was killed", times=2)
    run_study(config, finished, engine=engine)
    assert engine.begun == 3
    assert without_times(read_rows(finished)) == without_times(rows)


def test_a_task_that_kills_every_worker_is_given_up(config, finished):
    lose(finished, ("pair", PAIR))
    engine = Faulty(PAIR, died="its worker was killed")
    with pytest.raises(ToroidsError, match="its worker was killed, 2 times"):
        run_study(config, finished, engine=engine, retries=1)
    assert engine.begun == 2


def test_a_killed_training_goes_on_from_its_checkpoint(config, rows, tmp_path, monkeypatch):
    """A solver that is interrupted after its second epoch leaves two epochs behind."""
    from toroids.files import resume
    from toroids.solvers import session

    class Killed(BaseException):
        pass

    count, draw = 0, session.minibatches

    def drawing(*arguments):
        nonlocal count
        count += 1
        if count == 3:
            raise Killed
        return draw(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(session, "minibatches", drawing)
        patch.setattr(resume, "SHARE", 1)  # as often as it can
        with pytest.raises(Killed):
            run_study(config, tmp_path / "r")
    assert len(list((tmp_path / "r" / "checkpoints").iterdir())) == 1
    count = 3
    with monkeypatch.context() as patch:
        patch.setattr(session, "minibatches", drawing)
        run_study(config, tmp_path / "r")
    epochs = sum(row.epochs for row in of_kind(rows, "network")) + 3 * 2  # adversarial starts
    assert count - 3 == epochs - 2
    assert without_times(read_rows(tmp_path / "r")) == without_times(rows)
    assert list((tmp_path / "r" / "checkpoints").iterdir()) == []


class Malicious:
    def __reduce__(self):
        return pytest.fail, ("it was executed",)


@pytest.mark.parametrize("content", [b"", b"nonsense", pickle.dumps(Malicious()), "another"])
def test_a_checkpoint_that_cannot_be_used_is_thrown_away(content, config, rows, finished):
    if content == "another":
        model, data = td.models.fully_connected((64, 12, 10)), td.data.digits(100)
        other = finished.with_name("a.pt")
        td.solvers.SGD(budget=1).train(lambda _: model, data.train, 1, checkpoint=other)
        content = other.read_bytes()
    lost = [("train", "mlp-sgd-1"), ("train", "mlp-start-1")]
    lose(finished, *lost)
    for task in make_plan(config).of_kind("train"):
        if ("train", task.label) in lost:
            Store(finished).checkpoint(task).write_bytes(content)
    assert done_by(config, finished) == lost
    assert without_times(read_rows(finished)) == without_times(rows)
    assert list((finished / "checkpoints").iterdir()) == []


def test_a_wrong_symmetry_stops_the_study(config, tmp_path, monkeypatch):
    monkeypatch.setattr(symmetry_module, "verify", lambda *_: math.nan)
    with pytest.raises(td.ToroidsError, match="changes the network's outputs by nan"):
        run_study(config, tmp_path / "w")
    assert of_kind(read_rows(tmp_path / "w"), "pair") == []


def test_threads_are_as_before(config, finished):
    lose(finished, ("pair", PAIR))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert done_by(config, finished) == [("pair", PAIR)]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_networks_that_diverge_are_recorded_and_the_study_goes_on(tmp_path):
    solvers = {
        "sgd": {"method": "sgd", "budget": 2},
        "wild": {"method": "sgd", "budget": 2, "lr": 1e6},
        "adam": {"method": "adam", "budget": 2},
    }
    deep = {"mlp": {"model": "fully_connected", "hidden": [64, 64, 64]}}
    folder = run_study(changed(solvers=solvers, networks=deep), tmp_path / "run")
    rows = read_rows(folder)
    diverged = of_kind(rows, "diverged")
    assert diverged
    for row in diverged:
        assert row.solver == "wild"
        assert "the loss is NaN or infinite in epoch" in row.note
        assert row.seed is not None
    measured = {row.name for row in of_kind(rows, "network")}
    assert len(measured) + len(diverged) == 9
    gone = {row.name for row in diverged}
    assert not any(gone & {row.a, row.b} for row in of_kind(rows, "pair"))
    assert rows[-1].finished is True
    page = write_report(folder).read_text()
    assert "diverged" in page
    assert done_by(changed(solvers=solvers, networks=deep), folder) == []


def test_a_study_of_nothing_but_divergence_says_so(tmp_path):
    solvers = {"wild": {"method": "sgd", "budget": 1, "lr": 1e6}}
    deep = {"mlp": {"model": "fully_connected", "hidden": [64, 64, 64]}}
    with pytest.raises(ToroidsError, match="every network of the study diverged"):
        run_study(changed(solvers=solvers, networks=deep), tmp_path / "run")


def test_bends_sections_and_several_architectures(tmp_path):
    config = changed(
        seeds=[0, 1],
        data={"name": "digits", "train": 60, "image": True},
        networks={
            "mlp": {"model": "fully_connected", "hidden": [8]},
            "net": {"model": "resnet20", "width": 0.125},
        },
        solvers={"adam": {"method": "adam", "budget": 1}},
        flatness={"sigmas": [0.5], "samples": 2},
        profiles={"points": 2, "across": 1},
        bends={"count": 1, "steps": 3},
    )
    rows = read_rows(run_study(config, tmp_path / "r"))
    assert {row.architecture for row in of_kind(rows, "network")} == {"mlp", "net"}
    assert len(of_kind(rows, "bend")) == 2
    for row in of_kind(rows, "bend"):
        assert len(row.profiles["bend"].t) == 3
    assert len(of_kind(rows, "claim")) == 16
    assert [row.deviation < 1e-8 for row in of_kind(rows, "symmetry")] == [True, True]


def test_a_training_is_followed(tmp_path):
    config = changed(
        seeds=[0],
        data={"name": "digits", "train": 60},
        networks={"mlp": {"model": "fully_connected", "hidden": [8]}},
        solvers={"sgd": {"method": "sgd", "budget": 4}},
        flatness={"sigmas": [0.5], "samples": 2},
        sections={"trajectories": 1, "checkpoints": 3, "resolution": 3},
    )
    folder = run_study(config, tmp_path / "r")
    rows = read_rows(folder)
    [row], [network] = of_kind(rows, "trajectory"), of_kind(rows, "network")
    assert row.epochs == [0, 2, 4] and row.name == "mlp-sgd-0"
    assert row.errors == pytest.approx(
        [row.errors[0], network.history[1].error, network.train_error]
    )
    assert row.points[-1] == [0, 0] and row.away == pytest.approx([0] * 3, abs=1e-5)
    assert [line["epoch"] for line in make_tables(rows)["trajectories"]] == [0, 2, 4]
    assert "Trajectories: the train error on the plane" in write_report(folder).read_text()


def test_a_binary_study(tmp_path):
    config = changed(
        data={"name": "digits", "train": 60},
        networks={"mlp": {"model": "binary_fully_connected", "hidden": [9], "threshold": 0.5}},
        flatness={"sigmas": [0.0, 0.1], "samples": 2, "reference": 0.1},
        profiles={"points": 3, "across": 1, "orders": 2, "blocks": 4},
        bends={"count": 1, "steps": 5},
        sections={"count": 1, "resolution": 3},
    )
    rows = read_rows(run_study(config, tmp_path / "r"))
    for row in of_kind(rows, "pair"):
        assert 0 <= row.hamming.after <= row.hamming.before <= 1
        assert set(row.profiles) in (set(), {"flips_raw", "flips", "flips_greedy"})
    (section, _) = of_kind(rows, "section")
    assert section.faces == [[0, 1], [0, 2], [1, 2]]
    opened = open_run(tmp_path / "r")
    first = of_kind(rows, "bend")[0]
    bend = first.profiles["bend"]
    assert (torch.tensor(bend.t).diff() > 0).all()
    model, data = opened.model("mlp"), opened.data()
    ends = [td.evaluate(model, opened.params(s), data.train).error for s in (first.a, first.b)]
    assert [bend.error[0], bend.error[-1]] == pytest.approx(ends)


def test_jobs_that_wait_for_their_inputs_are_never_submitted_early(config, tmp_path):
    class Checking(InProcess):
        slots = 5

        def submit(self, job):
            assert len(job.rows) == len(job.weights) == len(job.task.inputs)
            for row, weights in zip(job.rows, job.weights, strict=True):
                assert ("group" in row) == (weights is None)
            super().submit(job)

    run_study(config, tmp_path / "r", engine=Checking())
    assert run_module.RETRIES == 2
    assert len(make_plan(config).tasks) == 28


def given(folder, **values):
    solver = {"method": "files", "files": f"{folder}/{{seed}}.safetensors"}
    return {**SMALL, "solvers": {"mine": solver}, **values}


def test_networks_that_were_trained_elsewhere(run, tmp_path):
    opened = open_run(run)
    for seed in range(3):
        td.save_params(opened.params(f"mlp-sgd-{seed}"), tmp_path / f"{seed}.safetensors")
    config = StudyConfig.model_validate(given(tmp_path))
    rows = read_rows(run_study(config, tmp_path / "r"))
    theirs = {row.name: row for row in of_kind(opened.rows, "network")}
    for row in of_kind(rows, "network"):
        other = theirs[row.name.replace("mine", "sgd")]
        assert row.test_error == other.test_error
        assert (row.ended, row.epochs, row.history) == ("given", 0, [])
    assert done_by(config, tmp_path / "r") == []
    td.save_params(opened.params("mlp-start-0"), tmp_path / "1.safetensors")
    again = done_by(config, tmp_path / "r")  # what came from that file, and nothing else
    assert ("train", "mlp-mine-1") in again
    assert all("mine-1" in label for _, label in again)


def test_files_of_another_architecture_fail_in_one_sentence(tmp_path):
    for seed in range(3):
        td.save_params({"w": torch.ones(1)}, tmp_path / f"{seed}.safetensors")
    with pytest.raises(ToroidsError, match="3 of 10 tasks failed.*0.safetensors` lacks"):
        run_study(StudyConfig.model_validate(given(tmp_path)), tmp_path / "r")


def test_files_that_are_missing_or_pickles_are_named_at_once(tmp_path):
    torch.save({"w": torch.ones(1)}, tmp_path / "0.safetensors")
    td.save_params({"w": torch.ones(1)}, tmp_path / "1.safetensors")
    write_toml(given(tmp_path), tmp_path / "study.toml")
    with pytest.raises(ToroidsError) as caught:
        load_config(tmp_path / "study.toml")
    text = str(caught.value)
    assert "0.safetensors` is a pickle, which could execute code; convert it" in text
    assert "there is no file" in text
    assert "2.safetensors" in text
    assert "line 5" in text


@pytest.mark.parametrize("options", [{"engine": "processes"}, {"retries": -1}])
def test_engines_by_name_and_negative_retries(config, tmp_path, options):
    with pytest.raises(ToroidsError, match="pass what make_engine gives, and 0 or more"):
        run_study(config, tmp_path / "r", **options)
