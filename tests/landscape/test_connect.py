import pytest
import torch
from landscape.networks import digits, images, normed, own_statistics

import toroids as td
from toroids.errors import DataError, ParamsError, ToroidsError


def aligned():
    model, group, a, b, data = digits()
    found = td.align(group, b, to=a)
    return model, td.Toroid(group), found.reference, found.params, data


@pytest.mark.parametrize("on_toroid", [False, True], ids=["straight", "toroid"])
def test_trained_networks_are_connected_without_error(on_toroid):
    model, toroid, a, b, data = aligned()
    landscape = td.Landscape(model, data.train, on=toroid if on_toroid else None)
    bend = td.connect(landscape, a, b, td.landscape.BendRecipe(steps=1000))
    assert bend.before.barrier > 0.02
    assert len(bend.after.t) == 101
    assert bend.after.error.max() == 0
    assert bend.ended == "zero error"
    assert len(bend.history) < 1000
    for t, end in ((0.0, a), (0.5, bend.bend), (1.0, b)):
        assert all(torch.equal(x, end[n]) for n, x in bend(t).items())
    if on_toroid:
        toroid.check(bend.bend)


def test_the_gradient_on_the_toroid_is_that_of_finite_differences():
    from toroids.landscape.bending import Bending

    model = td.models.fully_connected([5, 6, 4, 3], seed=0).double()
    group = td.symmetry.fully_connected_group(model.state_dict(), output="classifier")
    toroid = td.Toroid(group)
    ends = [
        td.canonicalize(
            group, td.models.fully_connected([5, 6, 4, 3], seed=s).double().state_dict()
        )
        for s in (1, 2)
    ]
    data = torch.randn(9, 5, dtype=torch.float64), torch.arange(9) % 3
    middle = toroid.geodesic(*ends)(0.4)
    settings = td.landscape.BendRecipe(steps=10, rate=0.1)
    landscape = td.Landscape(model, data, on=toroid)
    training = Bending(landscape, tuple(ends), middle, settings, 0.1)
    loss, gradient = training._gradient(1, 0.7, data, torch.Generator())
    direction = toroid.random_tangent(middle, generator=torch.Generator().manual_seed(0))
    size = 1e-6

    def at(step):
        point = toroid.exp(middle, {n: step * x for n, x in direction.items()})
        found = toroid.geodesic(ends[1], point)(0.7)
        logits = torch.func.functional_call(model, found, (data[0],)) / 0.1
        return torch.nn.functional.cross_entropy(logits, data[1]).item()

    expected = (at(size) - at(-size)) / (2 * size)
    flat = torch.cat([direction[name].reshape(-1) for name in training._names])
    assert loss.item() == pytest.approx(at(0.0))
    assert float(gradient @ flat) == pytest.approx(expected, rel=1e-5)


def test_batch_norm_networks_and_loaders():
    data = images(90)
    a, b = (own_statistics(normed(seed), data) for seed in (0, 1))
    model = normed(2)
    before = {n: x.clone() for n, x in model.state_dict().items()}
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data), batch_size=30)
    bend = td.connect(
        td.Landscape(model, loader), a, b, td.landscape.BendRecipe(steps=60), points=9
    )
    assert bend.after.loss[4] < bend.before.loss[4]
    assert all(torch.equal(before[n], x) for n, x in model.state_dict().items())
    assert not any(module.training for module in model.modules())
    assert bend.ended == "steps"


def test_data_that_can_be_run_through_only_once():
    model, _, a, b, data = aligned()
    inputs, labels = data.train
    once = zip(inputs.split(100), labels.split(100), strict=True)
    bend = td.connect(td.Landscape(model, once), a, b, td.landscape.BendRecipe(steps=20), points=5)
    assert torch.equal(
        bend.before.error,
        td.profile(
            td.Landscape(model, data.train),
            td.geometry.Polyline([a, td.geometry.Line(a, b)(0.5), b]),
            5,
        ).error,
    )
    curve = td.profile(
        td.Landscape(model, zip(inputs.split(90), labels.split(90), strict=True)), bend, 5
    )
    assert torch.equal(curve.error, bend.after.error)


def test_the_same_generator_gives_the_same_bend():
    model, _, a, b, data = aligned()
    bends = [
        td.connect(
            td.Landscape(model, data.train),
            a,
            b,
            td.landscape.BendRecipe(steps=20),
            points=3,
            generator=torch.Generator().manual_seed(seed),
        ).bend
        for seed in (3, 3, 4)
    ]
    same, other = (all(torch.equal(x, bends[i][n]) for n, x in bends[0].items()) for i in (1, 2))
    assert same
    assert not other


def test_bad_input():
    model, toroid, a, b, data = aligned()
    _, _, raw, _, _ = digits()
    with pytest.raises(ParamsError, match="expected 1; pass what canonicalize returns"):
        td.connect(td.Landscape(model, data.train, on=toroid), raw, b)
    with pytest.raises(ToroidsError, match="steps is 0"):
        td.landscape.BendRecipe(steps=0)
    with pytest.raises(DataError, match="no gradient"):
        td.connect(
            td.Landscape(
                model, data.train,
                metric=lambda outputs, targets: (outputs.argmax(dim=1) != targets).double(),
            ), a, b, points=3,
        )  # fmt: skip
    other = td.models.fully_connected([64, 16, 10]).state_dict()
    with pytest.raises(ParamsError):
        td.connect(td.Landscape(model, data.train), a, other)
