import sys

import pytest
from small_study import SMALL

from toroids.design.config import StudyConfig
from toroids.errors import ToroidsError
from toroids.study import estimate, work


def by_kind(works):
    return {work.kind: work for work in works}


def test_a_new_study_is_counted(config, tmp_path):
    works = by_kind(estimate(config, tmp_path / "new"))
    assert {kind: work.tasks for kind, work in works.items()} == {
        "symmetry": 1,
        "train": 6,
        "measure": 6,
        "pair": 15,
    }
    assert all(work.done == 0 and work.basis == "counted" for work in works.values())
    assert works["symmetry"].seconds is None
    assert works["symmetry"].left == 0
    assert works["train"].left == 6 * works["train"].seconds > 0
    assert not (tmp_path / "new").exists()


def test_more_work_takes_longer(config, tmp_path, monkeypatch):
    monkeypatch.setattr(work, "_timed", lambda *_: 1.0)  # a pass takes a second
    more = {**SMALL, "flatness": {"sigmas": [0.5], "samples": 3000}, "bends": {"count": 2}}
    before = by_kind(estimate(config, tmp_path))
    after = by_kind(estimate(StudyConfig.model_validate(more), tmp_path))
    assert after["measure"].seconds - before["measure"].seconds == 3000 - 6
    assert after["bend"].tasks == 4
    assert after["bend"].seconds > 2000
    # two mini-batches an epoch, and an evaluation; from the start also of its two epochs
    assert before["train"].seconds == pytest.approx(((3 * 2 + 3) + (2 * 2 + 2) + (3 * 2 + 3)) / 2)


def test_a_run_tells_how_long_tasks_take(run, rows, config):
    works = by_kind(estimate(config, run))
    assert all(work.done == work.tasks and work.left == 0 for work in works.values())
    assert all(work.basis == "measured" for work in works.values())
    seconds = sorted(row.seconds for row in rows if row.kind == "pair")
    assert works["pair"].seconds == seconds[7]


def test_what_is_no_run_is_refused(config, tmp_path):
    (tmp_path / "measurements.jsonl").write_text("")
    with pytest.raises(ToroidsError, match="earlier toroids"):
        estimate(config, tmp_path)


@pytest.mark.parametrize("failure", ["raise KeyError('of mine')", "raise SystemExit('of mine')"])
def test_a_network_of_ones_own_that_fails_is_told(failure, tmp_path, monkeypatch):
    (tmp_path / "failing_networks.py").write_text(f"def make(seed):\n    {failure}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "failing_networks", raising=False)
    networks = {"x": {"model": "custom", "callable": "failing_networks:make"}}
    study = StudyConfig.model_validate({**SMALL, "networks": networks})
    with pytest.raises(
        ToroidsError, match=r"networks\.x cannot be run .*networks.py, line 2: .*of"
    ):
        estimate(study, tmp_path / "r")
