import os

import pytest

from toroids.errors import ToroidsError
from toroids.study.engines import cores
from toroids.study.engines.choose import make_engine
from toroids.study.engines.cores import usable_cores


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("threads",), "there is no engine 'threads'; choose from in-process, processes, ray"),
        (("processes", 0), "workers is 0; expected at least 1"),
        (("in-process", 2), "workers is 2 but the engine is in-process; it is for processes"),
        (("ray", 2), "workers is 2 but the engine is ray; it is for processes"),
        (
            ("processes", None, "auto"),
            "address is `auto` but the engine is processes; it is for ray",
        ),
        (
            ("in-process", None, None, 0.5),
            "gpus is 0.5 but the engine is in-process; it is for ray",
        ),
        (("ray", None, "auto", -1.0), "gpus is -1.0; expected a fraction of one GPU or a whole"),
        (("ray", None, "auto", float("nan")), "gpus is nan; expected a fraction of one GPU"),
    ],
)
def test_wrong_engines_get_one_sentence(arguments, message):
    with pytest.raises(ToroidsError, match=message) as caught:
        make_engine(*arguments)
    assert "\n" not in str(caught.value)


def test_engines_by_name():
    with make_engine("in-process") as engine:
        assert (engine.name, engine.slots) == ("in process", 1)
    with make_engine("processes") as engine:
        assert (engine.name, engine.slots) == ("processes", usable_cores())
    with make_engine("processes", 3) as engine:
        assert engine.slots == 3


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000\n", 8), ("250000 100000\n", 2), ("50000 100000\n", 1), ("garbage", 8)],
)
def test_the_quota_of_a_container_limits_the_cores(monkeypatch, tmp_path, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(cores, "QUOTA", tmp_path / "cpu.max")
    assert usable_cores() == expected
