import math

import pytest
import torch
from scipy.stats import binomtest
from torch import nn

import toroids as td
from toroids.errors import DataError, ParamsError, ToroidsError
from toroids.landscape.star import _star, wilson


@pytest.fixture(scope="module")
def setting(device):
    networks = [
        {n: t.double().to(device) for n, t in td.models.fully_connected([4, 8, 3], seed=s).state_dict().items()}
        for s in range(4)
    ]  # fmt: skip
    model = td.models.fully_connected([4, 8, 3], seed=0).double().to(device)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(100, 4, generator=generator, dtype=torch.float64)
    labels = torch.func.functional_call(model, networks[0], (inputs.to(device),)).argmax(dim=1)
    group = td.symmetry.fully_connected_group(networks[0], output="classifier")
    return group, model, networks, (inputs, labels.cpu())


def test_every_barrier_is_that_of_the_aligned_geodesic(setting):
    group, model, networks, data = setting
    found = td.star(td.Landscape(model, data, on=td.Toroid(group)), networks, 0.05, 9)
    toroid = td.Toroid(group)
    for i in range(4):
        assert found.barriers[i, i] == found.distances[i, i] == 0
        for j in range(i + 1, 4):
            alignment = td.align(group, networks[j], to=networks[i])
            ends = alignment.reference, alignment.params
            curve = td.profile(td.Landscape(model, data), toroid.geodesic(*ends), 9)
            assert found.barriers[i, j] == found.barriers[j, i] == curve.barrier
            assert found.distances[i, j] == found.distances[j, i] == toroid.distance(*ends)
    assert found.reached.tolist() == [
        sum(found.barriers[i, j].item() <= 0.05 for j in range(4) if j != i) / 3 for i in range(4)
    ]
    assert found.notes == ()
    assert found.tolerance == 0.05


def test_networks_in_one_class_all_reach_each_other(setting):
    group, model, (a, b, *_), data = setting
    disguised = [group.apply(group.random(torch.Generator().manual_seed(s)), a) for s in (1, 2)]
    found = td.star(td.Landscape(model, data, on=td.Toroid(group)), [b, a, *disguised], 0.0, 5)
    assert found.distances[1:, 1:].max() < 1e-6
    assert found.barriers[1:, 1:].max() == 0
    assert (found.reached[1:] >= 2 / 3).all()


def table(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def test_the_centre_reaches_most():
    barriers = table((0, 0, 0, 0), (0, 0, 1, 1), (0, 1, 0, 1), (0, 1, 1, 0))
    found = _star(barriers, barriers, 0.01, ())
    assert found.centre == 0
    assert found.reached.tolist() == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3])


def test_ties_go_to_the_smallest_mean_barrier():
    barriers = table((0, 0.5, 0.3), (0.5, 0, 0.2), (0.3, 0.2, 0))
    assert _star(barriers, barriers, 0.01, ()).centre == 2
    nan = math.nan
    gaps = table((0, nan, nan), (nan, 0, 0.2), (nan, 0.2, 0))
    found = _star(gaps, gaps, 0.5, ())
    assert found.centre == 1
    assert found.reached.tolist() == [0, 0.5, 0.5]
    nothing = table((0, nan), (nan, 0))
    assert _star(nothing, nothing, 0.5, ()).centre == 0


@pytest.mark.parametrize("trials", [1, 3, 20])
def test_intervals_are_wilsons(trials):
    found = wilson(torch.arange(trials + 1), trials)
    for successes, (low, high) in enumerate(found.tolist()):
        expected = binomtest(successes, trials).proportion_ci(method="wilson")
        assert low == pytest.approx(expected.low, abs=1e-12)
        assert high == pytest.approx(expected.high, abs=1e-12)


def test_pairs_without_a_geodesic_are_noted(setting):
    """One unit reads the input with weights that no permutation can turn round."""
    _, _, _, data = setting
    model = td.models.fully_connected([4, 1, 3], seed=0).double()
    a = model.state_dict()
    b = {n: -t if n.startswith("hidden") else t for n, t in a.items()}
    c = td.models.fully_connected([4, 1, 3], seed=1).double().state_dict()
    group = td.symmetry.fully_connected_group(a, output="classifier")
    found = td.star(td.Landscape(model, data, on=td.Toroid(group)), [a, b, c], 1.0, 3)
    assert found.barriers[0, 1].isnan()
    assert found.barriers[1, 0].isnan()
    assert found.distances[0, 1] == pytest.approx(math.pi)
    assert found.reached.tolist() == [0.5, 0.5, 1.0]
    assert found.centre == 2
    (note,) = found.notes
    assert note.startswith("networks 0 and 1 have no barrier: unit 0 of ")
    assert "antipodal" in note


def test_batch_norms_one_shot_batches_methods_and_progress():
    def build(seed):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2))
        model(torch.randn(50, 3) * (seed + 1))
        return model.double().eval()

    models = [build(seed) for seed in range(3)]
    networks = [model.state_dict() for model in models]
    inputs, labels = torch.randn(20, 3, dtype=torch.float64), torch.randint(2, (20,))
    group = td.discover(models[0], inputs[:2], output="classifier")
    heard = []
    for batch_norm in ("keep", "fold"):
        on = td.Toroid(group, batch_norm=batch_norm)
        landscape = td.Landscape(models[0], (inputs, labels), on=on)
        found = td.star(landscape, networks, points=3, progress=lambda *r: heard.append(r[1:]))
        pieces = zip(inputs.split(5), labels.split(5), strict=True)
        again = td.star(td.Landscape(models[0], pieces, on=on), networks, points=3)
        assert torch.equal(found.barriers, again.barriers)
    assert heard == 2 * [(0, 3), (1, 3), (2, 3), (3, 3)]
    probe = td.probe.Probe(models[0], group, inputs)
    options = {"method": "activations", "probe": probe, "points": 3}
    landscape = td.Landscape(models[0], (inputs, labels), on=td.Toroid(group))
    found = td.star(landscape, networks[:2], **options)
    alignment = td.align(group, networks[1], to=networks[0], method="activations", probe=probe)
    apart = td.Toroid(group).distance(alignment.reference, alignment.params)
    assert found.distances[0, 1] == apart


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tolerance": -0.1}, "the tolerance is -0.1"),
        ({"tolerance": math.nan}, "the tolerance is nan"),
        ({"points": 1}, "points is 1"),
        ({"method": "magic"}, "no method 'magic'"),
    ],
)
def test_bad_requests(setting, arguments, message):
    group, model, networks, data = setting
    with pytest.raises(ToroidsError, match=message):
        td.star(td.Landscape(model, data, on=td.Toroid(group)), networks, **arguments)
    with pytest.raises(ToroidsError, match="drop"):
        td.Toroid(group, batch_norm="drop")


def test_networks_that_do_not_fit(setting):
    group, model, networks, data = setting
    landscape = td.Landscape(model, data, on=td.Toroid(group))
    for few in ([], networks[:1]):
        with pytest.raises(ToroidsError, match=f"there are {len(few)} networks; pass two or more"):
            td.star(landscape, few)
    wide = td.models.fully_connected([4, 9, 3]).double().state_dict()
    with pytest.raises(ParamsError, match=r"has shape \(9, 4\) in network 1"):
        td.star(landscape, [networks[0], wide])
    bad = {**networks[2], "output.bias": networks[2]["output.bias"] * math.nan}
    with pytest.raises(ParamsError, match="`output.bias` in network 2 has 3 of 3 entries"):
        td.star(landscape, [*networks[:2], bad])
    with pytest.raises(DataError, match="no examples"):
        td.star(td.Landscape(model, (data[0][:0], data[1][:0]), on=td.Toroid(group)), networks)
