"""Laws that every engine keeps."""

import random
import re

import pytest
import torch
from study.engines import fakes
from study.engines.fakes import job

from toroids.errors import ToroidsError
from toroids.study.engines.in_process import InProcess
from toroids.study.sealed import save_network

ECHO = {"settings": {}, "rows": [], "third": 1 / 3, "none": None, "text": "é\n"}
ECHO |= {"networks": [], "checkpoint": None}


def run(engine, jobs):
    """Runs jobs, as many at once as there are slots; what became of each, in order."""
    waiting, finished, flying = list(reversed(jobs)), [], 0
    while waiting or flying:
        while waiting and flying < engine.slots:
            engine.submit(waiting.pop())
            flying += 1
        finished.append(engine.next())
        flying -= 1
    return sorted(finished, key=lambda one: jobs.index(one.job))


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "network.safetensors"
    network = {
        "z.weight": torch.randn(3, 4),
        "a.count": torch.tensor(3),
        "half": torch.ones(2).half(),
    }
    save_network(network, path)
    return path, network


def test_a_job_gets_rows_and_networks_and_gives_a_row_and_a_network(engine, weights):
    path, network = weights
    rows = [{"kind": "symmetry", "deviation": 1e-16}, {"name": "a", "history": [1, None]}]
    (finished,) = run(engine, [job("echo", rows, (None, path), width=3)])
    assert (finished.error, finished.died) == ("", "")
    expected = {"settings": {"width": 3}, "rows": rows, "networks": [None, sorted(network)]}
    assert finished.outcome.row == ECHO | expected
    assert sorted(finished.outcome.params) == sorted(network)
    for name, tensor in finished.outcome.params.items():
        assert tensor.dtype == network[name].dtype
        assert torch.equal(tensor, 2 * network[name])


def test_outcomes_are_the_same_on_all_engines_in_any_order(engine):
    jobs = [job("draw", index=index) for index in range(6)]
    shuffled = random.Random(0).sample(jobs, len(jobs))
    found = sorted(run(engine, shuffled), key=lambda one: jobs.index(one.job))
    for one, expected in zip(found, run(InProcess(fakes.FUNCTION), jobs), strict=True):
        assert one.outcome.row == expected.outcome.row
        assert list(one.outcome.params) == list(expected.outcome.params) == ["z", "a"]
        assert all(
            torch.equal(x, expected.outcome.params[n]) for n, x in one.outcome.params.items()
        )
    assert len({str(one.outcome.row) for one in found}) == len(jobs)


def test_every_task_has_one_thread(engine):
    torch.set_num_threads(2)
    try:
        (finished,) = run(engine, [job("threads")])
        assert finished.outcome.row == {"torch": 1, "pools": 1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_the_global_generators_are_left_as_they_were(engine):
    before = random.getstate(), torch.random.get_rng_state()
    run(engine, [job("draw")])
    assert before[0] == random.getstate()
    assert torch.equal(before[1], torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("fail", "the learning rate is 7; expected at most 1."),
        ("crash", r"KeyError in fakes.py, line \d+: 'no\\nsuch key'"),
        ("leave", r"SystemExit in fakes.py, line \d+: enough"),
        ("not_finite", "ValueError in .*: Out of range float values are not JSON compliant.*"),
        ("unknown", r"KeyError in fakes.py, line \d+: 'unknown'"),
    ],
)
def test_a_task_that_raises_is_an_error_in_one_line_and_the_others_go_on(engine, kind, message):
    wrong, right = run(engine, [job(kind), job("echo")])
    assert wrong.outcome is None
    assert wrong.died == ""
    assert re.fullmatch(message, wrong.error)
    assert "\n" not in wrong.error
    assert right.outcome.row == ECHO


def test_a_task_without_memory_may_be_tried_again(engine):
    (finished,) = run(engine, [job("no_memory")])
    assert finished.died == "it ran out of memory (no message)."


def test_weights_that_are_damaged_or_gone_are_an_error(engine, weights, tmp_path):
    path, _ = weights
    path.write_bytes(path.read_bytes()[:-1])
    damaged, gone = run(engine, [job("echo", weights=(at,)) for at in (path, tmp_path / "gone")])
    assert "is damaged: its checksum does not fit" in damaged.error
    assert "gone" in gone.error


def test_a_task_may_print(engine, capfd):
    first, second = run(engine, [job("chatter"), job("echo")])
    assert first.outcome.row == {"said": True}
    assert second.outcome.row == ECHO


def test_more_jobs_than_slots_wait_for_their_turn(engine):
    jobs = [job("echo", index=index) for index in range(9)]
    for one in jobs:
        engine.submit(one)
    found = [engine.next() for _ in jobs]
    assert sorted(one.outcome.row["settings"]["index"] for one in found) == list(range(9))


def test_to_wait_for_nothing_is_an_error(engine):
    with pytest.raises(ToroidsError, match="no job is in flight"):
        engine.next()
