import shutil

import pytest
import torch
from small_study import without_times

from toroids.errors import ParamsError, ToroidsError
from toroids.params import load_params
from toroids.study.listing import list_runs
from toroids.study.opened import open_run
from toroids.study.rows import read_rows
from toroids.study.sealed import read_sealed, write_sealed


def test_runs_are_listed_with_how_far_they_are(run, tmp_path):
    for name in ("done", "broken"):
        shutil.copytree(run, tmp_path / name)
    next((tmp_path / "done" / "results").iterdir()).unlink()
    (tmp_path / "broken" / "run.json").write_text("{")
    (tmp_path / "other").mkdir()
    broken, done = list_runs(tmp_path)
    assert (done.study, done.tasks, done.done, done.finished) == ("small", 28, 27, True)
    assert "is damaged" in broken.note
    with pytest.raises(ToroidsError, match="there is no folder"):
        list_runs(tmp_path / "gone")


@pytest.mark.parametrize("content", [[1], {}, {"format": 2}, {"format": 2, "study": "small"}])
def test_a_manifest_that_is_something_else_is_told(content, tmp_path):
    write_sealed(tmp_path / "r" / "run.json", content)
    (listed,) = list_runs(tmp_path)
    assert "does not describe a run; run the study again" in listed.note
    with pytest.raises(ToroidsError, match="does not describe a run"):
        open_run(tmp_path / "r")


def test_one_run_that_cannot_be_read_does_not_hide_the_others(finished, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_bytes((finished / "run.json").read_bytes())
    (tmp_path / "broken" / "results").write_text("no folder")
    broken, done = list_runs(tmp_path)
    assert "Not a directory" in broken.note
    assert done.done == 28


def test_a_study_that_this_toroids_does_not_know_is_told(finished):
    manifest = read_sealed(finished / "run.json")
    manifest["config"]["invented"] = 1
    write_sealed(finished / "run.json", manifest)
    for read in (open_run, read_rows):
        with pytest.raises(ToroidsError, match="a study that this toroids does not know"):
            read(finished)


def test_a_setting_that_came_later_has_its_default(finished, rows):
    manifest = read_sealed(finished / "run.json")
    del manifest["config"]["claims"]
    write_sealed(finished / "run.json", manifest)
    assert without_times(read_rows(finished)) == without_times(rows)


def test_an_opened_run_gives_back_what_was_measured(run, rows, config):
    opened = open_run(run)
    assert opened.config == config
    assert opened.rows == rows
    assert opened.folder == run
    params = opened.params("mlp-sgd-1")
    assert opened.model("mlp").state_dict().keys() == params.keys()
    assert opened.group("mlp").shapes.keys() == params.keys()
    assert len(opened.data().train[1]) == 100


def test_what_a_run_does_not_have(run):
    opened = open_run(run)
    with pytest.raises(ToroidsError, match="has no network 'mlp-sgd-9'"):
        opened.params("mlp-sgd-9")
    with pytest.raises(ToroidsError, match="no group of an architecture 'x'"):
        opened.group("x")
    with pytest.raises(ToroidsError, match="has no architecture 'x'; choose from mlp"):
        opened.model("x")


def test_weights_of_a_run_that_became_a_pickle_are_refused(finished, tmp_path):
    (path, *_) = sorted((finished / "networks").glob("mlp-sgd-0-*"))
    torch.save(load_params(path), tmp_path / "pickle")
    (tmp_path / "pickle").replace(path)
    with pytest.raises(ParamsError, match="is a pickle, which could execute code; convert it"):
        open_run(finished).params("mlp-sgd-0")
