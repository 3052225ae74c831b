import pytest
import torch

from toroids.design.task import Outcome, Task
from toroids.errors import ToroidsError
from toroids.statistics.row import plain
from toroids.study.complete import Manifest
from toroids.study.plan import make_plan
from toroids.study.sealed import write_sealed
from toroids.study.store import MANIFEST, Store, described, tasks_of, versions

TASK = Task("train", "mlp-sgd-0", '{"lr":0.1}')
ROW = {
    "architecture": "mlp", "name": "mlp-sgd-0", "solver": "sgd", "seed": 0, "config": {},
    "ended": "budget", "epochs": 1, "gradient_steps": 1, "history": [], "seconds": 0.5,
}  # fmt: skip


MANIFEST_OF = {
    "format": 2, "versions": {}, "study": "s", "config": {}, "failures": [], "machine": "m",
    "engine": "e", "workers": 1, "seconds": 0.5, "finished": True,
}  # fmt: skip


def outcome(value=1.0):
    params = {"w": torch.full((3,), value)}
    return Outcome({**ROW, "seconds": value}, params)


def kept(folder, value=1.0):
    with Store(folder) as store:
        store.describe({})
        store.keep(TASK, outcome(value))
    return store


def test_results_and_weights_come_back(tmp_path):
    store = kept(tmp_path / "r")
    assert store.result(TASK, thorough=True).seconds == 1.0
    assert store.weights(TASK).name.startswith("mlp-sgd-0-")
    other = Task("train", "mlp-sgd-0", '{"lr":0.2}')
    assert store.result(other) is None
    assert store.weights(other) is None


def test_a_name_follows_from_what_determines_the_result():
    assert TASK.id == Task("train", "another label", '{"lr":0.1}').id
    different = {
        TASK.id,
        Task("measure", "x", '{"lr":0.1}').id,
        Task("train", "x", '{"lr":0.2}').id,
        Task("train", "x", '{"lr":0.1}', ("a",)).id,
        Task("train", "x", '{"lr":0.1}', ("a", "b")).id,
        Task("train", "x", '{"lr":0.1}', ("b", "a")).id,
    }
    assert len(different) == 6


@pytest.mark.parametrize("part", ["results", "networks"])
@pytest.mark.parametrize("damage", [lambda c: c[:-7], lambda c: b"", lambda c: b"x" + c])
def test_what_is_damaged_is_to_be_done_again(tmp_path, part, damage):
    store = kept(tmp_path / "r")
    (path,) = (tmp_path / "r" / part).iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert store.result(TASK, thorough=True) is None
    kept(tmp_path / "r", 2.0)
    assert store.result(TASK, thorough=True).seconds == 2.0


def test_weights_that_are_gone_are_to_be_done_again(tmp_path):
    store = kept(tmp_path / "r")
    store.weights(TASK).unlink()
    assert store.result(TASK, thorough=True) is None


def test_results_and_weights_of_another_task_are_noticed(tmp_path):
    store, other = kept(tmp_path / "r"), Task("train", "mlp-sgd-1", '{"lr":0.1,"seed":1}')
    with store:
        store.keep(other, outcome(3.0))
    first, second = store.weights(TASK), store.weights(other)
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    assert store.result(TASK, thorough=True) is None
    first.write_bytes(content)
    assert store.result(TASK, thorough=True).seconds == 1.0
    results = {task: tmp_path / "r" / "results" / f"{task.id}.json" for task in (TASK, other)}
    results[other].rename(results[TASK])
    assert store.result(TASK) is store.weights(TASK) is store.seal(TASK) is None


def test_what_was_computed_from_other_weights_is_to_be_done_again(tmp_path):
    with Store(tmp_path / "r") as store:
        store.keep(TASK, outcome(), inputs=[None, "a"])
    assert store.result(TASK) == store.result(TASK, inputs=[None, "a"])
    assert store.result(TASK, inputs=[None, "b"]) is None


@pytest.mark.parametrize("content", [[1], {}, None, {"task": TASK.id}])
def test_a_result_that_is_something_else_is_to_be_done_again(content, tmp_path):
    store = kept(tmp_path / "r")
    write_sealed(tmp_path / "r" / "results" / f"{TASK.id}.json", content)
    assert store.result(TASK) is store.weights(TASK) is None


def test_a_pickle_in_place_of_weights_is_to_be_done_again(tmp_path):
    store = kept(tmp_path / "r")
    torch.save({"w": torch.ones(3)}, store.weights(TASK))
    assert store.result(TASK, thorough=True) is None


def test_two_runs_at_once_are_refused(tmp_path):
    with Store(tmp_path / "r") as store:
        with pytest.raises(ToroidsError, match="another study is writing"), Store(tmp_path / "r"):
            pass
        store.keep(TASK, outcome())
    with Store(tmp_path / "r"):
        pass


def test_what_a_killed_write_left_is_removed_and_nothing_else(tmp_path):
    kept(tmp_path / "r")
    for place in (
        "results/.x.json-abcd123_.tmp", "networks/.y-abcdefgh.tmp", ".run.json-01234567.tmp"
    ):  # fmt: skip
        (tmp_path / "r" / place).write_text("half")
    (tmp_path / "r" / "notes.txt").write_text("mine")
    mine = [".notes-abcdefgh.tmp", ".notes.tmp", "results/.notes.tmp", "results/notes.tmp"]
    for name in mine:
        (tmp_path / "r" / name).write_text("mine")
    with Store(tmp_path / "r"):
        pass
    left = sorted(str(path.relative_to(tmp_path / "r")) for path in (tmp_path / "r").rglob("*.tmp"))
    assert left == mine
    assert (tmp_path / "r" / "notes.txt").read_text() == "mine"


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ToroidsError, match="holds `thesis.tex` and is no run"), Store(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "name",
    ["run.json", "derived.json", ".draft.tmp", ".draft-abcdefgh.tmp", ".lock", "results/a.json",
     "results/b", "networks/c"],
)  # fmt: skip
def test_a_folder_is_no_run_by_its_names(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text('{"mine": 1}')
    with pytest.raises(ToroidsError, match=f"holds `{name}` and is no run"), Store(tmp_path):
        pass
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]
    assert (tmp_path / name).read_text() == '{"mine": 1}'


def test_a_run_that_was_killed_before_its_first_file_is_gone_on_with(tmp_path):
    with Store(tmp_path / "r"):
        (tmp_path / "r" / "networks").mkdir()
        (tmp_path / "r" / ".run.json-abcdefgh.tmp").write_text("half")
    kept(tmp_path / "r")
    assert not list((tmp_path / "r").glob("*.tmp"))


def test_places_that_cannot_be_a_run(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ToroidsError, match="exists and is not a folder"), Store(tmp_path / "file"):
        pass
    with pytest.raises(ToroidsError, match="name a folder below it"):
        Store("/")
    with pytest.raises(ToroidsError, match="its path is not UTF-8"):
        Store("\udcff")
    with pytest.raises(ToroidsError, match="holds no run"):
        Store(tmp_path).manifest()
    with pytest.raises(ToroidsError, match="is not a folder"):
        Store(tmp_path / "file").manifest()


def everything(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path: path.read_bytes() for path in files}


@pytest.mark.parametrize("of_manifest", [True, False])
@pytest.mark.parametrize(
    ("stamp", "message"),
    [
        ({"format": 99}, "has format 99, this toroids writes 2; nothing was changed"),
        (
            {"versions": {**versions(), "torch": "1.0"}},
            "computed with torch 1.0, this is torch ",
        ),
    ],
)
def test_a_run_of_other_versions_is_refused_and_kept(tmp_path, of_manifest, stamp, message):
    folder = tmp_path / "r"
    content = {"format": 2, "versions": versions(), "row": {}, **stamp}
    write_sealed(folder / (MANIFEST if of_manifest else f"results/{TASK.id}.json"), content)
    before = everything(folder)
    with pytest.raises(ToroidsError, match=message), Store(folder):
        pass
    assert everything(folder) == before


def test_a_run_of_the_first_toroids_is_refused_and_kept(tmp_path):
    (tmp_path / "measurements.jsonl").write_text('{"kind": "run"}\n')
    (tmp_path / "networks").mkdir()
    for use in (lambda: Store(tmp_path).__enter__(), lambda: Store(tmp_path).manifest()):
        with pytest.raises(ToroidsError, match="was written by an earlier toroids"):
            use()
    assert (tmp_path / "measurements.jsonl").read_text() == '{"kind": "run"}\n'


def test_a_damaged_manifest_is_no_obstacle_to_going_on(tmp_path):
    store = kept(tmp_path / "r")
    (tmp_path / "r" / MANIFEST).write_text("{")
    with Store(tmp_path / "r"):
        pass
    assert store.result(TASK) is not None
    with pytest.raises(ToroidsError, match="is damaged.*run the study again"):
        store.manifest()


def test_a_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    kept(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert Store(tmp_path / "target").result(TASK) is not None


def test_plain_data():
    values = {"a": torch.tensor([0.5, float("nan")]), 1: (1, float("inf")), "n": None, "b": True}
    assert plain(values) == {"a": [0.5, None], "1": [1, None], "n": None, "b": True}


def test_a_manifest_holds_every_text_once_and_older_ones_are_read(config):
    tasks = tuple(make_plan(config).tasks)
    manifest = described(tasks)
    assert tuple(tasks_of(Manifest.model_validate({**MANIFEST_OF, **manifest}))) == tasks
    texts = [task.settings for task in tasks]
    assert len(manifest["settings"]) == len(set(texts)) < len(tasks)
    older = [{**t, "settings": x} for t, x in zip(manifest["tasks"], texts, strict=True)]
    assert tuple(tasks_of(Manifest.model_validate({**MANIFEST_OF, "tasks": older}))) == tasks


def test_a_lock_that_is_a_link_empties_nothing(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / ".lock").symlink_to(tmp_path / "mine")
    with pytest.raises(ToroidsError, match=r"\.lock` is a link; remove it"), Store(tmp_path / "r"):
        pass
    assert (tmp_path / "mine").read_text() == "mine"
