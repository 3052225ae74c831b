import pytest
import torch

import toroids as td
from toroids.errors import DataError, ParamsError, ToroidsError


@pytest.fixture
def setting(device):
    a, b = (td.models.fully_connected([4, 6, 3], seed=s).to(device) for s in (0, 1))
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(40, 4, generator=generator), torch.randint(3, (40,), generator=generator)
    return a, td.Line(a.state_dict(), b.state_dict()), data


def test_every_point_is_an_evaluation(setting):
    model, path, data = setting
    curve = td.profile(model, path, data, points=7)
    assert curve.t.tolist() == pytest.approx([i / 6 for i in range(7)])
    for position, t in enumerate(curve.t.tolist()):
        evaluation = td.evaluate(model, path(t), data)
        assert curve.error[position] == evaluation.error
        assert curve.loss[position] == evaluation.loss
        assert curve.error_stderr[position] == evaluation.error_stderr
        assert curve.loss_stderr[position] == evaluation.loss_stderr


def test_barrier_is_the_largest_error_above_the_larger_end():
    def curve(*errors):
        error = torch.tensor(errors)
        return td.Profile(error, error, error, error, error).barrier

    assert curve(0.25, 0.75, 0.5) == 0.25
    assert curve(0.5, 0.25, 0.125) == 0


def test_bad_requests(setting):
    model, path, data = setting
    for points in (1, 0, -3):
        with pytest.raises(ToroidsError, match=f"at least 2 points, its two ends; got {points}"):
            td.profile(model, path, data, points=points)
    with pytest.raises(DataError, match="no examples"):
        td.profile(model, path, (data[0][:0], data[1][:0]))
    bad = {name: tensor * float("nan") for name, tensor in path(0.0).items()}
    with pytest.raises(ParamsError, match="in the path's end"):
        td.profile(model, lambda t: bad if t == 1 else path(t), data)


def test_a_path_of_another_architecture_is_refused(setting):
    model, path, data = setting
    weights = {name: t for name, t in path(0.0).items() if "weight" in name}
    with pytest.raises(ParamsError, match="the path's start lacks `hidden1.bias`"):
        td.profile(model, td.Line(weights, weights), data)
    with pytest.raises(
        ParamsError, match=r"`hidden1.weight` has shape \(6, 4\) in the path's start"
    ):
        td.profile(td.models.fully_connected([4, 9, 3]), path, data)
