import pytest
import torch
from landscape.networks import images, normed, own_statistics

import toroids as td
from toroids.errors import DataError, ParamsError, ToroidsError


@pytest.fixture
def setting(device):
    a, b = (td.models.fully_connected([4, 6, 3], seed=s).to(device) for s in (0, 1))
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(40, 4, generator=generator), torch.randint(3, (40,), generator=generator)
    return a, td.geometry.Line(a.state_dict(), b.state_dict()), data


def test_every_point_is_an_evaluation(setting):
    model, path, data = setting
    curve = td.profile(td.Landscape(model, data), path, 7)
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
        return td.landscape.Profile(error, error, error, error, error).barrier

    assert curve(0.25, 0.75, 0.5) == 0.25
    assert curve(0.5, 0.25, 0.125) == 0


def test_bad_requests(setting):
    model, path, data = setting
    landscape = td.Landscape(model, data)
    for points in (1, 0, -3):
        with pytest.raises(ToroidsError, match=f"at least 2 points, its two ends; got {points}"):
            td.profile(landscape, path, points)
    with pytest.raises(DataError, match="no examples"):
        td.profile(td.Landscape(model, (data[0][:0], data[1][:0])), path)
    bad = {name: tensor * float("nan") for name, tensor in path(0.0).items()}
    with pytest.raises(ParamsError, match="in the path's end"):
        td.profile(landscape, lambda t: bad if t == 1 else path(t))


def test_a_path_of_another_architecture_is_refused(setting):
    model, path, data = setting
    weights = {name: t for name, t in path(0.0).items() if "weight" in name}
    with pytest.raises(ParamsError, match="the path's start lacks? `hidden1.bias`"):
        td.profile(td.Landscape(model, data), td.geometry.Line(weights, weights))
    with pytest.raises(
        ParamsError, match=r"`hidden1.weight` has shape \(6, 4\) in the path's start"
    ):
        td.profile(td.Landscape(td.models.fully_connected([4, 9, 3]), data), path)


def test_barriers_by_their_definitions():
    t = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64)
    error = torch.tensor([0.2, 0.6, 0.5, 0.4], dtype=torch.float64)
    curve = td.landscape.Profile(t, error, error, error, error)
    assert curve.barrier == pytest.approx(0.2)
    assert curve.over_chord.tolist() == pytest.approx([0, 0.35, 0.2, 0])
    assert curve.barrier_over_chord == pytest.approx(0.35)
    by_hand = 0.25 * 0.35 / 2 + 0.25 * (0.35 + 0.2) / 2 + 0.5 * 0.2 / 2
    assert curve.mean_barrier == pytest.approx(by_hand)
    loss = torch.tensor([1.0, 1.5, 3.0, 2.0], dtype=torch.float64)
    curve = td.landscape.Profile(t, error, loss, error, error)
    assert curve.loss_over_chord.tolist() == pytest.approx([0, 0.25, 1.5, 0])
    assert curve.loss_barrier_over_chord == pytest.approx(1.5)
    assert curve.highest == 0.25


def bump(center, width):
    """A path on which the error of a linear classifier on a line of points is a smooth bump."""
    points = torch.linspace(0, 1, 2001, dtype=torch.float64)[:, None]
    model = torch.nn.Linear(1, 2, dtype=torch.float64)

    def path(t):
        height = 0.5 * torch.exp(torch.tensor(-(((t - center) / width) ** 2), dtype=torch.float64))
        weight = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
        # all points above `height` are called 1, which is right
        return {"weight": weight, "bias": torch.stack([height, torch.zeros_like(height)])}

    return model, path, (points, torch.ones(2001).long())


def test_refinement_finds_a_peak_between_the_points():
    model, path, data = bump(0.37, 0.08)
    landscape = td.Landscape(model, data)
    coarse = td.profile(landscape, path, 9)
    fine = td.profile(landscape, path, 9, tolerance=0.002)
    assert abs(coarse.barrier - 0.5) > 0.001
    assert abs(fine.barrier - 0.5) < 0.002
    assert abs(fine.highest - 0.37) < 0.01
    assert len(fine.t) < 30
    assert (fine.t.diff() > 0).all()
    assert set(coarse.t.tolist()) <= set(fine.t.tolist())


def test_refinement_ends_on_a_step():
    model, path, data = bump(0.5, 0.2)
    steps = td.profile(
        td.Landscape(model, data), lambda t: path(0.5 if t > 0.3 else 0.0), 5, tolerance=0.01
    )
    assert len(steps.t) < 40


def test_the_barrier_has_the_error_of_paired_differences(setting):
    model, path, data = setting
    curve = td.profile(td.Landscape(model, data), path, 9)
    landscape = td.Landscape(model, data)
    top = landscape.scores(path(curve.highest)).errors
    end = 0.0 if curve.error[0] >= curve.error[-1] else 1.0
    difference = top - landscape.scores(path(end)).errors
    expected = difference.std(correction=0).item() / 40**0.5
    assert curve.barrier_stderr == pytest.approx(expected)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(*data), batch_size=8, shuffle=True
    )
    apart = td.profile(td.Landscape(model, loader), path, 9)
    assert apart.barrier == pytest.approx(curve.barrier)
    assert apart.barrier_stderr >= curve.barrier_stderr


def test_nan_on_the_path_is_reported_and_the_rest_kept(setting):
    model, path, data = setting

    def broken(t):
        point = path(t)
        return {n: x * float("inf") for n, x in point.items()} if t == 0.5 else point

    landscape = td.Landscape(model, data)
    curve = td.profile(landscape, broken, 5)
    whole = td.profile(landscape, path, 5)
    assert curve.error.isnan().tolist() == [False, False, True, False, False]
    kept = torch.tensor([0, 1, 3, 4])
    assert torch.equal(curve.error[kept], whole.error[kept])
    assert curve.barrier != curve.barrier  # what is not known is no number
    assert "at t = 0.5 the outputs are NaN" in curve.notes[0]


def test_batch_norms_are_recalibrated_between_the_ends_only():
    data = images()
    a, b = (own_statistics(normed(seed), data) for seed in (0, 1))
    model, path = normed(2), td.geometry.Line(a, b)
    curve = td.profile(td.Landscape(model, data), path, 5)
    kept = td.profile(td.Landscape(model, data, statistics="keep"), path, 5)
    for number, t in enumerate(curve.t.tolist()):
        point = path(t) if t in (0, 1) else td.recalibrate(model, path(t), data)
        assert curve.loss[number].item() == td.evaluate(model, point, data).loss
        assert kept.loss[number].item() == td.evaluate(model, path(t), data).loss
    assert not curve.notes
    assert (curve.loss - kept.loss).abs()[1:-1].min() > 0


def test_an_end_with_statistics_of_other_data_is_noted():
    data = images(400)
    a = own_statistics(normed(0), data)
    a["8.bias"] -= normed_logits(a, data[0]).mean(dim=0)  # or all examples are of one class
    data = data[0], normed_logits(a, data[0]).argmax(dim=1)
    b = {n: x + 30 if n == "4.running_mean" else x for n, x in a.items()}
    notes = td.profile(td.Landscape(normed(), data), td.geometry.Line(a, b), 3).notes
    assert len(notes) == 1
    assert "the end's own batch-norm statistics" in notes[0]


def normed_logits(params, inputs):
    return torch.func.functional_call(normed(), params, (inputs,)).detach()


def test_an_end_that_is_not_the_checkpoint_is_noted(setting):
    model, path, data = setting

    class Bad(td.geometry.Line):
        def __call__(self, t):
            return super().__call__(min(t, 0.9))

    landscape = td.Landscape(model, data)
    assert td.profile(landscape, path, 3).notes == ()
    bad = Bad(path.a, path.b)
    assert td.profile(landscape, bad, 3).notes == (
        "the path's end is not exactly the network given",
    )


def test_temperatures_are_fitted_at_every_point(setting):
    model, path, data = setting
    scaled = {n: 1e-3 * x if "output" in n else x for n, x in path.b.items()}
    line = td.geometry.Line(path.a, scaled)
    plain = td.profile(td.Landscape(model, data), line, 3)
    landscape = td.Landscape(model, data, temperature="fit")
    fitted = td.profile(landscape, line, 3)
    assert torch.equal(plain.error, fitted.error)
    assert (fitted.loss <= plain.loss + 1e-6).all()
    straight = td.profile(landscape, path, 3)
    assert fitted.loss[-1].item() == pytest.approx(straight.loss[-1].item(), rel=1e-3)


def test_polylines(setting):
    model, path, data = setting
    c = td.models.fully_connected([4, 6, 3], seed=2).state_dict()
    c = {n: x.to(path.a[n]) for n, x in c.items()}
    bent = td.geometry.Polyline([path.a, c, path.b])
    for t, end in ((0.0, path.a), (0.5, c), (1.0, path.b)):
        assert all(torch.equal(x, end[n]) for n, x in bent(t).items())
    quarter, line = bent(0.25), td.geometry.Line(path.a, c)(0.5)
    assert all(torch.equal(x, line[n]) for n, x in quarter.items())
    three = td.geometry.Polyline([path.a, c, path.b, c])
    assert all(torch.allclose(x, path.b[n]) for n, x in three(2 / 3).items())
    with pytest.raises(ToroidsError, match="there are 1 networks of a polyline; pass two or more"):
        td.geometry.Polyline([path.a])


def test_bad_options(setting):
    model, path, data = setting
    with pytest.raises(ToroidsError, match="there are no statistics 'fold'"):
        td.profile(td.Landscape(model, data, statistics="fold"), path)
    with pytest.raises(ToroidsError, match="the tolerance is 0"):
        td.profile(td.Landscape(model, data), path, tolerance=0)
    with pytest.raises(ToroidsError, match="the temperature is -1"):
        td.profile(td.Landscape(model, data, temperature=-1), path)
