import pytest
import torch
from discovery.test_completeness import GENERIC
from torch.func import functional_call, jacrev

from toroids.discovery.audit.tangents import BATCH, dimension_of, slopes, tangents_of
from toroids.discovery.discover import group_of
from toroids.discovery.tracing.explore import explore


def disturbed(model):
    generator = torch.Generator().manual_seed(0)
    return {
        name: tensor.double() + 0.3 * torch.rand(tensor.shape, generator=generator)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in model.state_dict().items()
    }


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", ["batch norm", "attention", "convolution"])
def test_no_output_changes_along_a_tangent(name):
    model, shape = GENERIC[name]
    model, inputs = model.eval().double(), torch.randn(shape, dtype=torch.float64)[:20]
    group, point = group_of(explore(model, inputs)), disturbed(model)
    names = [n for n, _ in model.named_parameters()]
    tangents = tangents_of(group, point, names)
    learned = {n: point[n] for n in names}
    found = jacrev(lambda params: functional_call(model, {**point, **params}, (inputs,)))(learned)
    jacobian = torch.cat([found[n].flatten(0, -point[n].ndim - 1).flatten(1) for n in names], dim=1)
    assert float((jacobian @ tangents.T).abs().max()) < 1e-12 * float(jacobian.abs().max()) * 100
    assert float(tangents.norm(dim=1).min()) > 1e-3
    everywhere = torch.ones(tangents.shape[1], dtype=torch.bool)
    assert dimension_of(group, point, names, ~everywhere) == (len(tangents), 0)
    assert dimension_of(group, point, names, everywhere)[1] == sum(
        s.dimension for s in group.spaces
    )


class Unbatched(torch.autograd.Function):
    """The square, whose slope has no rule for batches."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, grad):
        float(grad.sum())  # no number of a batch
        return 2 * ctx.saved_tensors[0] * grad


def test_slopes_without_a_rule_for_batches_are_taken_one_by_one():
    vector = torch.arange(1.0, BATCH + 3, dtype=torch.float64, requires_grad=True)
    rows = torch.cat(list(slopes(Unbatched.apply(vector), vector)))
    assert torch.equal(rows, torch.diag(2 * vector.detach()))


def test_slopes_of_what_depends_on_nothing_are_zero():
    vector = torch.ones(3, dtype=torch.float64, requires_grad=True)
    assert torch.equal(
        torch.cat(list(slopes(torch.ones(2).double(), vector))), torch.zeros(2, 3).double()
    )
