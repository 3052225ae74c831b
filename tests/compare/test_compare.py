"""Two networks compared: the verdict, the evidence, and what must not change them."""

import functools
import json
import math
import sys

import pytest
import torch
from align.test_fresh import random_weights
from laws.networks import build
from laws.test_discovered_canonical_laws import subject
from zoo.tiny import TINY

import toroids as td

WRITTEN = ["batch norm", "channel shuffle"]


@functools.cache
def network(name):
    """A group and weights in float64."""
    if name in TINY:
        model, inputs, key = TINY[name]()
        group = td.discover(model, inputs, output_key=key)
        return group, {n: x.double() for n, x in model.state_dict().items()}
    return subject(name)[:2]


def near(group, params, size, seed=5):
    """A child: every weight disturbed."""
    generator = torch.Generator().manual_seed(seed)
    found = {
        name: x * (1 + size * torch.randn(x.shape, generator=generator, dtype=x.dtype))
        if name in group.parameters
        else x
        for name, x in params.items()
    }
    return {name: found[group.tied.get(name, name)] for name in found}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Llama", "child"), *((name, kind) for name in WRITTEN for kind in ("child", "stranger"))],
)
def test_no_element_and_no_exchange_changes_what_is_found(name, kind):
    group, a = network(name)
    b = near(group, a, 0.2) if kind == "child" else random_weights(group, a, 3)
    generator = torch.Generator().manual_seed(0)
    plain = td.compare(group, a, b)
    moved = td.compare(group, *(group.apply(group.random(generator), x) for x in (b, a)))
    assert plain.verdict == moved.verdict
    for found, expected in (
        (moved.score.mean, plain.score.mean),
        (moved.score.peak, plain.score.peak),
        (moved.similarity, plain.similarity),
        (moved.chance.mean, plain.chance.mean),
        (moved.beyond.peak, plain.beyond.peak),
        (moved.bound, plain.bound),
        (moved.distance, plain.distance),
    ):
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert moved.raw_distance > 2 * plain.raw_distance or kind == "stranger"


@pytest.mark.parametrize("name", ["Llama", "batch norm"])
def test_a_copy_in_disguise_is_named_and_its_element_leads_back(name):
    group, a = network(name)
    b = group.apply(group.random(torch.Generator().manual_seed(1)), a)
    found = td.compare(group, a, b)
    assert found.verdict == "copy in disguise"
    assert found.distance < 1e-8 < found.raw_distance
    assert found.done in found.reason and "permuted" in found.done and "rescaled" in found.reason
    assert {layer.state for layer in found.layers} == {"untouched"}
    back = group.apply(found.element, td.canonicalize(group, b))
    there = td.canonicalize(group, a)
    assert max(float((back[n] - there[n]).abs().max()) for n in group.parameters) < 1e-8


@pytest.mark.parametrize(("kind", "limit"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-4)])
def test_narrow_precision_hides_no_copy_and_moves_no_score(kind, limit):
    group, a = network("batch norm")
    generator = torch.Generator().manual_seed(1)

    def rounded(params):
        return {n: x.to(kind) if x.is_floating_point() else x for n, x in params.items()}

    a = {n: x.clamp(-3, 3) if n in group.parameters else x for n, x in a.items()}
    copy = rounded(group.apply(group.random(generator), a))
    assert td.compare(group, rounded(a), copy).verdict == "copy in disguise"
    child = near(group, a, 0.2)
    moved = rounded(group.apply(group.random(generator), child))
    plain, disguised = (td.compare(group, rounded(a), b) for b in (rounded(child), moved))
    assert disguised.score.mean == pytest.approx(plain.score.mean, abs=limit)


def test_equal_weights_are_told_without_looking_at_them():
    case = build("two-hidden")
    found = td.compare(case.group, case.params, {n: x.clone() for n, x in case.params.items()})
    assert (found.verdict, found.reason) == ("same function", "Their weights are equal.")
    assert found.element is None and found.distance == found.raw_distance == 0
    assert found.bound == found.score.mean == found.similarity == 1
    assert [layer.state for layer in found.layers] == ["untouched"] * 3
    assert found.done == "nothing"


def test_weights_equal_up_to_their_rounding_are_the_same_and_a_step_of_training_is_none():
    case = build("two-hidden")
    a = {n: x.float() for n, x in case.params.items()}
    half = {n: x.bfloat16() for n, x in a.items()}
    found = td.compare(case.group, a, half)
    assert found.verdict == "same function" and "bfloat16" in found.reason
    step = {n: x * (1 + 2e-6) for n, x in a.items()}
    step["hidden1.weight"] = a["hidden1.weight"] + 2e-6
    assert td.compare(case.group, a, step).verdict == "related"


def test_precision_is_that_of_the_weights_and_not_of_their_type():
    case = build("two-hidden")
    a = {n: x.float() for n, x in case.params.items()}
    coarse = {n: x.bfloat16().float() for n, x in a.items()}  # saved wider than it is
    found = td.compare(case.group, a, coarse)
    assert found.verdict == "same function" and "bfloat16" in found.reason
    assert 0 < found.distance < 0.1 and found.alignment is None
    copy = case.group.apply(case.group.random(torch.Generator().manual_seed(2)), a)
    wide = {n: x.double() for n, x in copy.items()}
    assert td.compare(case.group, a, wide).verdict == "copy in disguise"
    # one weight of coarse ones is no rounding, however little it is beside all of them
    signs = {n: torch.where(x > 0, 1.0, -1.0) for n, x in a.items()}
    other = {**signs, "output.weight": signs["output.weight"].clone()}
    other["output.weight"][0, 0] *= -1
    assert td.compare(case.group, signs, other).verdict == "related"


def test_outputs_are_compared_on_data():
    model = td.models.fully_connected([4, 8, 3], seed=0).double()
    a = model.state_dict()
    inputs, labels = torch.randn(30, 4).double(), torch.randint(3, (30,))
    group = td.discover(model, inputs[:2])
    landscape = td.Landscape(model, (inputs, labels), batch_size=7)
    b = {n: x + 0.1 * torch.ones_like(x) for n, x in a.items()}
    found = td.compare(group, a, b, landscape=landscape).outputs
    f, g = (torch.func.functional_call(model, dict(x), (inputs,)) for x in (a, b))
    expected = (f - g).norm() / (f.norm() * g.norm()).sqrt()
    assert found.deviation == pytest.approx(float(expected))
    assert found.agreement == pytest.approx(float((f.argmax(1) == g.argmax(1)).double().mean()))
    assert found.examples == 30 and found.first == landscape(a)
    # what the reader of a classifier cannot see is no difference
    classifier = td.discover(model, inputs[:2], output="classifier")
    b = {n: 3 * x if n.startswith("output") else x for n, x in a.items()}
    b["output.bias"] = b["output.bias"] + 5
    seen = td.compare(classifier, a, b, landscape=landscape).outputs
    assert seen.deviation < 1e-7 and seen.agreement == 1
    zero = {n: x * (not n.startswith("output")) for n, x in a.items()}
    assert td.compare(group, a, zero, landscape=landscape).outputs.deviation == 1
    with pytest.raises(td.ToroidsError, match="only= compares parts"):
        td.compare(group, a, b, only=["hidden1"], landscape=landscape)


def test_where_nothing_is_free_weights_tell_nothing():
    group = td.symmetry.fully_connected_group({"output.weight": torch.ones(3, 4).double()})
    a, b = (torch.randn(3, 4, generator=torch.Generator().manual_seed(s)).double() for s in (1, 2))
    found = td.compare(group, {"output.weight": a}, {"output.weight": a + 0.1 * b})
    assert found.verdict == "undecided" and "No symmetry moves" in found.reason
    case = build("two-hidden")
    zero = {n: torch.zeros_like(x) for n, x in case.params.items()}
    found = td.compare(case.group, case.params, zero)
    assert found.verdict == "undecided" and "second network are zero" in found.reason


def test_a_copy_that_was_only_rescaled_is_one_in_disguise():
    case = build("two-hidden")
    scales = torch.full((1, 8), 2.0).log().double()
    element = case.group.identity()
    choices = dict(element.choices)
    choices["hidden1"] = td.symmetry.SpaceElement(torch.arange(8), scales)
    b = case.group.apply(td.symmetry.Element(choices), case.params)
    found = td.compare(case.group, case.params, b)
    assert found.verdict == "copy in disguise"
    assert not any(each.any for each in found.moved)
    assert "rescaled" in found.reason


def test_layers_tell_what_is_new():
    case = build("deep")
    a, other = case.params, case.other(7)
    b = {**a, "output.weight": other["output.weight"], "output.bias": other["output.bias"]}
    b["hidden2.weight"] = near(case.group, a, 0.05)["hidden2.weight"]
    found = td.compare(case.group, a, b)
    states = {layer.name: layer.state for layer in found.layers}
    assert states["hidden1"] == states["hidden4"] == "untouched"
    assert states["hidden2"] == "lightly changed" and states["output"] == "new"
    assert found.verdict == "related"
    assert [layer.parameters for layer in found.layers][0] == 4 * 6 + 6
    moved = case.group.apply(case.group.random(torch.Generator().manual_seed(3)), b)
    states = {layer.name: layer.state for layer in td.compare(case.group, a, moved).layers}
    assert states["hidden1"] == "untouched" and states["output"] == "new"


def test_a_norm_that_the_canonical_form_makes_constant_is_no_layer():
    layers = (torch.nn.Linear(4, 6), torch.nn.LayerNorm(6), torch.nn.Linear(6, 3))
    model = torch.nn.Sequential(*layers).double()
    group, a = td.discover(model, torch.randn(2, 4).double()), model.state_dict()
    a, b = (random_weights(group, a, seed) for seed in (1, 2))
    assert [layer.name for layer in td.compare(group, a, b).layers] == ["0", "2"]


def test_distances_add_up_and_the_bound_is_above_the_similarity():
    case = build("two-hidden")
    found = td.compare(case.group, case.params, case.other(3))
    assert math.hypot(*found.distances.values()) == pytest.approx(found.distance)
    assert found.similarity_before <= found.bound and found.similarity <= found.bound
    assert found.verdict in ("strangers", "undecided")
    row = json.loads(json.dumps(found.row()))
    assert row["bound"] == found.bound and row["layers"][0]["name"] == "hidden1"
    assert row["false_alarms"]["pairs"] == found.false_alarms.pairs


def test_large_networks_are_told_without_surrogates_where_these_cannot_decide(monkeypatch):
    group, a = network("batch norm")
    monkeypatch.setattr(sys.modules["toroids.compare.compare"], "LARGE", 0)
    stranger, child = random_weights(group, a, 3), near(group, a, 0.1)
    for other, verdict in ((stranger, "strangers"), (child, "related")):
        found = td.compare(group, a, other)
        assert (found.verdict, found.chance) == (verdict, None)


def test_the_rest_may_be_of_other_shapes_where_parts_are_compared():
    case = build("two-hidden")
    wider = {
        **case.params,
        "output.weight": torch.randn(7, 9).double(),
        "output.bias": torch.ones(7).double(),
    }
    with pytest.raises(
        td.errors.ParamsError, match=r"the second network .* 4 of 6 tensors fit, but `output"
    ):
        td.compare(case.group, case.params, wider)
    values = td.symmetry.fully_connected_group(case.params, layers=["hidden1", "hidden2", "output"])
    found = td.compare(values, case.params, wider, only=["hidden1", "hidden2"])
    assert found.verdict in ("same function", "copy in disguise")
    assert {layer.name for layer in found.layers} == {"hidden1", "hidden2"}


def test_of_parts_the_entries_that_both_have_are_compared_and_the_rest_may_be_missing():
    group, a = network("Llama")
    embedding, head = (next(n for n in a if word in n) for word in ("embed", "head"))
    copy = dict(group.apply(group.random(torch.Generator().manual_seed(1)), a))
    longer = {n: torch.cat([copy[n], copy[n][:3]]) for n in (embedding, head)}
    only = [n for n in group.shapes if ".1." not in n]
    part = {n: x for n, x in {**copy, **longer}.items() if n in only}
    found = td.compare(group, a, part, only=only)
    assert found.verdict == "copy in disguise" and "the first entries" in found.notes[0]
    unheld = [n for n in only if ".0.self_attn" in n]
    assert td.compare(group, a, part, only=unheld).verdict != "strangers"
    for change, match in (
        ({}, "has no `"),
        ({unheld[0]: torch.ones(3, 3)}, "symmetries move axes"),
    ):
        wrong = {n: x for n, x in {**part, **change}.items() if change or n != unheld[0]}
        with pytest.raises(td.errors.ParamsError, match=match):
            td.compare(group, a, wrong, only=only)


def test_layers_that_nobody_touched_are_told_behind_a_matrix_that_turns_the_stream():
    group, a = network("Llama")
    child = near(group, a, 0.1)
    child = {n: child[n] if "mlp.up_proj" in n else x for n, x in a.items()}
    moved = group.apply(group.random(torch.Generator().manual_seed(1)), child)
    states = {layer.name: layer.state for layer in td.compare(group, a, moved).layers}
    changed = {name for name, state in states.items() if state != "untouched"}
    assert changed and all(".mlp." in name for name in changed)


def test_equal_weights_with_other_statistics_are_no_copy():
    group, a = network("batch norm")
    mean = next(n for n in group.shapes if "running_mean" in n)
    b = {**a, mean: 2 * a[mean]}
    moved = group.apply(group.random(torch.Generator().manual_seed(1)), b)
    for other in (b, moved):
        found = td.compare(group, a, other)
        assert found.verdict == "related" and f"but not `{mean}`" in found.reason


def broken(params, name, change):
    return {**params, name: change(params[name])}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda p: broken(p, "output.bias", lambda x: x * torch.nan), "NaN or infinite"),
        (lambda p: {n: x for n, x in p.items() if "2" not in n}, "`hidden2.weight` is not there"),
        (lambda p: broken(p, "hidden1.weight", lambda x: x.to(torch.int8)), "is of torch.int8"),
        (lambda p: {**p, "more": torch.ones(2)}, "has `more`"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(change, match):
    case = build("two-hidden")
    with pytest.raises(td.errors.ParamsError, match=match):
        td.compare(case.group, case.params, change(case.params))
