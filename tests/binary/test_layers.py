import math

import pytest
import torch
from torch.nn import functional

import toroids as td
from toroids.binary.layers import BinaryConv2d, BinaryLinear, Scale, Sign, clamped, latents


def signs(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, shape, generator=generator).double() * 2 - 1


@pytest.mark.parametrize("bias", ["none", "binary", "real"])
def test_linear_computes_with_the_signs_of_its_latents(bias):
    layer, x = BinaryLinear(5, 3, bias, seed=1).double(), signs(7, 5)
    held = {"none": None, "real": layer.bias}.get(bias, layer.bias.sign() if bias != "none" else 0)
    assert torch.equal(layer(x), functional.linear(x, layer.weight.sign(), held))
    assert len(layer.latents) == (2 if bias == "binary" else 1)


@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_computes_with_the_signs_of_its_latents(stride):
    layer, x = BinaryConv2d(2, 3, 3, stride, "binary", seed=1).double(), signs(4, 2, 7, 7)
    expected = functional.conv2d(x, layer.weight.sign(), layer.bias.sign(), stride)
    assert torch.equal(layer(x), expected)
    assert bool((layer(x).remainder(2) == 1).all())  # 18 weights and a bias


def test_odd_sums_never_tie_and_even_ones_do():
    x = signs(500, 4)
    assert bool((BinaryLinear(4, 8).double()(x) == 0).any())
    assert not bool((BinaryLinear(4, 8, "binary").double()(x) == 0).any())


def test_gradients_pass_straight_through_to_the_latents():
    layer, x = BinaryLinear(5, 3).double(), signs(7, 5)
    layer(x).square().sum().backward()
    weight = layer.weight.detach().sign().requires_grad_()
    functional.linear(x, weight).square().sum().backward()
    assert torch.allclose(layer.weight.grad, weight.grad)


def test_latents_are_seeded_in_their_range_and_away_from_zero():
    state = torch.get_rng_state()
    a, b, c = (BinaryLinear(40, 50, "binary", seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(a.weight, b.weight)
    assert not torch.equal(a.weight, c.weight)
    assert bool((a.weight.abs() <= 1).all() & (a.weight.abs() >= 1e-3).all())


def test_clamping_keeps_latents_and_leaves_thresholds():
    layer = BinaryLinear(3, 2, "real").double()
    optimizer = torch.optim.SGD(layer.parameters(), lr=100.0)
    clamped(optimizer, layer)
    (10 * layer(signs(5, 3)).sum()).backward()
    optimizer.step()
    assert bool((layer.weight.abs() <= 1).all())
    assert bool((layer.bias.abs() > 1).all())


def test_latents_of_a_shared_layer_are_listed_once():
    layer = BinaryLinear(3, 3, "binary")
    model = torch.nn.Sequential(layer, Sign(), layer, torch.nn.Linear(3, 2))
    assert [id(p) for p in latents(model)] == [id(layer.weight), id(layer.bias)]


def test_sign_with_a_threshold_and_scale():
    x = torch.tensor([0.4, 0.5, 0.6])
    assert Sign(threshold=0.5)(x).tolist() == [-1, 1, 1]
    assert Scale(0.5)(x).tolist() == (x / 2).tolist()


def test_stacked_layers_give_what_single_ones_give():
    layers = [BinaryLinear(5, 3, seed=seed).double() for seed in range(3)]
    x = signs(7, 5)
    weights = torch.stack([layer.weight.detach() for layer in layers])
    found = torch.vmap(lambda w: torch.func.functional_call(layers[0], {"weight": w}, (x,)))(
        weights
    )
    assert torch.equal(found, torch.stack([layer(x) for layer in layers]))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: BinaryLinear(0, 3), "sizes .*; pass 1 or more"),
        (lambda: BinaryLinear(3, 3, "both"), "no bias 'both'; choose from"),
        (lambda: BinaryConv2d(1, 2, 3, stride=0), "stride is 0; pass 1 or more"),
        (lambda: Sign(window=0), "window is 0 .* pass a positive number"),
        (lambda: Sign(threshold=math.nan), "threshold is nan; pass a positive number"),
    ],
)
def test_bad_arguments(make, match):
    with pytest.raises(td.ToroidsError, match=match):
        make()
