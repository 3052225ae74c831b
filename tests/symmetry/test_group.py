import dataclasses
import json

import pytest
import torch

import toroids as td
from toroids.errors import ParamsError, ToroidsError
from toroids.symmetry import Element, Leg, Space, SpaceElement, action
from toroids.symmetry.action import move_space
from toroids.symmetry.choice import random_choice


@pytest.fixture
def params():
    return td.models.fully_connected([3, 4, 2], seed=0).double().state_dict()


@pytest.fixture
def group(params):
    return td.symmetry.fully_connected_group(params)


def test_apply_against_the_formula(group, params):
    permutation, log_scales = torch.tensor([2, 0, 3, 1]), torch.randn(1, 4, dtype=torch.float64)
    moved = group.apply(
        td.symmetry.Element({"hidden1": td.symmetry.SpaceElement(permutation, log_scales)}), params
    )
    for i, j in enumerate(permutation.tolist()):
        scale = log_scales[0, i].exp()
        assert torch.allclose(moved["hidden1.weight"][i], scale * params["hidden1.weight"][j])
        assert torch.allclose(moved["hidden1.bias"][i], scale * params["hidden1.bias"][j])
        assert torch.allclose(moved["output.weight"][:, i], params["output.weight"][:, j] / scale)
    assert moved["output.bias"] is params["output.bias"]
    assert list(moved) == list(params)


def test_random_is_determined_by_its_generator(group):
    one, two = (group.random(torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one.choices["hidden1"].log_scales, two.choices["hidden1"].log_scales)
    assert torch.equal(one.choices["hidden1"].permutation, two.choices["hidden1"].permutation)


def test_an_element_is_saved_and_read(group, params, tmp_path):
    g = group.random(torch.Generator().manual_seed(0))
    g.save(tmp_path / "g.safetensors")
    read = td.symmetry.Element.load(tmp_path / "g.safetensors")
    expected, found = group.apply(g, params), group.apply(read, params)
    assert all(torch.equal(expected[name], found[name]) for name in params)


def test_a_file_of_weights_is_no_element(params, tmp_path):
    td.save_params(params, tmp_path / "w.safetensors")
    with pytest.raises(ToroidsError, match="pass a file that Element.save wrote"):
        td.symmetry.Element.load(tmp_path / "w.safetensors")


def test_order_and_dimension(params):
    group = td.symmetry.fully_connected_group(td.models.fully_connected([3, 4, 5, 2]).state_dict())
    assert 10**group.log10_order == pytest.approx(24 * 120)
    assert group.dimension == 9


def test_the_table_names_spaces_actions_and_totals(group):
    lines = str(group).splitlines()
    assert lines[1].split() == ["hidden1", "4", "1", "permute,", "rescale", "hidden1", "output"]
    assert (
        lines[-1]
        == "output: values; discrete order 10^1.4; continuous dimension 4; 92.3 % of the parameters are touched"
    )


def test_a_group_written_by_hand_as_json(params):
    legs = [
        ("hidden1.weight", 0, "write"),
        ("hidden1.bias", 0, "write"),
        ("output.weight", 1, "read"),
    ]
    text = json.dumps(
        {
            "format": "toroids-symmetry-group-1",
            "spaces": [
                {
                    "name": "hidden1",
                    "size": 4,
                    "copies": 1,
                    "actions": ["permute", "rescale"],
                    "legs": [
                        {"tensor": t, "axis": a, "role": r, "operator": t.split(".")[0]}
                        for t, a, r in legs
                    ],
                    "generators": [{"action": "rescale", "exponents": [1, 1, -1]}],
                }
            ],
            "shapes": {name: list(tensor.shape) for name, tensor in params.items()},
        }
    )
    written = td.SymmetryGroup.from_json(text)
    assert written.spaces == td.symmetry.fully_connected_group(params).spaces


def set_exponents(*exponents):
    return lambda data: data["spaces"][0]["generators"][0].update(exponents=list(exponents))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda data: data["spaces"][0].update(size=5),
            "has 5 units but axis 0 of `hidden1.weight` has 4",
        ),
        (lambda data: data["spaces"][0].update(copies=2), "has 8 units but axis 0"),
        (lambda data: data["spaces"][0].update(sizes=5), "`spaces.0.sizes` is wrong"),
        (lambda data: data["spaces"][0].update(actions=["permute"]), "exactly with a generator"),
        (lambda data: data["spaces"][0].update(actions=["turn"]), "`spaces.0.actions"),
        (
            lambda data: data["spaces"][0]["legs"][0].update(tensor="gone"),
            "names the tensor `gone`",
        ),
        (
            lambda data: data["spaces"][0]["legs"][0].update(axis=2),
            "names axis 2 of `hidden1.weight`",
        ),
        (lambda data: data["spaces"][0]["legs"].pop(), "has 2 legs but a generator with 3"),
        (lambda data: data["spaces"][0].update(legs=[]), "0 legs; give at least one"),
        (lambda data: data["spaces"].append(data["spaces"][0]), "are not unique"),
        (set_exponents(0, 0, 0), "that are not all zero"),
        (set_exponents(1, 1, float("nan")), "give finite"),
        (
            lambda data: data["spaces"][0]["legs"].__setitem__(1, data["spaces"][0]["legs"][0]),
            "again of",
        ),
        (lambda data: data["output"].update(mode="classifier", legs=[]), "needs the legs"),
        (lambda data: data["output"]["legs"][0].update(tensor="gone"), "names the tensor `gone`"),
        (lambda data: data.pop("spaces"), "`spaces` is wrong: Field required"),
        (lambda data: data.update(format="other"), 'lacks "format"'),
    ],
)
def test_a_wrong_group_is_refused(group, change, message):
    data = json.loads(group.to_json())
    change(data)
    with pytest.raises(ToroidsError, match=message):
        td.SymmetryGroup.from_json(json.dumps(data))


def test_text_that_is_not_json_is_refused():
    with pytest.raises(ToroidsError, match="the group cannot be read: it is n"):
        td.SymmetryGroup.from_json("{")
    with pytest.raises(ToroidsError, match="it is no object of JSON, but a list"):
        td.SymmetryGroup.from_json("[]")
    with pytest.raises(ToroidsError, match='lacks "format"'):
        td.SymmetryGroup.from_json("{}")


def test_one_axis_belongs_to_one_space(group):
    twin = dataclasses.replace(group.spaces[0], name="twin")
    with pytest.raises(ToroidsError, match="is a leg of `hidden1` and again of `twin`"):
        dataclasses.replace(group, spaces=(*group.spaces, twin))


def test_a_single_unit_may_hold_an_axis_on_which_others_move(group, params):
    hidden = group.spaces[0]
    scale = td.symmetry.Generator(
        "rescale", tuple(1.0 if x.role == "write" else -1.0 for x in hidden.legs)
    )
    whole = tuple(range(hidden.size))
    legs = tuple(dataclasses.replace(leg, positions=whole) for leg in hidden.legs)
    single = td.symmetry.Space("single", 1, 1, frozenset({"rescale"}), legs, (scale,))
    both = dataclasses.replace(group, spaces=(*group.spaces, single))
    g, h = (both.random(torch.Generator().manual_seed(seed)) for seed in (0, 1))
    at_once, in_turn = both.apply(both.compose(g, h), params), both.apply(g, both.apply(h, params))
    for name in params:
        torch.testing.assert_close(at_once[name], in_turn[name])
    first = (dataclasses.replace(legs[0], positions=(0, 1)),)
    scale = (td.symmetry.Generator("rescale", (1.0,)),)
    part = dataclasses.replace(single, legs=first, generators=scale)
    with pytest.raises(ToroidsError, match="is a leg of `hidden1` and again of `single`"):
        dataclasses.replace(group, spaces=(*group.spaces, part))


def test_foreign_parameters_and_elements_are_refused(group, params):
    g = group.identity()
    with pytest.raises(ParamsError, match=r"`hidden1.weight` has shape \(5, 3\) in the parameters"):
        group.apply(g, {**params, "hidden1.weight": torch.ones(5, 3)})
    with pytest.raises(ParamsError, match="`output.bias` .* NaN or infinite"):
        group.apply(g, {**params, "output.bias": torch.full((2,), float("inf"))})
    with pytest.raises(ToroidsError, match="the element has the spaces"):
        group.apply(td.symmetry.Element({}), params)
    doubled = td.symmetry.SpaceElement(
        torch.tensor([0, 0, 1, 2]), torch.zeros(1, 4, dtype=torch.float64)
    )
    with pytest.raises(ToroidsError, match="is not a permutation of 4 units"):
        group.apply(td.symmetry.Element({"hidden1": doubled}), params)


def test_text_nested_too_deeply_is_refused():
    with pytest.raises(ToroidsError, match="the group cannot be read: it is n"):
        td.SymmetryGroup.from_json("[" * 100_000)


def test_scales_that_are_not_finite_or_overflow_are_refused(group, params):
    def scaled(log_scale):
        log_scales = torch.full((1, 4), log_scale, dtype=torch.float64)
        return td.symmetry.Element(
            {"hidden1": td.symmetry.SpaceElement(torch.arange(4), log_scales)}
        )

    with pytest.raises(ToroidsError, match="with finite log-scales"):
        group.apply(scaled(float("nan")), params)
    single = {name: tensor.float() for name, tensor in params.items()}
    with pytest.raises(ParamsError, match="the moved network, where a scale leaves the range"):
        group.apply(scaled(100.0), single)


def test_a_recurrent_writer_cannot_set_the_scale():
    shapes = {"in": (6, 4), "again": (6, 6), "out": (3, 6)}
    cell = [
        td.symmetry.Leg("in", 0, "write", "cell"),
        td.symmetry.Leg("again", 0, "write", "cell"),
        td.symmetry.Leg("again", 1, "read", "cell"),
        td.symmetry.Leg("out", 1, "read", "head"),
    ]
    actions = frozenset({"permute", "rescale"})

    def group_of(legs, *exponents):
        generators = (td.symmetry.Generator("rescale", exponents),)
        return td.SymmetryGroup(
            (td.symmetry.Space("h", 6, 1, actions, tuple(legs), generators),), shapes
        )

    params = {name: torch.randn(shape).double() for name, shape in shapes.items()}
    group = group_of(cell, 1.0, 1.0, -1.0, -1.0)
    canonical = td.canonicalize(group, params)
    assert torch.allclose(canonical["in"].norm(dim=1), torch.ones(6).double())
    assert not torch.allclose(canonical["again"].norm(dim=1), torch.ones(6).double())
    g = group.random(torch.Generator().manual_seed(0))
    unpermuted = td.symmetry.Element(
        {"h": td.symmetry.SpaceElement(torch.arange(6), g.choices["h"].log_scales)}
    )
    a, b = (td.canonicalize(group, p) for p in (params, group.apply(unpermuted, params)))
    assert max((a[name] - b[name]).abs().max() for name in a) < 1e-12


def test_long_names_are_shown_whole():
    layers = [f"model.decoder.layers.0.a_rather_long_block_name.{n}" for n in ("first", "second")]
    params = {f"{layers[0]}.weight": torch.ones(4, 3), f"{layers[1]}.weight": torch.ones(2, 4)}
    shown = str(td.symmetry.fully_connected_group(params))
    assert "\u2026" not in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert shown.count("first") == 2  # the space's name and its writer
    assert shown.count("second") == 1


def test_names_are_no_markup():
    params = {"[bold]a.weight": torch.ones(4, 3), "b.weight": torch.ones(2, 4)}
    assert "[bold]a" in str(td.symmetry.fully_connected_group(params))


def test_a_space_that_may_not_be_permuted_is_not(group, params):
    space = dataclasses.replace(group.spaces[0], actions=frozenset({"rescale"}))
    fixed = dataclasses.replace(group, spaces=(space,))
    g = group.random(torch.Generator().manual_seed(0))
    with pytest.raises(ToroidsError, match="the element permutes `hidden1`, whose actions are"):
        fixed.apply(g, params)
    fixed.apply(fixed.random(torch.Generator().manual_seed(0)), params)


@pytest.mark.parametrize(
    ("legs", "message"),
    [
        ([("hidden1.weight", 0)], "writes the outputs and is a leg of `hidden1`"),
        (
            [("output.weight", 0), ("hidden1.weight", 1)],
            r"have \[2, 3\] classes; the mode 'logits'",
        ),
    ],
)
def test_outputs_that_cannot_be_removed_are_refused(group, legs, message):
    legs = tuple(td.symmetry.Leg(tensor, axis, "write", "output") for tensor, axis in legs)
    with pytest.raises(ToroidsError, match=message):
        dataclasses.replace(group, output=td.symmetry.Output("logits", legs))


def test_what_several_names_hold_is_moved_once():
    legs = tuple(td.symmetry.Leg(name, 0, "write", name) for name in ("first", "tied", "equal"))
    space = td.symmetry.Space("units", 4, 1, frozenset({"permute"}), legs)
    weight = torch.randn(4, 3)
    params = {"first": weight, "tied": weight, "equal": weight.clone()}
    move_space(space, random_choice(space, torch.Generator().manual_seed(0)), params)
    assert params["first"] is params["tied"] and params["first"] is not weight
    assert torch.equal(params["first"], params["equal"]) and params["first"] is not params["equal"]


def test_legs_along_one_axis_are_permuted_at_once(monkeypatch):
    calls = []
    real = action.permuted
    monkeypatch.setattr(action, "permuted", lambda *given: calls.append(given) or real(*given))
    parts = [(0, 1, 2), (6, 7, 8)]
    legs = [Leg("a", 0, "write", "a", positions=p) for p in parts]
    legs += [Leg("b", 1, "read", "b", positions=p) for p in parts]
    space = Space("units", 3, 1, frozenset({"permute"}), tuple(legs))
    params = {"a": torch.arange(9.0), "b": torch.arange(18.0).view(2, 9)}
    group = td.SymmetryGroup((space,), {name: tuple(x.shape) for name, x in params.items()})
    moved = group.apply(Element({"units": SpaceElement(torch.tensor([2, 0, 1]))}), params)
    order = [2, 0, 1, 3, 4, 5, 8, 6, 7]
    assert torch.equal(moved["a"], params["a"][order])
    assert torch.equal(moved["b"], params["b"][:, order])
    assert len(calls) == len(params)
