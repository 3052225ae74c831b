"""Alignment by the loss where matrices and phases turn: language models."""

import pytest
import torch

import toroids as td
from toroids.align import loss as method
from toroids.align import walk
from toroids.align.descent import descend, descent
from toroids.align.greedy import greedy
from toroids.align.problem import Effort, problem_of
from toroids.align.walk import Walk
from toroids.errors import ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.files import resume

MAKERS = {
    "gpt": lambda seed: td.models.gpt(9, 6, dim=8, depth=1, heads=2, hidden=5, seed=seed),
    "decoder": lambda seed: td.models.decoder(9, dim=8, depth=1, heads=2, hidden=5, seed=seed),
}


@pytest.fixture(scope="module", params=MAKERS)
def setting(request):
    """Two networks that both know the same sequences, their group, the data."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(9, (24, 7), generator=generator)
    data = tokens[:, :-1], tokens[:, 1:]
    make = MAKERS[request.param]
    networks = [
        td.solvers.Adam(budget=40, lr=0.02).train(make, data, seed).params for seed in (1, 2)
    ]
    model = make(0)
    return model, td.discover(model, data[0][:2], verify=False), networks, data


def problem(setting):
    model, group, networks, data = setting
    a, b = ({n: x.double() for n, x in td.canonicalize(group, n_).items()} for n_ in networks)
    landscape = Landscape(model.double(), data)
    return problem_of(group, b, a, Effort(), landscape=landscape)


def test_small_steps_go_down_by_what_the_gradient_says(setting, monkeypatch):
    """To first order, every space by its own share of the slope."""
    step = 1e-5
    asked = problem(setting)
    landscape = asked.landscape
    monkeypatch.setattr(walk, "TURN", step)
    monkeypatch.setattr(walk, "RATE", 0.0)  # no unit leaves its place
    position = asked.position()
    start = dict(position.tensors)
    before, gradient = landscape.gradient(start)
    Walk(asked, position).step(gradient)
    after = landscape.measure(position.tensors).loss
    names = asked.group.parameters
    said = sum(float((gradient[n] * (position.tensors[n] - start[n])).sum()) for n in names)
    turned = max(float((position.tensors[n] - start[n]).abs().max()) for n in names)
    assert 0.1 * step < turned < 100 * step
    # the loss of the moved network alone does not change, so its slope along symmetries is zero
    assert after == pytest.approx(before, abs=1e-9) and abs(said) < 1e-9
    # halfway it does
    a = asked.reference

    def middle(tensors):
        return {n: (a[n] + x) / 2 for n, x in tensors.items()}

    position = asked.position()
    before, gradient = landscape.gradient(middle(position.tensors))
    Walk(asked, position).step(gradient)
    after = landscape.measure(middle(position.tensors)).loss
    said = sum(float((gradient[n] * (position.tensors[n] - start[n])).sum()) for n in names) / 2
    assert said < -step / 100
    assert after - before == pytest.approx(said, rel=1e-2)


def test_it_ends_below_where_it_begins_and_keeps_the_function(setting, monkeypatch):
    monkeypatch.setattr(method, "STEPS", 75)
    model, group, (a, b), data = setting
    landscape = Landscape(model.float(), data)
    usual, learned = (
        td.align(group, b, to=a, method=name, landscape=landscape) for name in ("descent", "loss")
    )
    toroid = td.Toroid(group)
    barriers = []
    for found in (usual, learned):
        path = toroid.geodesic(found.reference, found.params)
        barriers.append(td.profile(landscape, path, 9).loss_barrier_over_chord)
    assert barriers[1] < 0.7 * barriers[0]
    outputs = [torch.func.functional_call(model, dict(x), (data[0],)) for x in (b, learned.params)]
    assert torch.allclose(*outputs, atol=1e-3)
    assert learned.sweeps == 75 and learned.converged


def test_descent_ends_no_lower_than_from_its_first_start(setting):
    asked = problem(setting)
    position = asked.position(greedy(asked).element)
    descend(asked, position)
    found = asked.position(descent(asked).element)
    assert found.similarity(asked.reference) >= position.similarity(asked.reference) - 1e-9


def test_a_budget_ends_it(setting):
    model, group, (a, b), data = setting
    seen = []
    found = td.align(
        group, b, to=a, method="loss", landscape=Landscape(model.float(), data), budget=1.0,
        progress=lambda text, *_: seen.append(text),
    )  # fmt: skip
    assert found.seconds < 20 and not found.converged and seen


class Killed(BaseException):
    pass


def test_killed_it_goes_on_to_the_same_element(setting, monkeypatch, tmp_path):
    monkeypatch.setattr(method, "STEPS", 6)
    monkeypatch.setattr(method, "EVERY", 2)
    monkeypatch.setattr(resume, "SHARE", 1.0)  # a checkpoint is always due
    model, group, (a, b), data = setting
    path, landscape = tmp_path / "run.pt", Landscape(model.float(), data)
    steps = []

    def run(**more):
        return td.align(group, b, to=a, method="loss", landscape=landscape, **more)

    def killing(text, done, _all):
        if text == "loss" and done == 3:
            raise Killed

    def seeing(text, done, _all):
        steps.extend([done] if text == "loss" else [])

    whole = run()
    with pytest.raises(Killed):
        run(progress=killing, checkpoint=path)
    for goes_on in (2, 6):  # where it was killed; where it was done
        steps.clear()
        found = run(progress=seeing, checkpoint=path)
        assert steps == list(range(goes_on, 6))
        elements = found.element.tensors(), whole.element.tensors()
        for one, other in ((found.params, whole.params), elements):
            assert all(torch.equal(x, other[name]) for name, x in one.items())
        assert (found.sweeps, found.converged) == (6, True)


def test_a_checkpoint_of_something_else_is_refused(setting, monkeypatch, tmp_path):
    monkeypatch.setattr(method, "STEPS", 1)
    model, group, (a, b), data = setting
    path, landscape = tmp_path / "run.pt", Landscape(model.float(), data)
    td.align(group, b, to=a, method="loss", landscape=landscape, checkpoint=path)
    fewer = Landscape(model, (data[0][:9], data[1][:9]))
    shuffled = Landscape(model, Batches([data]))
    for networks, seen, message in (
        ((a, b), landscape, "checkpoint of an alignment with other settings or data"),
        ((b, a), fewer, "checkpoint of an alignment with other settings or data"),
        ((b, a), shuffled, "does not keep the order in which a loader"),
    ):
        with pytest.raises(ToroidsError, match=message):
            td.align(
                group, networks[0], to=networks[1], method="loss", landscape=seen, checkpoint=path
            )
    with pytest.raises(ToroidsError, match="'descent' keeps no checkpoint, only 'loss' does"):
        td.align(group, b, to=a, checkpoint=path)


class Batches:
    """A loader, as far as anybody can tell."""

    def __init__(self, batches):
        self._batches = batches

    def __iter__(self):
        return iter(self._batches)


def test_many_are_brought_to_the_mean_of_those_before(setting, monkeypatch):
    model, group, (a, b), data = setting
    monkeypatch.setattr(method, "STEPS", 30)
    landscape = Landscape(model.float(), data)
    copy = group.apply(group.random(torch.Generator().manual_seed(0)), a)
    losses = {}
    for name in ("descent", "loss"):
        many = td.align_many(group, [a, b, copy], name, landscape=landscape)
        for network, moved in zip((a, b, copy), many.params, strict=True):
            assert landscape(moved).loss == pytest.approx(landscape(network).loss, abs=1e-4)
        losses[name] = landscape(many.mean).loss
    assert losses["loss"] < losses["descent"]


@pytest.mark.parametrize("data", ["empty", "of another network"])
def test_a_landscape_that_tells_nothing_of_the_networks_is_refused(data):
    one, other = (td.models.fully_connected([4, *sizes, 3], seed=0) for sizes in ([5], [5, 5]))
    networks, x = [one.state_dict()] * 2, torch.randn(8, 4)
    pair = (x, torch.zeros(8, dtype=torch.long))
    landscape = Landscape(one, []) if data == "empty" else Landscape(other, pair)
    message = "no examples" if data == "empty" else "lack `hidden2.bias`"
    with pytest.raises(ToroidsError, match=message):
        td.align(
            td.discover(one, x), networks[0], to=networks[1], method="loss", landscape=landscape
        )
