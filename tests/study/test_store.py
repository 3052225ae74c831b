import json

import pytest
import torch

from toroids.errors import ToroidsError
from toroids.study.store import ROWS, Run, read_rows


def test_rows_are_read_back(tmp_path):
    with Run(tmp_path / "r") as run:
        run.add({"kind": "x", "values": torch.tensor([0.5, float("nan")]), "pair": (1, 2)})
    assert read_rows(tmp_path / "r") == [{"kind": "x", "values": [0.5, None], "pair": [1, 2]}]


def test_an_interrupted_run_leaves_the_earlier_one(tmp_path):
    folder = tmp_path / "r"
    with Run(folder) as run:
        run.add({"kind": "old"})
    with pytest.raises(KeyboardInterrupt), Run(folder) as run:
        run.add({"kind": "new"})
        raise KeyboardInterrupt
    assert read_rows(folder) == [{"kind": "old"}]
    assert json.loads((tmp_path / ".r.partial" / ROWS).read_text()) == {"kind": "new"}
    with Run(folder) as run:
        run.add({"kind": "newer"})
    assert read_rows(folder) == [{"kind": "newer"}]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] != ".") == ["r"]


def test_two_runs_at_once_are_refused(tmp_path):
    with Run(tmp_path / "r") as run:
        with pytest.raises(ToroidsError, match="another study is writing"), Run(tmp_path / "r"):
            pass
        run.add({"kind": "kept"})
    assert read_rows(tmp_path / "r") == [{"kind": "kept"}]


def test_a_folder_that_is_no_run_is_not_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(ToroidsError, match="holds `thesis.tex`, which no study wrote"),
        Run(tmp_path),
    ):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_neighbours_and_notes_are_kept(tmp_path):
    """Folders with the names that a careless tool would use, and a note inside the run."""
    for name in ("r.old", "r.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("mine")
    with Run(tmp_path / "r") as run:
        run.add({"kind": "first"})
    (tmp_path / "r" / "notes.txt").write_text("mine")
    with pytest.raises(ToroidsError, match="holds `notes.txt`"), Run(tmp_path / "r"):
        pass
    assert read_rows(tmp_path / "r") == [{"kind": "first"}]
    assert len(list(tmp_path.rglob("notes.txt"))) == 3


def test_a_note_written_while_the_study_runs_is_kept(tmp_path):
    with Run(tmp_path / "r") as run:
        run.add({"kind": "first"})
    with pytest.raises(ToroidsError, match="holds `notes.txt`"), Run(tmp_path / "r") as run:
        (tmp_path / "r" / "notes.txt").write_text("mine")
    assert (tmp_path / "r" / "notes.txt").read_text() == "mine"
    assert read_rows(tmp_path / "r") == [{"kind": "first"}]


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path, monkeypatch):
    with Run(tmp_path / "r") as run:
        run.add({"kind": "first"})

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    run = Run(tmp_path / "r").__enter__()
    with monkeypatch.context() as patch:
        (tmp_path / "r").rename(tmp_path / ".r.old")
        patch.setattr("pathlib.Path.rename", killed)
        with pytest.raises(Killed):
            run.__exit__(None, None, None)
    assert not (tmp_path / "r").exists()
    with pytest.raises(KeyboardInterrupt), Run(tmp_path / "r"):
        raise KeyboardInterrupt
    assert read_rows(tmp_path / "r") == [{"kind": "first"}]


def test_a_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for kind in ("first", "second"):
        with Run(tmp_path / "link") as run:
            run.add({"kind": kind})
    assert (tmp_path / "link").is_symlink()
    assert read_rows(tmp_path / "target") == [{"kind": "second"}]


def test_places_that_cannot_be_a_run(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ToroidsError, match="exists and is not a folder"), Run(tmp_path / "file"):
        pass
    with pytest.raises(ToroidsError, match="name a folder below it"):
        Run("/")


def test_missing_and_damaged_rows_are_named(tmp_path):
    with pytest.raises(ToroidsError, match="holds no measurements.jsonl"):
        read_rows(tmp_path)
    (tmp_path / ROWS).write_text('{"kind": "x"}\n{"kind": \n')
    with pytest.raises(ToroidsError, match="line 2 of .* is not JSON"):
        read_rows(tmp_path)
    (tmp_path / ROWS).write_text('{"kind": "x"}\n3\n')
    with pytest.raises(ToroidsError, match="line 2 of .* is not a row"):
        read_rows(tmp_path)
    (tmp_path / ROWS).write_bytes(b"\xff\xfe")
    with pytest.raises(ToroidsError, match="is not text"):
        read_rows(tmp_path)
