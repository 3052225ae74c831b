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
    assert json.loads((tmp_path / "r.partial" / ROWS).read_text()) == {"kind": "new"}
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
    with pytest.raises(ToroidsError, match="is not a run of a study"), Run(tmp_path):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_missing_and_damaged_rows_are_named(tmp_path):
    with pytest.raises(ToroidsError, match="holds no measurements.jsonl"):
        read_rows(tmp_path)
    (tmp_path / ROWS).write_text('{"kind": "x"}\n{"kind": \n')
    with pytest.raises(ToroidsError, match="line 2 of .* is not JSON"):
        read_rows(tmp_path)
