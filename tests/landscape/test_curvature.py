import pytest
import torch
from landscape.small import MAKERS, build
from torch import nn
from torch.nn import functional as F

import toroids as td
from toroids.errors import DataError, ParamsError, ToroidsError
from toroids.landscape.hessian import Hessian


def dense(group, model, params, data, temperature):
    """The Riemannian Hessian, from all second derivatives, in the ambient coordinates."""
    toroid, centre = td.Toroid(group), td.canonicalize(group, params)
    names = group.parameters
    sizes = [centre[name].numel() for name in names]
    flat = torch.cat([centre[name].reshape(-1) for name in names])

    def named(vector):
        parts = torch.split(vector, sizes)
        return {n: part.view(centre[n].shape) for n, part in zip(names, parts, strict=True)}

    def loss(vector):
        lent = {**centre, **named(vector)}
        lent = {name: lent[group.tied.get(name, name)] for name in lent}
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            outputs = torch.func.functional_call(model, lent, data[0], tie_weights=False)
        return F.cross_entropy(outputs / temperature, data[1])

    def project(vector):
        projected = toroid.project_tangent(centre, named(vector))
        return torch.cat([projected[name].reshape(-1) for name in names])

    hessian = torch.autograd.functional.hessian(loss, flat)
    gradient = named(torch.autograd.functional.jacobian(loss, flat))
    projection = torch.stack([project(e) for e in torch.eye(len(flat), dtype=flat.dtype)])
    bends = {name: torch.zeros_like(centre[name]) for name in names}
    for family in toroid.spheres:
        for name, bend in family.spread(family.dot(centre, gradient), centre).items():
            bends[name] = bends[name] + bend
    bend = torch.cat([bends[name].reshape(-1) for name in names])
    return projection @ (hessian - torch.diag(bend)) @ projection, projection


@pytest.mark.parametrize("output", ["classifier", "values"])
@pytest.mark.parametrize("name", MAKERS)
def test_against_all_second_derivatives(name, output):
    group, model, params, data = build(name, output)
    landscape = td.Landscape(model, data, on=td.Toroid(group))
    found = td.curvature(landscape, params, 4, probes=60)
    matrix, projection = dense(group, model, params, data, found.temperature)
    values = torch.linalg.eigvalsh(matrix)
    # what is no tangent is an eigenvector of zero
    curved = values[values.abs() > 1e-12 * values.abs().max()]
    assert found.dimension == round(projection.trace().item())
    assert len(curved) <= found.dimension
    assert found.converged
    assert torch.allclose(found.eigenvalues, curved.flip(0)[:4], rtol=1e-8)
    assert (found.residuals < 1e-6 * found.eigenvalues[0]).all()
    assert abs(found.trace - matrix.trace().item()) < 4 * found.trace_stderr


@pytest.mark.parametrize("name", ["relu", "tanh", "convolution", "attention"])
def test_invariant_under_symmetries(name, device):
    group, model, params, data = build(name, device=device)
    landscape = td.Landscape(model, data, on=td.Toroid(group))
    here = td.curvature(landscape, params, 3)
    for seed in range(2):
        g = group.random(torch.Generator().manual_seed(seed))
        there = td.curvature(landscape, group.apply(g, params), 3)
        assert there.temperature == here.temperature
        assert torch.allclose(there.eigenvalues, here.eigenvalues, rtol=1e-6)
        assert there.dimension == here.dimension
        bound = 5 * (there.trace_stderr**2 + here.trace_stderr**2) ** 0.5
        assert abs(there.trace - here.trace) < bound


@pytest.mark.parametrize("name", MAKERS)
def test_second_derivative_along_geodesics(name):
    group, model, params, data = build(name)
    toroid, centre = td.Toroid(group), td.canonicalize(group, params)
    landscape = td.Landscape(model, data, on=toroid)
    hessian = Hessian(landscape, centre, 0.1)
    for seed in range(3):
        tangent = toroid.random_tangent(centre, torch.Generator().manual_seed(seed))
        expected = toroid.inner(tangent, hessian.product(tangent))

        def loss(t, tangent=tangent):
            moved = {name: t * tensor for name, tensor in tangent.items()}
            return landscape.measure(toroid.exp(centre, moved), 0.1).loss

        h = 1e-5  # small enough that no unit of these networks passes its kink
        found = (loss(h) - 2 * loss(0.0) + loss(-h)) / h**2
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_batches_loaders_and_precision():
    group, model, params, (inputs, labels) = build("relu")
    landscape = td.Landscape(model, (inputs, labels), on=td.Toroid(group), temperature=0.1)
    whole = td.curvature(landscape, params)
    cut = td.curvature(
        td.Landscape(model, (inputs, labels), on=td.Toroid(group), temperature=0.1, batch_size=7),
        params,
    )
    loader = list(zip(inputs.split(11), labels.split(11), strict=True))
    loaded = td.curvature(td.Landscape(model, loader, on=td.Toroid(group), temperature=0.1), params)
    single = {name: tensor.float() for name, tensor in params.items()}
    rough = td.curvature(landscape, single)
    assert torch.allclose(cut.eigenvalues, whole.eigenvalues, rtol=1e-9)
    assert torch.allclose(loaded.eigenvalues, whole.eigenvalues, rtol=1e-9)
    assert torch.allclose(rough.eigenvalues, whole.eigenvalues, rtol=1e-3)
    assert rough.converged


def test_leaves_the_model_as_it_was_and_counts_tied_weights_once():
    group, model, params, data = build("tied")
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = td.curvature(td.Landscape(model, data, on=td.Toroid(group)), params)
    assert model.training
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    # one weight, two biases, a classifier that is centred over 3 classes and has no scale
    assert found.dimension == 16 + 4 + 4 + (12 + 3) * 2 // 3 - 1


def test_most_eigenvalues_and_a_flat_loss():
    group, model, params, data = build("tanh")
    few = td.curvature(td.Landscape(model, data, on=td.Toroid(group)), params, 1)
    found = td.curvature(td.Landscape(model, data, on=td.Toroid(group)), params, few.dimension - 1)
    matrix, _ = dense(group, model, params, data, found.temperature)
    assert found.converged
    assert found.eigenvalues[0] == pytest.approx(few.eigenvalues.item(), rel=1e-8)
    smallest = found.trace_stderr * 5
    assert abs(found.eigenvalues.sum() - matrix.trace()) < smallest
    lines = nn.Linear(3, 1, bias=False).double()
    group = td.discover(lines, torch.randn(2, 3).double())
    landscape = td.Landscape(
        lines, (torch.randn(5, 3).double(), torch.zeros(5)), on=td.Toroid(group),
        metric=lambda outputs, targets: outputs[:, 0] - targets,
    )  # fmt: skip
    flat = td.curvature(landscape, lines.state_dict(), 2)
    assert flat.eigenvalues.tolist() == [0, 0]
    assert flat.trace == 0


def test_recurrent_networks_have_second_derivatives(device):
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.cells, self.last = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 3)

        def forward(self, x):
            return self.last(self.cells(x)[0][:, -1])

    model = Last().to(device)
    inputs, labels = torch.randn(20, 4, 3), torch.arange(20) % 3
    group = td.discover(Last().double(), inputs[:2].double())
    params = model.state_dict()
    assert td.curvature(
        td.Landscape(model, (inputs, labels), on=td.Toroid(group)), params, 2
    ).converged


class Kernel(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slope):
        return slope * 2


def test_operators_without_a_second_derivative_are_named_by_torch():
    class Once(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = td.models.fully_connected([4, 6, 3], seed=0).double()

        def forward(self, x):
            return Kernel.apply(self.inner(x))

    model = Once()
    params = model.state_dict()
    group = td.symmetry.fully_connected_group(params)
    data = torch.randn(9, 4, dtype=torch.float64), torch.arange(9) % 3
    with pytest.raises(ToroidsError, match="torch cannot differentiate the network twice"):
        td.curvature(td.Landscape(model, data, on=td.Toroid(group)), params, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count is 0, but the toroid has"),
        ({"count": 10**6}, "pass from 1 to"),
        ({"probes": 1}, "probes is 1"),
    ],
)
def test_bad_requests(arguments, message):
    group, model, params, data = build("tanh")
    with pytest.raises(ToroidsError, match=message):
        td.curvature(td.Landscape(model, data, on=td.Toroid(group)), params, **arguments)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"temperature": 1e-300},
            "second derivative of the loss is NaN or infinite at temperature",
        ),
        ({"metric": lambda x, y: x.argmax(dim=1) != y}, "metric's loss has no gradient"),
        ({"on": None}, "is on no manifold, not on a toroid"),
    ],
)
def test_bad_landscapes(settings, message):
    group, model, params, data = build("tanh")
    landscape = td.Landscape(model, data, **{"on": td.Toroid(group), **settings})
    with pytest.raises(ToroidsError, match=message):
        td.curvature(landscape, params)


def test_bad_networks_and_data():
    group, model, params, (inputs, labels) = build("tanh")
    right = (inputs, model(inputs).argmax(dim=1))
    landscape = td.Landscape(model, right, on=td.Toroid(group))
    with pytest.raises(ToroidsError, match="nothing is wrong on these data.*'tenth'"):
        td.curvature(landscape, params)
    tenth = td.curvature(
        td.Landscape(model, right, on=td.Toroid(group), temperature="tenth"), params
    )
    loss = td.Landscape(model, right, temperature=tenth.temperature)(
        td.canonicalize(group, params)
    ).loss
    assert loss == pytest.approx(0.1 * torch.tensor(3.0).log().item(), rel=0.1)
    with pytest.raises(ParamsError, match="`0.bias`"):
        td.curvature(
            landscape,
            {**params, "0.bias": params["0.bias"] / 0},
        )
    with pytest.raises(DataError, match="label ."):
        td.curvature(td.Landscape(model, (inputs, labels + 7), on=td.Toroid(group)), params)
