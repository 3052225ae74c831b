"""What each method adds to descent, and what the bound, budgets and folded norms promise."""

import time

import pytest
import torch
from align.networks import SMALL, small

import toroids as td
from toroids.align.bound import _nuclear
from toroids.errors import ToroidsError


def fully_connected(seed, widths=(6, 12, 10, 3)):
    return td.models.fully_connected(widths, seed=seed).double()


@pytest.mark.parametrize("name", SMALL)
def test_the_bound_is_attained_by_a_moved_copy(name):
    model, inputs = small(name, 0)
    group = td.discover(model, inputs)
    moved = group.apply(group.random(torch.Generator().manual_seed(3)), model.state_dict())
    alignment = td.align(group, moved, to=model.state_dict(), method="best")
    assert alignment.bound == pytest.approx(alignment.similarity, rel=1e-7)
    assert alignment.gap == pytest.approx(0.0, abs=1e-7 * alignment.bound)


def test_the_bound_does_not_move_with_the_network():
    a, b = fully_connected(0).state_dict(), fully_connected(1).state_dict()
    group = td.symmetry.fully_connected_group(a)
    bounds = [td.align(group, b, to=a, method=m).bound for m in ("greedy", "frank-wolfe")]
    assert bounds[0] == pytest.approx(bounds[1], rel=1e-9)
    assert td.align(group, b, to=a, method="frank-wolfe").similarity < bounds[0]


def test_the_bound_is_below_the_product_of_the_norms():
    a, b = fully_connected(0).state_dict(), fully_connected(1).state_dict()
    group = td.symmetry.fully_connected_group(a)
    alignment = td.align(group, b, to=a)
    norms = [
        sum(float(network[n].square().sum()) for n in a) ** 0.5
        for network in (alignment.reference, alignment.params)
    ]
    assert alignment.similarity <= alignment.bound < 0.99 * norms[0] * norms[1]


def test_restarts_spend_the_budget_and_never_lose():
    a, b = fully_connected(0).state_dict(), fully_connected(1).state_dict()
    group = td.symmetry.fully_connected_group(a)
    plain = td.align(group, b, to=a)
    better = False
    for seed in range(20):  # one is enough where the processor is not shared with others
        begun, draws = time.monotonic(), torch.Generator().manual_seed(seed)
        spent = td.align(group, b, to=a, budget=0.5, generator=draws)
        assert 0.4 < spent.seconds <= time.monotonic() - begun
        assert spent.similarity >= plain.similarity
        better |= spent.similarity > plain.similarity
        if better:
            break
    assert better  # this pair has a better element than descent finds
    stopped = td.align(group, b, to=a, budget=1e-9)
    assert not stopped.converged
    assert stopped.similarity >= stopped.similarity_before


def test_restarts_from_different_seeds_agree():
    a, b = fully_connected(2).state_dict(), fully_connected(3).state_dict()
    group = td.symmetry.fully_connected_group(a)
    # long enough that both settle at the same best element
    found = [
        td.align(group, b, to=a, budget=1.0, generator=torch.Generator().manual_seed(s)).similarity
        for s in (1, 1, 2)
    ]
    assert found[0] == pytest.approx(found[1], rel=0.02)
    assert found[0] == pytest.approx(found[2], rel=0.02)


@pytest.mark.parametrize("budget", [0, -1.0, float("nan")])
def test_a_budget_must_be_positive(budget):
    a = fully_connected(0).state_dict()
    with pytest.raises(ToroidsError, match="pass a positive number up to 1,000,000,000, or None"):
        td.align(td.symmetry.fully_connected_group(a), a, to=a, budget=budget)


def test_progress_is_told():
    a, b = fully_connected(0).state_dict(), fully_connected(1).state_dict()
    told = []
    td.align(
        td.symmetry.fully_connected_group(a), b, to=a, progress=lambda *what: told.append(what)
    )
    assert told[0] == ("greedy", 0, 2)
    assert {text for text, _, _ in told} >= {"greedy", "sweep 1"}


def test_activations_need_a_probe():
    a = fully_connected(0).state_dict()
    group = td.symmetry.fully_connected_group(a)
    with pytest.raises(ToroidsError, match=r"pass probe=td.probe.Probe\(model, group, inputs\)"):
        td.align(group, a, to=a, method="activations")


def test_activations_match_units_that_do_the_same():
    """Trained twice from one seed but for noise, a shuffled copy is put in order again."""
    model = fully_connected(0)
    inputs = torch.randn(200, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    group = td.discover(model, inputs)
    a = model.state_dict()
    noise = fully_connected(9).state_dict()
    noisy = {name: tensor + 0.1 * noise[name] for name, tensor in a.items()}
    g = group.random(torch.Generator().manual_seed(1))
    probe = td.probe.Probe(model, group, inputs)
    alignment = td.align(group, group.apply(g, noisy), to=a, method="activations", probe=probe)
    planted = group.inverse(g)
    for space in group.spaces:
        found = alignment.element.choices[space.name].permutation
        assert torch.equal(found, planted.choices[space.name].permutation)
    assert alignment.method == "activations"
    assert td.align(group, noisy, to=a, method="best", probe=probe).gap >= 0


def test_activations_match_by_correlation_not_by_weights():
    """The table is that of correlations of what units compute, against plain numpy."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    a, b = fully_connected(0, (6, 12, 3)), fully_connected(1, (6, 12, 3))
    inputs = torch.randn(300, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    group = td.discover(a, inputs)
    probe = td.probe.Probe(a, group, inputs)
    alignment = td.align(
        group, b.state_dict(), to=a.state_dict(), method="activations", probe=probe
    )
    units = [torch.relu(m.hidden1(inputs)).detach().numpy() for m in (a, b)]
    table = np.corrcoef(units[0].T, units[1].T)[:12, 12:]
    _, columns = linear_sum_assignment(np.nan_to_num(table), maximize=True)
    found = alignment.element.choices[group.spaces[0].name].permutation[0].numpy()
    reached, expected = (np.nan_to_num(table)[np.arange(12), p].sum() for p in (found, columns))
    assert reached == pytest.approx(expected, rel=1e-12)


def labelled(model, count=60):
    inputs = torch.randn(count, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return inputs, model(inputs).argmax(dim=1)


def test_the_loss_needs_a_landscape():
    a = fully_connected(0).state_dict()
    group = td.symmetry.fully_connected_group(a)
    with pytest.raises(ToroidsError, match=r"pass landscape=td.Landscape\(model, \(inputs, labels"):
        td.align(group, a, to=a, method="loss")


def test_the_loss_finds_a_better_middle_and_keeps_the_function():
    a, b = (fully_connected(seed) for seed in (0, 1))
    data = labelled(a)
    group = td.symmetry.fully_connected_group(a.state_dict())
    landscape = td.Landscape(a, data)
    kwargs = {"to": a.state_dict(), "landscape": landscape}
    best, loss, again = (
        td.align(group, b.state_dict(), method=method, **kwargs)
        for method in ("best", "loss", "loss")
    )
    losses = []
    for alignment in (best, loss):
        path = td.Toroid(group).geodesic(alignment.reference, alignment.params)
        losses.append(landscape.gradient(path(0.5), 8.0)[0])
    assert losses[1] < losses[0]
    assert loss.similarity < best.similarity
    assert loss.element.choices["hidden1"].permutation.equal(
        again.element.choices["hidden1"].permutation
    )
    canonical = td.canonicalize(group, b.state_dict())
    for params in (canonical, loss.params):
        outputs = torch.func.functional_call(b, dict(params), (data[0],))
        assert (outputs - b(data[0])).abs().max() < 1e-12


def test_the_loss_stays_at_a_moved_copy():
    model, inputs = small("convolution", 0)
    group = td.discover(model, inputs)
    g = group.random(torch.Generator().manual_seed(0))
    data = (torch.randn(20, 1, 4, 4, dtype=torch.float64), torch.arange(20) % 2)
    alignment = td.align(
        group, group.apply(g, model.state_dict()), to=model.state_dict(), method="loss",
        landscape=td.Landscape(model, data), budget=0.2,
    )  # fmt: skip
    assert alignment.similarity <= alignment.bound + 1e-9
    assert alignment.seconds < 5


def test_the_loss_passes_where_units_are_antipodal():
    a, _ = small("relu, one layer", 0)
    other = {name: -tensor for name, tensor in a.state_dict().items()}
    group = td.discover(a, torch.randn(2, 3, dtype=torch.float64))
    data = (torch.randn(30, 3, dtype=torch.float64), torch.arange(30) % 2)
    landscape = td.Landscape(a, data)
    alignment = td.align(group, other, to=a.state_dict(), method="loss", landscape=landscape)
    assert alignment.sweeps == 400


def test_folded_norms_are_aligned():
    a, inputs = small("convolution", 0)
    b, _ = small("convolution", 1)
    group = td.discover(a, inputs)
    alignment = td.align(group, b.state_dict(), to=a.state_dict(), batch_norm="fold")
    toroid = td.Toroid(group, batch_norm="fold")
    start = td.canonicalize(group, b.state_dict(), batch_norm="fold")
    before = toroid.distance(alignment.reference, start)
    assert toroid.distance(alignment.reference, alignment.params) <= before
    outputs = [
        torch.func.functional_call(b, dict(p), (inputs,))
        for p in (b.state_dict(), alignment.params)
    ]
    assert (outputs[0] - outputs[1]).abs().max() < 1e-12


@pytest.mark.parametrize("method", ["descent", "greedy", "frank-wolfe", "best"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_scratch_folder_changes_nothing(method, dtype, tmp_path):
    a, b = (
        {name: tensor.to(dtype) for name, tensor in fully_connected(seed).state_dict().items()}
        for seed in (0, 1)
    )
    group = td.symmetry.fully_connected_group(a)
    plain = td.align(group, b, to=a, method=method)
    spilled = td.align(group, b, to=a, method=method, scratch=tmp_path)
    assert not list(tmp_path.iterdir())  # the files are gone as soon as nothing sets a tensor
    assert spilled.similarity == plain.similarity
    for one, other in ((plain.params, spilled.params), (plain.reference, spilled.reference)):
        assert one.notes == other.notes
        assert list(one) == list(other)
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert all(torch.equal(b[name], fully_connected(1).state_dict()[name].to(dtype)) for name in b)


def test_a_scratch_folder_must_be_there(tmp_path):
    a = fully_connected(0).state_dict()
    with pytest.raises(ToroidsError, match="no scratch folder can be made"):
        td.align(td.symmetry.fully_connected_group(a), a, to=a, scratch=tmp_path / "none")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("sides", [(3, 5, 2), (30, 40, 2), (4, 3, 6)])
def test_sums_of_singular_values_are_those_of_the_product(sides):
    rows, columns, inner = sides
    u, v = torch.randn(rows, inner).double(), torch.randn(columns, inner).double()
    assert _nuclear(u, v) == pytest.approx(float(torch.linalg.svdvals(u @ v.T).sum()))
