"""A training that is killed and begun anew with its checkpoint ends with the same weights."""

import pytest
import torch
from torch import nn

import toroids as td
from toroids.errors import DataError, ToroidsError
from toroids.solvers import session

SOLVERS = {
    "sgd": {},
    "adam": {"lr": 0.01},
    "sam": {},
    "swa": {"start": 0.3},
    "entropy_sgd": {"inner_steps": 4, "noise": 0.01},
    "replicated_sgd": {"replicas": 2, "balanced": True},
    "adversarial_sgd": {"copies": 1, "corrupt_budget": 4},
}


class Killed(BaseException):
    pass


def make_model(seed):
    """With batch norm and dropout, whose states and draws must survive too."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(4, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.2), nn.Linear(12, 3)
    )


def train(solver, data, checkpoint=None, **options):
    settings = {"budget": 6, "batch_size": 25, "hold": 99, **SOLVERS[solver], **options}
    return td.solvers.SOLVERS[solver](**settings).train(make_model, data, 3, checkpoint=checkpoint)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kill", [1, 7, 12])
def test_killed_at_any_step_and_resumed(solver, kill, data, tmp_path, monkeypatch):
    whole = train(solver, data)
    path = tmp_path / "training.pt"
    count, draw = 0, session.minibatches

    def drawing(*arguments):
        nonlocal count
        for batch in draw(*arguments):
            if count == kill:
                raise Killed
            count += 1
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(session, "minibatches", drawing)
        with pytest.raises(Killed):
            train(solver, data, checkpoint=path)
    resumed = train(solver, data, checkpoint=path)
    assert resumed.history == whole.history
    assert resumed.gradient_steps == whole.gradient_steps
    assert all(torch.equal(resumed.params[name], x) for name, x in whole.params.items())


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_finished_training_is_not_run_again(solver, data, tmp_path, monkeypatch):
    path = tmp_path / "training.pt"
    whole = train(solver, data, checkpoint=path)
    monkeypatch.setattr(session, "minibatches", lambda *_: pytest.fail("trained again"))
    again = train(solver, data, checkpoint=path)
    assert all(torch.equal(again.params[name], x) for name, x in whole.params.items())


def test_checkpoints_of_other_trainings_are_refused(data, tmp_path):
    path = tmp_path / "training.pt"
    train("sgd", data, checkpoint=path)
    for other in ({"lr": 0.2}, {"budget": 7}, {"momentum": 0.5}):
        with pytest.raises(ToroidsError, match="of a training with other settings or data"):
            train("sgd", data, checkpoint=path, **other)
    with pytest.raises(ToroidsError, match="of a training with other settings or data"):
        train("sgd", (data[0] + 1, data[1]), checkpoint=path)
    with pytest.raises(ToroidsError, match="of a training with other settings or data"):
        train("sam", data, checkpoint=path)

    def wider(seed):
        return nn.Linear(4, 3)

    with pytest.raises(ToroidsError, match="is the checkpoint of another network"):
        td.solvers.SGD(budget=6, batch_size=25, hold=99).train(wider, data, 3, checkpoint=path)
    train("sgd", data, checkpoint=path, seconds=1e9)  # more time is no other training


@pytest.mark.parametrize("content", [b"", b"nonsense", "half", "flipped"])
def test_broken_checkpoints_are_named_and_nothing_in_them_runs(content, data, tmp_path):
    path = tmp_path / "training.pt"
    if content == "half":
        train("sgd", data, checkpoint=path)
        content = path.read_bytes()[:2000]
    if content == "flipped":  # in the weights, where torch.load does not look
        train("sgd", data, checkpoint=path)
        params = torch.load(path, weights_only=True)["current"]["params"]
        place = path.read_bytes().index(params["0.weight"].numpy().tobytes())
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        content = bytes(content)
    path.write_bytes(content)
    with pytest.raises(ToroidsError, match="not a whole checkpoint .* delete this one"):
        train("sgd", data, checkpoint=path)
    assert path.read_bytes() == content


def test_the_global_generator_is_left_alone(data):
    torch.manual_seed(0)
    models = [make_model(3)]
    state = torch.random.get_rng_state()
    td.solvers.SGD(budget=2).train(lambda seed: models[0], data, 3)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_mini_batch_of_one_example_through_a_batch_norm(data):
    with pytest.raises(DataError, match="a mini-batch of 1 example .* choose a batch_size"):
        td.solvers.SGD(budget=1, batch_size=25).train(make_model, (data[0][:51], data[1][:51]), 3)


def test_a_training_out_of_time_goes_on_when_it_is_given_more(data, tmp_path):
    path = tmp_path / "training.pt"
    whole = train("sgd", data)
    first = train("sgd", data, checkpoint=path, seconds=1e-9)
    assert (first.ended, len(first.history)) == ("time", 1)
    same = train("sgd", data, checkpoint=path, seconds=1e-9)
    assert (same.ended, len(same.history)) == ("time", 1)
    more = train("sgd", data, checkpoint=path, seconds=1e9)
    assert more.history == whole.history
    assert all(torch.equal(more.params[name], x) for name, x in whole.params.items())


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_training_is_watched_epoch_by_epoch_and_goes_the_same_way(solver):
    data = (torch.randn(50, 4, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 3)
    seen = []
    with session.watched(lambda phase, epoch, params: seen.append((phase, epoch, dict(params)))):
        found = train(solver, data, budget=3)
    assert [epoch for phase, epoch, _ in seen if phase == "train"] == [0, 1, 2, 3]
    assert all(torch.equal(seen[-1][2][name], found.params[name]) for name in found.params)
    again, count = train(solver, data, budget=3), len(seen)
    assert all(torch.equal(again.params[name], found.params[name]) for name in found.params)
    assert len(seen) == count  # nobody watches any more
