"""Flips are granted where a sign never meets a zero, and nowhere else.

Every network is checked as it is, in its own precision, on all inputs of -1 and +1 or on those it
would meet in use, with the parameters as they are: no disturbance hides a sum that cancels.
"""

import itertools
import time

import pytest
import torch
import torch.nn.functional as F
from discovery.said import beyond_sizes
from torch import nn

import toroids as td
from toroids.binary.layers import BinaryConv2d, BinaryLinear, Sign
from toroids.binary.sign import sign


class Net(nn.Module):
    """A network written as a function of its tensors: `real` shapes, or values."""

    def __init__(self, function, tensors):
        super().__init__()
        self.function = function
        generator = torch.Generator().manual_seed(0)
        for name, value in tensors.items():
            if isinstance(value, tuple):
                value = nn.Parameter(torch.randn(value, generator=generator))
            if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def forward(self, x):
        return self.function(self, x)


def lin(x, weight, bias=None):
    return F.linear(x, sign(weight), bias)


def net(function, shape, **tensors):
    """A hidden layer of `function` from inputs of `shape`, read by binary weights."""
    units = function(Net(None, tensors), torch.ones(1, *shape)).shape[1]
    last = {"last": (3, units)}
    return Net(lambda s, x: lin(function(s, x), s.last), {**tensors, **last}).eval(), shape


def conv(function, side, **tensors):
    """A layer of three channels, added up over its pixels."""
    tensors["last"] = (3, 2)
    model = Net(lambda s, x: function(s, x).sum((2, 3)) @ s.last, tensors)
    return model.eval(), (1, side, side)


def in_place(s, x, other):
    h = lin(x, s.w)
    other(h)
    return sign(h)


def blocked(s, x):
    with torch.enable_grad():
        return sign(lin(x, s.w))


def attention(s, x):
    q, k, v = (sign(x @ sign(w)) for w in (s.q, s.k, s.v))
    return sign(q @ k.transpose(1, 2)).matmul(v).sum(1)


def parameter(*values):
    return nn.Parameter(torch.tensor(values))


Z = parameter([0.0, 1.5, -0.7], [0.3, -0.2, 0.0])
GRANTED = {
    "odd": net(lambda s, x: sign(lin(x, s.w)), (5,), w=(4, 5)),
    "binary bias": net(lambda s, x: sign(lin(x, s.w, sign(s.b))), (4,), w=(5, 4), b=(5,)),
    "real threshold": net(lambda s, x: sign(lin(x, s.w, s.b)), (4,), w=(5, 4), b=(5,)),
    "real threshold subtracted": net(lambda s, x: sign(lin(x, s.w) - s.b), (4,), w=(5, 4), b=(5,)),
    "real weights": net(lambda s, x: sign(F.linear(x, s.w)), (4,), w=(5, 4)),
    "zero weights": net(lambda s, x: sign(lin(x, s.w)), (3,), w=Z),
    "clamped latents": net(lambda s, x: sign(lin(x, s.w.clamp(-1, 1))), (5,), w=(4, 5)),
    "three layers": net(
        lambda s, x: sign(lin(x, s.w) + lin(x, s.u) + lin(x, s.t)),
        (5,), w=(4, 5), u=(4, 5), t=(4, 5),
    ),
    "residual, even": net(
        lambda s, x: (lambda h: sign(h + lin(h, s.u)))(sign(lin(x, s.w))), (5,), w=(4, 5), u=(4, 4)
    ),
    "doubled": net(lambda s, x: sign(2 * lin(x, s.w) + sign(s.b)), (5,), w=(4, 5), b=(4,)),
    "constant factors": net(lambda s, x: sign(lin(x, s.w) * s.c), (5,), w=(4, 5), c=torch.ones(4)),
    "transposed": net(lambda s, x: sign((sign(s.w) @ x.T).T), (5,), w=(4, 5)),
    "einsum": net(lambda s, x: sign(torch.einsum("bi,oi->bo", x, sign(s.w))), (5,), w=(4, 5)),
    "addmm": net(lambda s, x: sign(torch.addmm(sign(s.b), x, sign(s.w))), (4,), w=(4, 5), b=(5,)),
    "flattened": net(
        lambda s, x: sign(lin(sign(x @ sign(s.w)).flatten(1), s.u)), (3, 3), w=(3, 3), u=(4, 9)
    ),
    "where": net(
        lambda s, x: sign(lin(torch.where(lin(x, s.w) >= 0, 1.0, -1.0), s.u)),
        (5,), w=(5, 5), u=(4, 5),
    ),
    "comparison": net(
        lambda s, x: sign(lin(2 * (lin(x, s.w) >= 0).float() - 1, s.u)), (5,), w=(5, 5), u=(4, 5)
    ),
    "in place": net(
        lambda s, x: in_place(s, x, lambda h: h.add_(sign(s.b))), (4,), w=(5, 4), b=(5,)
    ),
    "block": net(blocked, (5,), w=(4, 5)),
    "dropout": net(lambda s, x: sign(lin(F.dropout(sign(lin(x, s.w)), 0.5, s.training), s.u)),
                   (5,), w=(5, 5), u=(4, 5)),
    "integers": net(lambda s, x: sign(lin(x, s.w)).to(torch.int8).float(), (5,), w=(4, 5)),
    "attention": net(attention, (3, 3), q=(3, 3), k=(3, 3), v=(3, 3)),
    "convolution": conv(lambda s, x: sign(F.conv2d(x, sign(s.w), stride=2)), 3, w=(3, 1, 1, 1)),
    "valid padding": conv(
        lambda s, x: sign(F.conv2d(x, sign(s.w), padding="valid")), 3, w=(3, 1, 3, 3)
    ),
    "conv1d": net(
        lambda s, x: sign(F.conv1d(x.unsqueeze(1), sign(s.w))).sum(2), (5,), w=(4, 1, 3)
    ),
}  # fmt: skip
INTEGERS = nn.Parameter(torch.tensor([[1.0, -1, 1, 1], [-1, -1, 1, 1], [1, 1, 1, 1.0]]))
REFUSED = {
    "even": net(lambda s, x: sign(lin(x, s.w)), (4,), w=(5, 4)),
    "two layers": net(lambda s, x: sign(lin(x, s.w) + lin(x, s.u)), (5,), w=(4, 5), u=(4, 5)),
    "residual, odd": net(
        lambda s, x: (lambda h: sign(h + lin(h, s.u)))(sign(lin(x, s.w))), (5,), w=(5, 5), u=(5, 5)
    ),
    "x - x": net(lambda s, x: sign(lin(x, s.w) - lin(x, s.w)), (5,), w=(4, 5)),
    "threshold that cancels": net(
        lambda s, x: sign((lin(x, s.w) - s.b) + s.b), (4,), w=(6, 4), b=(6,)
    ),
    "threshold behind a relu": net(
        lambda s, x: sign(F.relu(lin(x, s.w) - s.b) + s.b), (4,), w=(4, 4), b=(4,)
    ),
    "threshold times a sign": net(
        lambda s, x: sign(torch.sign(lin(x, s.w)) * s.b + s.b), (4,), w=(4, 4), b=(4,)
    ),
    "constant threshold": net(lambda s, x: sign(lin(x, s.w) - 0.5), (5,), w=(4, 5)),
    "integer thresholds": net(
        lambda s, x: sign(lin(x, s.w, s.b)), (4,), w=(3, 4), b=parameter(2.0, -2.0, 4.0)
    ),
    "integer weights": net(lambda s, x: sign(F.linear(x, s.w)), (4,), w=INTEGERS),
    "one factor": net(lambda s, x: sign(F.linear(x, s.a * sign(s.w))), (4,), w=(5, 4), a=(1,)),
    "one weight": net(lambda s, x: sign(F.linear(x, s.a.expand(5, 4))), (4,), a=(5, 1)),
    "XNOR-net": net(
        lambda s, x: sign(F.linear(x, s.w.abs().mean(1, keepdim=True) * sign(s.w))), (4,), w=(5, 4)
    ),
    "gains": net(lambda s, x: sign(lin(x, s.w) * s.g), (4,), w=(5, 4), g=(5,)),
    "divided": net(lambda s, x: sign(lin(x, s.w) / s.g), (4,), w=(5, 4), g=(5,)),
    "root mean square": net(
        lambda s, x: sign(F.rms_norm(lin(x, s.w), (4,), s.g)), (4,), w=(4, 4), g=(4,)
    ),
    "torch.sign of zeros": net(
        lambda s, x: sign(F.linear(x, torch.sign(s.w))), (3,), w=nn.Parameter(Z.detach().clone())
    ),
    "shrunk latents": net(lambda s, x: sign(lin(x, F.hardshrink(s.w))), (5,), w=(4, 5)),
    "tied layers": net(lambda s, x: sign(s.a(x) + s.b(x)), (5,), **dict.fromkeys("ab", BinaryLinear(5, 4))),
    "slice": net(lambda s, x: sign(lin(x[:, :4], s.w)), (5,), w=(4, 4)),
    "cat": net(
        lambda s, x: sign(torch.cat([lin(x[:, :4], s.w), lin(x[:, 1:], s.u)], 1)),
        (5,), w=(4, 4), u=(4, 4),
    ),
    "rounded": net(
        lambda s, x: sign((lin(x, s.w) * 2**25 + sign(s.b)) - lin(x, s.w) * 2**25),
        (5,), w=(4, 5), b=(4,),
    ),
    "half": net(
        lambda s, x: sign(((lin(x, s.w) * 1001).half() - (lin(x, s.u) * 1001).half()
                           + sign(s.b)).float()), (3,), w=(4, 3), u=(4, 3), b=(4,),
    ),
    "truncated": net(lambda s, x: sign(F.linear(x, s.w).int().float()), (4,), w=(4, 4)),
    "in place": net(
        lambda s, x: in_place(s, x, lambda h: h.add_(sign(s.b))), (5,), w=(4, 5), b=(4,)
    ),
    "in place, through a view": net(
        lambda s, x: in_place(s, x, lambda h: h.unflatten(1, (2, 2)).mul_(2).add_(2)), (5,), w=(4, 5)
    ),
    "block": net(blocked, (4,), w=(4, 4)),
    "zeros and ones": net(
        lambda s, x: sign(lin((lin(x, s.w) >= 0).float(), s.u)), (5,), w=(5, 5), u=(4, 5)
    ),
    "average": net(
        lambda s, x: sign(F.avg_pool1d(sign(lin(x, s.w)).unsqueeze(1), 2)).squeeze(1),
        (5,), w=(4, 5),
    ),
    "max": net(
        lambda s, x: F.max_pool1d(sign(lin(x, s.w)).unsqueeze(1), 2).squeeze(1), (5,), w=(4, 5)
    ),
    "where": net(lambda s, x: torch.where(lin(x, s.w) >= 0, 1.0, -1.0), (5,), w=(4, 5)),
    "to bool": net(lambda s, x: sign(lin(x, s.w)).bool().float(), (5,), w=(4, 5)),
    "to uint8": net(lambda s, x: sign(lin(x, s.w)).to(torch.uint8).float(), (5,), w=(4, 5)),
    "index": net(lambda s, x: s.e[sign(lin(x, s.w)).long()].sum(2), (5,), w=(4, 5), e=(5, 3)),
    "attention": net(attention, (2, 4), q=(4, 4), k=(4, 4), v=(4, 4)),
    "padding": conv(lambda s, x: sign(F.conv2d(x, sign(s.w), padding=1)), 3, w=(3, 1, 3, 3)),
    "same padding": conv(
        lambda s, x: sign(F.conv2d(x, sign(s.w), padding="same")), 3, w=(3, 1, 3, 3)
    ),
    "even filters": conv(lambda s, x: sign(F.conv2d(x, sign(s.w))), 3, w=(3, 1, 2, 2)),
    "one gain per channel": conv(
        lambda s, x: sign(F.conv2d(F.conv2d(x, sign(s.w)), s.g, groups=3)),
        3, w=(3, 1, 2, 2), g=(3, 1, 1, 1),
    ),
}  # fmt: skip


def all_signs(shape):
    """All inputs of -1 and +1, at most 512."""
    count = int(torch.Size(shape).numel())
    if count <= 9:
        rows = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=count)))
        return rows.view(-1, *shape)
    return torch.randint(0, 2, (512, *shape), generator=torch.Generator().manual_seed(1)) * 2.0 - 1


def share_changed(model, group, inputs, elements=8):
    """The largest share of inputs whose outputs an element changes."""
    params = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    generator, shares = torch.Generator().manual_seed(2), []
    with torch.no_grad():
        expected = model(inputs)
        for _ in range(elements):
            model.load_state_dict(group.apply(group.random(generator), params))
            changed = (model(inputs) - expected).abs() > 1e-4 * (1 + expected.abs().max())
            shares.append(float(changed.flatten(1).any(1).double().mean()))
    model.load_state_dict(params)
    return max(shares)


def flips(group):
    return any("flip" in space.actions for space in group.spaces)


def example(shape):
    return all_signs(shape)[torch.tensor([1, 5, 6])]


@pytest.mark.parametrize("name", GRANTED)
def test_granted(name):
    model, shape = GRANTED[name]
    group = td.discover(model, example(shape))
    assert flips(group), group
    assert share_changed(model, group, all_signs(shape)) == 0
    assert td.SymmetryGroup.from_json(group.to_json()) == group


TOGETHER = {"one factor": {"w", "a"}}  # no unit flips, but both factors of a product as wholes


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    model, shape = REFUSED[name]
    group = td.discover(model, example(shape))
    flipped = [{leg.tensor for leg in s.legs} for s in group.spaces if "flip" in s.actions]
    assert flipped == ([TOGETHER[name]] if name in TOGETHER else []), group
    assert share_changed(model, group, all_signs(shape)) == 0


def test_refusing_is_said():
    (note,) = beyond_sizes(td.discover(*with_example("even", REFUSED)))
    assert note.startswith("no flips of `w`: sums before its sign may be exactly zero")


def with_example(name, table):
    model, shape = table[name]
    return model, example(shape)


@pytest.mark.parametrize(
    "inputs",
    [
        torch.ones(2, 5),
        torch.zeros(2, 5),
        torch.tensor([[1.0, 3, 5, 7, -1], [3, 5, 1, 1, 9]]),
        torch.randn(2, 5, generator=torch.Generator().manual_seed(0)),
    ],
    ids=["ones", "zeros", "odd integers", "real"],
)
@pytest.mark.parametrize("name", ["odd", "doubled"])
def test_an_example_that_does_not_show_signs_grants_nothing(name, inputs):
    model, _ = GRANTED[name]
    granted = flips(td.discover(model, inputs))
    assert not granted


def test_a_single_number_is_no_sign():
    model, _ = net(lambda s, x: sign(lin(x, s.w)), (1,), w=(4, 1))
    assert not flips(td.discover(model, torch.tensor([[0.7]])))


def test_what_flips_take_for_granted_is_said():
    model, shape = GRANTED["odd"]
    notes = beyond_sizes(td.discover(model, example(shape)))
    assert notes == ("flips of `w` are granted where the inputs are -1 and +1, as in the example",)
    first = nn.Sequential(Sign(), model)  # whatever comes in becomes a sign
    assert beyond_sizes(td.discover(first, torch.randn(2, 5))) == ()


def test_sums_over_examples_and_positions_hold_for_their_number():
    model, _ = net(lambda s, x: sign(sign(x @ sign(s.w)).sum(1)), (3, 5), w=(5, 4))
    group = td.discover(model, all_signs((3, 5))[:2])
    assert flips(group)
    assert any("the inputs have the shape of the example" in note for note in group.notes)


def test_thresholds_that_begin_at_zero_are_named():
    model = nn.Sequential(Sign(), BinaryLinear(4, 5), nn.BatchNorm1d(5), Sign(), BinaryLinear(5, 2))
    group = td.discover(model.eval(), torch.randn(2, 4))
    assert flips(group)
    assert any("`2.bias` has no entry that is exactly zero" in note for note in group.notes)
    with torch.no_grad():
        model[2].bias.uniform_(0.1, 0.2)
    group = td.discover(model, torch.randn(2, 4))
    assert beyond_sizes(group) == ()
    assert share_changed(model, group, all_signs((4,))) == 0


@pytest.mark.parametrize(("kernel", "granted"), [(3, True), (2, False)])
def test_binary_convolutions(kernel, granted):
    layers = Sign(), BinaryConv2d(1, 3, kernel, 2), Sign(), nn.Flatten(), BinaryLinear(12, 2)
    model = nn.Sequential(*layers)
    inputs = all_signs((1, 3 + kernel, 3 + kernel))[:, :, : 2 + kernel, : 2 + kernel]
    group = td.discover(model, inputs[:2])
    assert flips(group) == granted
    assert share_changed(model, group, inputs) == 0


def test_a_layer_used_twice():
    model = nn.Sequential(Sign(), BinaryLinear(4, 5), Sign(), *[BinaryLinear(5, 5), Sign()] * 2,
                          BinaryLinear(5, 2))  # fmt: skip
    group = td.discover(model, torch.randn(2, 4))
    assert share_changed(model, group, all_signs((4,))) == 0


def test_deep_real_networks_before_a_sign_take_no_time():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(40))
            self.last = nn.Sequential(
                Sign(), BinaryLinear(4, 3, "binary"), Sign(), BinaryLinear(3, 2)
            )

        def forward(self, x):
            for layer in self.layers:
                x = x + torch.relu(layer(x))
            return self.last(x)

    start = time.monotonic()
    assert flips(td.discover(Deep(), torch.randn(2, 4), verify=False))
    assert time.monotonic() - start < 20  # each sum once, not once for every way to it
