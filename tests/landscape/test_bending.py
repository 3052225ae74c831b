"""Bends on the hypercube."""

import pytest
import torch

import toroids as td


@pytest.fixture(scope="module")
def setting():
    data = td.data.digits(80).train
    make = td.models.binary_fully_connected
    model = make([64, 15, 10], threshold=0.5)
    group = td.discover(model, data[0][:4])
    ends = [
        td.solvers.Adam(budget=30, lr=0.02).train(
            lambda s: make([64, 15, 10], threshold=0.5, seed=s), data, seed
        )
        for seed in (0, 1)
    ]
    aligned = td.align(group, ends[1].params, to=ends[0].params)
    return model, td.geometry.Hypercube(group), aligned.reference, aligned.params, data


def connect(setting, generator=None, **training):
    model, cube, a, b, data = setting
    return td.connect(
        td.Landscape(model, data, on=cube), a, b, td.landscape.BendRecipe(rate=0.02, **training),
        points=21, generator=generator,
    )  # fmt: skip


def test_a_trained_bend_is_binary_and_lower_than_the_first(setting):
    model, cube, a, b, data = setting
    bend = connect(setting, steps=400, minibatch=40)
    cube.check(bend.bend)  # every weight -1 or +1
    assert bend.after.barrier < bend.before.barrier
    middle = td.evaluate(model, bend(0.5), data).error
    assert middle == td.evaluate(model, bend.bend, data).error
    for end, t in ((a, 0.0), (b, 1.0)):
        assert all(torch.equal(bend(t)[name], end[name]) for name in end)


def test_equal_generators_give_equal_bends(setting):
    one, two = (connect(setting, steps=3) for _ in range(2))
    other = connect(setting, steps=3, generator=torch.Generator().manual_seed(5))
    assert torch.equal(one.history, two.history)
    assert not torch.equal(one.history, other.history)
    assert all(torch.equal(one.bend[name], two.bend[name]) for name in one.bend)


def test_where_the_ends_agree_the_bend_begins_as_they_do(setting):
    model, cube, a, b, data = setting
    bend = td.connect(
        td.Landscape(model, data, on=cube),
        a,
        b,
        td.landscape.BendRecipe(steps=1, rate=1e-9),
        points=3,
    )
    assert cube.distance(a, bend.bend) + cube.distance(bend.bend, b) == pytest.approx(
        cube.distance(a, b)
    )


def test_raw_latent_weights_are_refused(setting):
    model, cube, a, _, data = setting
    raw = td.models.binary_fully_connected([64, 15, 10], threshold=0.5).state_dict()
    with pytest.raises(td.errors.ParamsError, match="expected -1 or"):
        td.connect(td.Landscape(model, data, on=cube), a, raw, td.landscape.BendRecipe(steps=1))


def test_real_thresholds_are_trained_beside():
    data = td.data.digits(60).train
    make = td.models.binary_fully_connected
    model = make([64, 9, 10], "real", 0.5)
    group = td.discover(model, data[0][:4])
    cube = td.geometry.Hypercube(group)
    a, b = (td.canonicalize(group, make([64, 9, 10], "real", 0.5, s).state_dict()) for s in (1, 2))
    bend = td.connect(
        td.Landscape(model, data, on=cube),
        a,
        b,
        td.landscape.BendRecipe(steps=20, rate=0.02),
        points=3,
    ).bend
    middle = (a["hidden1.bias"] + b["hidden1.bias"]) / 2
    assert not torch.equal(bend["hidden1.bias"], middle)
    assert bend["hidden1.bias"].abs().unique().numel() > 1
