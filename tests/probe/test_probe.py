"""What a probe shows, against the modules themselves."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from discovery.function import Function
from discovery.written import built, unsettled
from torch import nn

import toroids as td
from toroids.errors import ParamsError, ToroidsError
from toroids.probe import Probe


def probed(model, inputs, **settings):
    return Probe(model, td.discover(model, inputs), inputs, **settings)(model.state_dict())


def test_units_of_a_group_written_by_hand_are_those_of_the_network():
    model, inputs = td.models.fully_connected([6, 8, 9, 4], seed=0), torch.randn(20, 6)
    group = td.symmetry.fully_connected_group(model.state_dict(), output="classifier")
    found = Probe(model, group, inputs)(model.state_dict())
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    value = inputs
    for space, layer in zip(group.spaces, layers, strict=False):
        value = F.relu(layer(value))
        (activations,) = found[space.name]
        torch.testing.assert_close(activations.values[0], value.T)
        assert activations.moved_by == frozenset()


def test_every_layer_of_a_recurrent_network_shows_its_whole_sequence():
    model, inputs = built("lstm")
    first = nn.LSTM(3, 5)
    weights = {n: t for n, t in model.r.state_dict().items() if n.endswith("l0")}
    first.load_state_dict(weights)
    (activations,) = probed(model, inputs)["r"]
    torch.testing.assert_close(activations.values[0], first(inputs)[0].flatten(0, 1).T)
    assert activations.signs == (1.0,)


def test_queries_and_keys_lie_head_after_head():
    model, inputs = built("attention by hand")
    found = probed(model, inputs)
    q, k = (layer(inputs).view(8, 2, 3).permute(1, 2, 0) for layer in (model.q, model.k))
    (activations,) = found["q"]
    torch.testing.assert_close(activations.values, torch.cat([q, k], dim=2))


def test_a_sign_that_no_reader_sees_is_shown_before_it_is_lost():
    model, inputs = built("batch norm")
    before_norm, read = probed(model, inputs)["0"]
    assert (before_norm.signs, read.signs) == ((1.0,), (0.0,))
    torch.testing.assert_close(before_norm.values[0], model[0](inputs).transpose(0, 1).flatten(1))
    torch.testing.assert_close(read.values[0], model[:4](inputs).transpose(0, 1).flatten(1))


def test_an_operator_in_place_does_not_change_what_was_read_before():
    def forward(m, x):
        h = m.a(x)
        first = m.b(h)
        h.relu_()
        return first + m.o(h)

    model = Function(forward, a=nn.Linear(4, 6), b=nn.Linear(6, 2), o=nn.Linear(6, 2))
    inputs = torch.randn(5, 4)
    (activations,) = probed(model, inputs)["a"]
    h = model.a(inputs).T
    torch.testing.assert_close(activations.values[0], torch.cat([h, h.relu()], dim=1))


@pytest.mark.parametrize("mode", [torch.no_grad, lambda: torch.autocast("cpu", torch.bfloat16)])
def test_values_inside_blocks_are_seen(mode):
    def forward(m, x):
        with mode():
            h = F.relu(m.b(F.relu(m.a(x))))
        return m.o(h.float())

    layers = dict(a=nn.Linear(4, 6), b=nn.Linear(6, 7), o=nn.Linear(7, 2))
    model, inputs = unsettled(Function(forward, **layers)), torch.randn(5, 4)
    params = {n: t.double() for n, t in model.state_dict().items()}
    found = Probe(model, td.discover(model, inputs), inputs)(params)
    h = F.relu(F.linear(inputs.double(), params["a.weight"], params["a.bias"]))
    torch.testing.assert_close(found["a"][0].values[0], h.T)
    assert found["b"][0].values.shape == (1, 7, 5)


def test_units_numbered_otherwise_and_legs_left_out_are_found():
    model, inputs = built("tanh")
    (space,) = td.discover(model, inputs).spaces
    order = (3, 1, 2, 0, 5, 4)
    legs = tuple(replace(leg, positions=order) for leg in space.legs if leg.tensor != "0.bias")
    flip = td.symmetry.Generator("flip", tuple(1.0 for _ in legs))
    mine = td.symmetry.Space("mine", 6, 1, space.actions, legs, (flip,))
    shapes = {n: tuple(t.shape) for n, t in model.state_dict().items()}
    group = td.SymmetryGroup((mine,), shapes)
    (activations,) = Probe(model, group, inputs)(model.state_dict())["mine"]
    hidden = model[:2](inputs).T
    torch.testing.assert_close(activations.values[0], hidden[list(order)])
    assert activations.signs == (1.0,)


def test_some_of_the_units_and_some_of_the_signs_are_found():
    model, inputs = built("residual layer norm")
    space = td.discover(model, inputs).spaces[0]
    (rescaled, flips) = space.of("rescale"), space.of("flip")
    both = tuple((a + b) % 2 for a, b in zip(*(g.exponents for g in flips), strict=True))
    legs = tuple(replace(leg, positions=(4, 0, 2)) for leg in space.legs)
    mine = td.symmetry.Space(
        "mine", 3, 1, frozenset({"permute", "rescale", "flip"}), legs,
        (*rescaled, td.symmetry.Generator("flip", both)),
    )  # fmt: skip
    shapes = {n: tuple(t.shape) for n, t in model.state_dict().items()}
    found = Probe(model, td.SymmetryGroup((mine,), shapes), inputs)(model.state_dict())["mine"]
    assert {activations.signs for activations in found} == {(1.0,)}  # in one norm or the other
    norm = model.n(model.e(inputs)).T
    torch.testing.assert_close(found[0].values[0, :, :4], norm[[4, 0, 2]])


def test_a_space_that_the_network_lacks_is_named():
    model, inputs = built("batch norm")
    group = td.discover(model, inputs)
    legs = (
        td.symmetry.Leg("5.weight", 0, "write", "5"),
        td.symmetry.Leg("5.bias", 0, "write", "5"),
    )
    classes = td.symmetry.Space("classes", 3, 1, frozenset({"permute"}), legs)
    wrong = replace(group, spaces=(*group.spaces, classes))
    with pytest.raises(ToroidsError, match="space `classes` do .axis 0 of `5.weight`"):
        Probe(model, wrong, inputs)


def test_a_sign_that_the_network_does_not_take_is_named():
    model, inputs = built("relu6")
    (space,) = td.discover(model, inputs).spaces
    flip = td.symmetry.Generator("flip", tuple(1.0 for _ in space.legs))
    odd = replace(space, actions=frozenset({"permute", "flip"}), generators=(flip,))
    group = replace(td.discover(model, inputs), spaces=(odd,))
    with pytest.raises(ToroidsError, match="flip 0 of space `0`"):
        Probe(model, group, inputs)


def test_observations_are_limited_alike_for_all_networks():
    model, inputs = built("batch norm")
    group = td.discover(model, inputs)
    whole = Probe(model, group, inputs)(model.state_dict())["0"]
    some = Probe(model, group, inputs, observations=20)(model.state_dict())["0"]
    for all_of_them, few in zip(whole, some, strict=True):
        assert few.values.shape[2] == 10  # shared between the two
        assert all((all_of_them.values[0, 0] == value).any() for value in few.values[0, 0])
    with pytest.raises(ToroidsError, match="observations is 0; pass at least 1"):
        Probe(model, group, inputs, observations=0)


def test_more_examples_than_the_network_has_hidden_coordinates():
    model, inputs = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), torch.randn(500, 3)
    (activations,) = probed(model, inputs)["0"]
    torch.testing.assert_close(activations.values[0], model[:2](inputs).T)
    assert Probe(nn.Identity(), td.discover(nn.Identity(), inputs), inputs)({}) == {}


def test_a_small_value_leaves_its_share_to_the_others():
    def forward(m, x):
        h = F.relu(m.a(x))
        return m.o(h).mean((2, 3)) + m.p(h.mean((2, 3)))

    model = Function(forward, a=nn.Conv2d(3, 4, 1), o=nn.Conv2d(4, 2, 1), p=nn.Linear(4, 2))
    (activations,) = probed(model, torch.randn(2, 3, 9, 9), observations=50)["a"]
    assert activations.values.shape == (1, 4, 50)


def test_the_module_is_left_as_it_was_and_values_carry_no_history():
    model, inputs = built("lstm")
    model.train()
    before = copy.deepcopy(model.state_dict())
    found = Probe(model, td.discover(model, inputs), inputs)(dict(model.named_parameters()))
    assert model.training
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert not any(v.values.requires_grad for values in found.values() for v in values)


def test_what_stays_in_place_is_shown_nowhere_where_no_units_of_the_trace_lie_alike():
    model = Function(
        lambda m, x: m.out(torch.softmax(m.mix, 1) @ torch.tanh(x)),
        mix=nn.Parameter(torch.randn(4, 4)),
        out=nn.Linear(5, 2),
    )
    assert probed(model, torch.randn(6, 4, 5)) == {"mix:whole": ()}


def test_what_cannot_be_traced_or_does_not_fit_is_refused():
    model, inputs = built("relu6")
    group = td.discover(model, inputs)
    with pytest.raises(ToroidsError, match="fails on the inputs .2, 7. of torch.float32"):
        Probe(model, group, torch.randn(2, 7))
    with pytest.raises(ParamsError, match="the model"):
        Probe(nn.Linear(4, 6), group, inputs)
    with pytest.raises(ParamsError, match="shape"):
        Probe(model, group, inputs)({**model.state_dict(), "0.bias": torch.zeros(3)})


def test_values_lie_on_the_device_of_the_parameters(device):
    for name in ("batch norm", "attention by hand", "lstm"):
        model, inputs = built(name)
        group = td.discover(model, inputs)
        params = {n: t.double() for n, t in model.state_dict().items()}
        probe = Probe(model, group, inputs)
        there = probe({n: t.to(device) for n, t in params.items()})
        for space, values in probe(params).items():
            for here, other in zip(values, there[space], strict=True):
                assert other.values.device.type == device.type
                torch.testing.assert_close(other.values.cpu(), here.values)
