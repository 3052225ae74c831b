import itertools

import pytest
import torch
from discovery.function import Function
from torch import nn

import toroids as td
from toroids.errors import ParamsError, ToroidsError


def network(seed, widths=(3, 4, 4, 2)):
    return td.models.fully_connected(widths, seed=seed).double().state_dict()


def incoming(params, layer):
    return torch.cat([params[f"{layer}.weight"], params[f"{layer}.bias"][:, None]], dim=1)


@pytest.mark.parametrize("seed", range(5))
def test_greedy_is_optimal_layer_by_layer(seed):
    """Against all 24 permutations of each layer, given the layers before; biases count as well."""
    a, b = network(2 * seed), network(2 * seed + 1)
    for params in (a, b):
        for layer in ("hidden1", "hidden2"):
            params[f"{layer}.bias"] *= 5
    group = td.symmetry.fully_connected_group(a, output="classifier")
    alignment = td.align(group, b, to=a, method="greedy")
    for layer in ("hidden1", "hidden2"):
        u, v = incoming(alignment.reference, layer), incoming(alignment.params, layer)
        reached = float((u * v).sum())
        best = max(float((u * v[list(p)]).sum()) for p in itertools.permutations(range(4)))
        assert reached == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_greedy_flips_no_unit_whose_gain_speaks_against_it(seed):
    """A gain of 1 against one of -1 costs more than any two filters are worth."""
    torch.manual_seed(seed)
    model, other = (
        nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2)).double()
        for _ in range(2)
    )
    group = td.discover(model.eval(), torch.randn(4, 3, dtype=torch.float64))
    alignment = td.align(group, other.state_dict(), to=model.state_dict(), method="greedy")
    assert bool((alignment.params["1.weight"] > 0).all())
    assert alignment.similarity > alignment.similarity_before
    moved = group.random(torch.Generator().manual_seed(seed))
    turned = group.apply(moved, model.state_dict())
    back = td.align(group, turned, to=model.state_dict(), method="greedy")
    assert td.Toroid(group).distance(back.reference, back.params) < 1e-9


@pytest.mark.parametrize("seed", range(10))
def test_no_permutation_of_one_layer_improves_on_descent(seed):
    """Against all 24 permutations of either layer; all of both bound it from above."""
    a, b = network(2 * seed), network(2 * seed + 1)
    group = td.symmetry.fully_connected_group(a, output="classifier")
    alignment = td.align(group, b, to=a)

    def similarity(first, second):
        choices = {
            "hidden1": td.symmetry.SpaceElement(torch.tensor(first)),
            "hidden2": td.symmetry.SpaceElement(torch.tensor(second)),
        }
        moved = group.apply(td.symmetry.Element(choices), alignment.params)
        return sum(float((moved[n] * alignment.reference[n]).sum()) for n in a)

    every = list(itertools.permutations(range(4)))
    home = every[0]
    one_layer = [similarity(p, home) for p in every] + [similarity(home, p) for p in every]
    assert alignment.similarity == pytest.approx(max(one_layer), abs=1e-12)
    assert alignment.similarity_before <= alignment.similarity


def test_blocks_of_which_some_entries_stay_and_others_move_are_aligned():
    steps = torch.tensor([1.0, 2.0, 3.0])  # tell the last entries of every block apart

    def forward(m, x):
        moving, still = m.a(x).unflatten(-1, (2, 5)).split((2, 3), dim=-1)
        entries = torch.cat([moving.relu(), (still * steps).sigmoid()], dim=-1)
        return m.o((entries * entries.square().sum(-1, keepdim=True)).flatten(-2))

    model = Function(forward, a=nn.Linear(3, 10), o=nn.Linear(10, 3)).double()
    group, params = td.discover(model, torch.randn(4, 3)), model.state_dict()
    assert [(s.size, s.copies) for s in group.spaces] == [(2, 1), (2, 2)]
    moved = group.apply(group.random(torch.Generator().manual_seed(3)), params)
    alignment = td.align(group, moved, to=params)
    assert td.Toroid(group).distance(alignment.reference, alignment.params) < 1e-12


def test_alignment_reports_both_similarities():
    a, b = network(0, (6, 50, 4)), network(1, (6, 50, 4))
    group = td.symmetry.fully_connected_group(a, output="classifier")
    alignment = td.align(group, b, to=a)
    start = td.canonicalize(group, b)
    before = sum(float((alignment.reference[n] * start[n]).sum()) for n in a)
    assert alignment.similarity_before == pytest.approx(before)
    assert alignment.similarity > alignment.similarity_before
    assert alignment.method == "descent"


def test_degenerate_units_are_reported_where_they_end_up():
    a, b = network(0), network(1)
    b["hidden1.weight"][0] = 0
    b["hidden1.bias"][0] = 0
    group = td.symmetry.fully_connected_group(a)
    alignment = td.align(group, b, to=a)
    place = alignment.element.choices["hidden1"].permutation[0].tolist().index(0)
    assert alignment.params.notes == (
        f"space `hidden1`: units [{place}] have zero norm and are left as they are",
    )


def test_bad_requests():
    a = network(0)
    group = td.symmetry.fully_connected_group(a)
    with pytest.raises(
        ToroidsError, match=r"no method 'magic'; choose from \['activations', 'best', 'des"
    ):
        td.align(group, a, to=a, method="magic")
    with pytest.raises(ParamsError, match="`hidden1.weight` has shape"):
        td.align(group, network(1, (3, 5, 4, 2)), to=a)
    with pytest.raises(ParamsError, match="`output.bias` in the network to be moved .* NaN"):
        td.align(group, {**a, "output.bias": torch.full((2,), float("nan"))}, to=a)


def test_buffers_do_not_count_as_similar():
    a, b = network(0), network(1)
    group = td.symmetry.fully_connected_group(a)
    shapes = {**group.shapes, "mean": (3,)}
    with_buffer = td.SymmetryGroup(group.spaces, shapes, group.output, frozenset({"mean"}))
    plain = td.align(group, b, to=a).similarity
    mean = {"mean": torch.full((3,), 100.0)}
    assert td.align(with_buffer, {**b, **mean}, to={**a, **mean}).similarity == plain


def test_parameters_that_require_gradients_are_aligned():
    a, b = (td.models.fully_connected([3, 4, 2], seed=s) for s in (0, 1))
    group = td.symmetry.fully_connected_group(a.state_dict())
    plain = td.align(group, b.state_dict(), to=a.state_dict())
    live = td.align(group, dict(b.named_parameters()), to=dict(a.named_parameters()))
    assert live.similarity == plain.similarity
    assert live.params["hidden1.weight"].requires_grad


def test_different_precisions_are_refused():
    a = network(0)
    group = td.symmetry.fully_connected_group(a)
    with pytest.raises(ParamsError, match="is torch.float64 on cpu in the reference but torch.f"):
        td.align(group, {name: tensor.float() for name, tensor in a.items()}, to=a)


def test_half_precision_with_a_zero_unit_is_aligned():
    a, b = ({n: t.half() for n, t in network(s).items()} for s in (0, 1))
    b["hidden1.weight"][0] = 0
    b["hidden1.bias"][0] = 0
    alignment = td.align(td.symmetry.fully_connected_group(a), b, to=a)
    assert alignment.params["hidden1.weight"].dtype == torch.float16
    assert "have zero norm" in alignment.params.notes[0]
