import math

import pytest
import torch

import toroids as td
from toroids.binary.sign import sign


def seeded(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_the_sign_bit_decides():
    x = torch.tensor([-2.0, -1e-40, -0.0, 0.0, 1e-40, 2.0, math.inf, -math.inf])
    assert sign(x).tolist() == [-1, -1, -1, 1, 1, 1, 1, -1]


def test_a_sum_that_cancels_is_plus_one_and_flipping_does_not_change_it():
    x = torch.tensor([1.0, -1.0])
    assert sign(x.sum()) == sign((-x).sum()) == 1


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_type_and_shape_are_kept(kind):
    x = seeded(2, 3).to(kind)
    assert sign(x).dtype == kind
    assert sign(x).shape == x.shape
    assert torch.equal(sign(x), x.sign())


@pytest.mark.parametrize("window", [0.5, 1.0, 3.0])
def test_the_gradient_is_that_of_a_clamp(window):
    x = (3 * seeded(200)).requires_grad_()
    weights = seeded(200, seed=1)
    (found,) = torch.autograd.grad((sign(x, window) * weights).sum(), x)
    (expected,) = torch.autograd.grad(((x / window).clamp(-1, 1) * weights).sum(), x)
    assert torch.allclose(found, expected)


def test_the_gradient_passes_at_the_edge_of_the_window_and_not_beyond():
    x = torch.tensor([-2.0, -1.0, 0.0, 1.0, 1.001], requires_grad=True)
    sign(x).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


def test_gradients_and_batches_of_torch_func():
    x = 2 * seeded(4, 5)
    gradients = torch.func.vmap(torch.func.grad(lambda row: (sign(row) * row).sum()))(x)
    assert torch.allclose(gradients, x.sign() + x * (x.abs() <= 1))
    assert torch.equal(torch.func.vmap(sign, in_dims=1, out_dims=1)(x), sign(x))


def test_export_keeps_one_operator():
    class Layer(torch.nn.Module):
        def forward(self, x):
            return sign(x)

    graph = torch.export.export(Layer(), (seeded(3),), strict=False).graph
    names = [str(node.target) for node in graph.nodes if node.op == "call_function"]
    assert names == ["toroids.sign.default"]


@pytest.mark.parametrize("window", [0.0, -1.0, math.inf, math.nan])
def test_a_window_that_is_no_positive_number(window):
    with pytest.raises(td.ToroidsError, match=r"window of a sign is .*; pass a positive number"):
        sign(seeded(2), window)
