import pytest
import torch
from landscape.small import build
from torch import nn

import toroids as td
from toroids.errors import DataError, ParamsError, ToroidsError
from toroids.landscape.noise import Centre


@pytest.fixture(scope="module")
def setting(device):
    model = td.models.fully_connected([8, 16, 16, 4], seed=0).double().to(device)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 8, generator=generator, dtype=torch.float64)
    params = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    labels = model(inputs.to(device)).argmax(dim=1).cpu()  # the network makes no error on these
    return model, params, (inputs, labels)


def test_against_the_definition(setting):
    model, params, data = setting
    energy = td.local_energy(
        td.Landscape(model, data), params, (0.5,), 5, generator=torch.Generator().manual_seed(7)
    )
    generator = torch.Generator().manual_seed(7)
    increases = []
    for _ in range(5):
        noise = {n: torch.randn(t.shape, generator=generator).to(t) for n, t in params.items()}
        noisy = {n: t * (1 + 0.5 * noise[n]) for n, t in params.items()}
        increases.append(td.evaluate(model, noisy, data).error)
    increases = torch.tensor(increases).double()
    assert energy.error == 0
    assert energy.increase.item() == pytest.approx(increases.mean().item())
    assert energy.stderr.item() == pytest.approx(increases.std().item() / 5**0.5)


def test_no_noise_no_increase_and_more_noise_more_increase(setting):
    model, params, data = setting
    energy = td.local_energy(td.Landscape(model, data), params, (0.0, 0.2, 0.8), 200)
    assert energy.increase[0] == 0
    assert energy.stderr[0] == 0
    assert energy.increase[1] > 0
    assert energy.increase[2] > energy.increase[1] + 5 * energy.stderr[2]


def test_exactly_invariant_under_rescaling_and_in_distribution_under_permutation(setting):
    model, params, data = setting
    group = td.symmetry.fully_connected_group(params)
    g = group.random(torch.Generator().manual_seed(1))
    scales_only = td.symmetry.Element(
        {
            name: td.symmetry.SpaceElement(torch.arange(16), choice.log_scales)
            for name, choice in g.choices.items()
        }
    )
    sigmas = (0.3, 0.6)
    landscape = td.Landscape(model, data)
    here = td.local_energy(landscape, params, sigmas, 200)
    rescaled = td.local_energy(landscape, group.apply(scales_only, params), sigmas, 200)
    assert torch.allclose(rescaled.increase, here.increase, atol=1e-12)
    moved = td.local_energy(landscape, group.apply(g, params), sigmas, 200)
    bound = 4 * (here.stderr.square() + moved.stderr.square()).sqrt()
    assert ((moved.increase - here.increase).abs() < bound).all()


def test_additive_noise_would_not_be_invariant(setting):
    """The reason for multiplying: the same additive noise hurts a rescaled network differently."""
    model, params, data = setting
    group = td.symmetry.fully_connected_group(params)
    moved = group.apply(group.random(torch.Generator().manual_seed(1)), params)

    def mean_error(of):
        generator = torch.Generator().manual_seed(2)
        errors = []
        for _ in range(50):
            noisy = {
                n: t + 0.1 * torch.randn(t.shape, generator=generator).to(t) for n, t in of.items()
            }
            errors.append(td.evaluate(model, noisy, data).error)
        return torch.tensor(errors).mean().item()

    assert abs(mean_error(moved) - mean_error(params)) > 0.05


def test_tied_weights_get_the_same_noise():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 3, bias=False)
            self.b = nn.Linear(3, 3, bias=False)
            self.b.weight = self.a.weight

        def forward(self, inputs):
            return self.b(self.a(inputs))

    model, seen = Tied(), []
    model.register_forward_hook(lambda m, *_: seen.append(torch.equal(m.a.weight, m.b.weight)))
    td.local_energy(
        td.Landscape(model, (torch.randn(4, 3), torch.zeros(4).long())),
        model.state_dict(),
        samples=2,
    )
    assert len(seen) > 2
    assert all(seen)


def test_buffers_are_not_disturbed():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    seen = []
    model[1].register_forward_pre_hook(lambda m, _: seen.append(m.running_var.clone()))
    td.local_energy(
        td.Landscape(model, (torch.randn(4, 3), torch.zeros(4).long())),
        model.state_dict(),
        samples=2,
    )
    assert all(torch.equal(variance, torch.ones(4)) for variance in seen)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sigmas": (0.1, -0.2)}, "sigmas are .*-0.2"),
        ({"sigmas": (float("nan"),)}, "sigmas are"),
        ({"sigmas": ()}, "sigmas are"),
        ({"samples": 1}, "samples is 1"),
    ],
)
def test_bad_requests(setting, arguments, message):
    model, params, data = setting
    with pytest.raises(ToroidsError, match=message):
        td.local_energy(td.Landscape(model, data), params, **arguments)


def test_nan_weights_are_named(setting):
    model, params, data = setting
    with pytest.raises(ParamsError, match="`output.bias`"):
        td.local_energy(
            td.Landscape(model, data),
            {**params, "output.bias": params["output.bias"] * float("nan")},
        )


def test_generators_and_other_sequences_of_sigmas(setting):
    model, params, (inputs, labels) = setting
    expected = td.local_energy(
        td.Landscape(model, (inputs, labels)), params, (0.0, 0.5), 3
    ).increase
    batches = zip(inputs.split(50), labels.split(50), strict=True)
    found = td.local_energy(
        td.Landscape(model, batches), params, torch.tensor([0.0, 0.5]), 3
    ).increase
    assert torch.allclose(found, expected)


def test_noise_that_overflows_is_not_measured(setting):
    model, params, data = setting
    with pytest.raises(DataError, match="outputs are NaN or infinite on 200 of 200 examples"):
        td.local_energy(td.Landscape(model, data), params, (1e300,), 2)


@pytest.fixture(scope="module", params=["relu", "tanh", "convolution", "attention"])
def symmetric(request, device):
    """A trained-looking network with its group, and data on which it makes no error."""
    torch.manual_seed(0)
    return build(request.param, device=device, wrong=0)


def randomly_moved(group, params, seed):
    return group.apply(group.random(torch.Generator().manual_seed(seed)), params)


def assert_alike(here, there):
    bound = 4 * (here.stderr.square() + there.stderr.square()).sqrt()
    assert ((there.increase - here.increase).abs() <= bound + 1e-12).all()


def test_multiplicative_is_invariant(symmetric):
    group, model, params, data = symmetric
    if any("mix" in space.actions for space in group.spaces):
        params = td.canonicalize(group, params)  # matrices do not commute with the noise
        moved = td.canonicalize(group, randomly_moved(group, params, 1))
    else:
        moved = randomly_moved(group, params, 1)
    landscape = td.Landscape(model, data)
    here = td.local_energy(landscape, params, (0.2, 0.6), 200)
    assert here.increase[1] > 5 * here.stderr[1]
    assert_alike(here, td.local_energy(landscape, moved, (0.2, 0.6), 200))


@pytest.mark.parametrize(
    ("kind", "sigmas", "samples"), [("tangent", (0.2, 0.6), 120), ("worst", (0.02, 0.1), 8)]
)
def test_noise_on_the_toroid_is_invariant(symmetric, kind, sigmas, samples):
    group, model, params, data = symmetric
    toroid = td.Toroid(group)

    def energy(of):
        canonical = td.canonicalize(group, of)
        return td.local_energy(
            td.Landscape(model, data, on=toroid), canonical, sigmas, samples, kind=kind
        )

    here = energy(params)
    assert here.kind == kind
    assert here.increase[1] > max(2 * here.stderr[1], 0.01)
    assert_alike(here, energy(randomly_moved(group, params, 1)))


@pytest.mark.parametrize("kind", ["tangent", "worst"])
def test_rescaling_changes_nothing_at_all(setting, kind):
    """The same noise meets the same canonical network, so not only the distribution is equal."""
    model, params, data = setting
    group = td.symmetry.fully_connected_group(params, output="classifier")
    g = group.random(torch.Generator().manual_seed(1))
    scales = {
        name: td.symmetry.SpaceElement(torch.arange(16), choice.log_scales)
        for name, choice in g.choices.items()
    }
    landscape = td.Landscape(model, data, on=td.Toroid(group))
    energies = [
        td.local_energy(landscape, td.canonicalize(group, p), (0.1, 0.3), 3, kind=kind)
        for p in (params, group.apply(td.symmetry.Element(scales), params))
    ]
    assert torch.allclose(energies[0].increase, energies[1].increase, atol=1e-12)


def test_tangent_noise_against_its_definition(setting):
    model, params, data = setting
    group = td.symmetry.fully_connected_group(params)
    toroid, canonical = td.Toroid(group), td.canonicalize(group, params)
    energy = td.local_energy(
        td.Landscape(model, data, on=toroid), canonical, (0.5,), 4, kind="tangent",
        generator=torch.Generator().manual_seed(7),
    )  # fmt: skip
    flat = {
        name: canonical[name].square().mean().sqrt() for name in ("output.weight", "output.bias")
    }
    scales = {"hidden1": 9**-0.5, "hidden2": 17**-0.5}
    generator = torch.Generator().manual_seed(7)
    increases = []
    for _ in range(4):
        z = {
            name: torch.randn(canonical[name].shape, generator=generator).to(canonical[name])
            * (flat[name] if name in flat else scales[name.split(".")[0]])
            for name in group.parameters
        }
        v = toroid.project_tangent(canonical, z)
        noisy = toroid.exp(canonical, {name: 0.5 * v[name] for name in v})
        increases.append(td.evaluate(model, noisy, data).error - energy.error)
    assert energy.increase.item() == pytest.approx(sum(increases) / 4)


def test_freedom_is_the_diagonal_of_the_projection_and_gives_the_length(symmetric):
    group, model, params, data = symmetric
    toroid, canonical = td.Toroid(group), td.canonicalize(group, params)
    freedom = toroid.freedom(canonical)
    for name in group.parameters:
        for entry in range(0, freedom[name].numel(), 3):
            unit = {other: torch.zeros_like(canonical[other]) for other in group.parameters}
            unit[name].view(-1)[entry] = 1
            found = toroid.project_tangent(canonical, unit)[name].reshape(-1)[entry]
            assert freedom[name].reshape(-1)[entry].item() == pytest.approx(found.item(), abs=1e-12)
    centre = Centre(td.Landscape(model, data, on=toroid), canonical, 1.0, 5)
    generator = torch.Generator().manual_seed(0)
    tangents = [centre.tangent(generator) for _ in range(400)]
    squares = torch.tensor([toroid.inner(v, v) for v in tangents]).double()
    assert abs(squares.mean() - centre.length**2) < 4 * squares.std() / 20


def test_units_of_zero_norm_stay(setting):
    model, params, _ = setting
    params = {name: tensor.clone() for name, tensor in params.items()}
    params["hidden1.weight"][3], params["hidden1.bias"][3] = 0, 0
    group = td.symmetry.fully_connected_group(params)
    landscape = td.Landscape(model, (), on=td.Toroid(group))
    centre = Centre(landscape, td.canonicalize(group, params), 1.0, 5)
    drawn = centre.tangent(torch.Generator().manual_seed(0))
    assert not drawn["hidden1.weight"][3].any()
    assert drawn["hidden1.weight"][2].all()


def test_worst_is_worse_and_at_most_the_error_of_the_ball(setting):
    model, params, data = setting
    group = td.symmetry.fully_connected_group(params, output="classifier")
    canonical, toroid = td.canonicalize(group, params), td.Toroid(group)
    sigmas = (0.0, 0.02, 0.05, 0.1)
    tangent, worst, harder = (
        td.local_energy(td.Landscape(model, data, on=toroid), canonical, sigmas, 6, kind=kind)
        for kind in ("tangent", "worst", td.landscape.Worst(steps=15))
    )
    assert worst.increase[0] == 0
    assert (worst.increase[1:] > tangent.increase[1:] + 5 * tangent.stderr[1:]).all()
    assert (worst.increase[1:] > 0.02).all()
    assert harder.increase[1] > worst.increase[1] - 0.05


@pytest.mark.parametrize("precision", [0.02, 0.005])
def test_draws_until_the_precision(setting, precision):
    heard = []
    model, params, data = setting
    landscape = td.Landscape(model, data)
    energy = td.local_energy(
        landscape, params, (0.2, 0.4), td.landscape.Until(precision, least=4),
        progress=lambda *told: heard.append(told),
    )  # fmt: skip
    assert (energy.stderr <= precision).all()
    assert 4 <= energy.samples < 1000
    assert heard[-1] == ("local energy", energy.samples, 0)
    same = td.local_energy(landscape, params, (0.2, 0.4), energy.samples)
    assert torch.equal(same.increase, energy.increase)
    capped = td.local_energy(landscape, params, (0.4,), td.landscape.Until(1e-9, least=3, most=7))
    assert capped.samples == 7
    assert capped.stderr > 1e-9


def test_other_metrics(setting):
    model, params, data = setting
    group = td.symmetry.fully_connected_group(params, output="classifier")
    canonical, toroid = td.canonicalize(group, params), td.Toroid(group)
    energy = td.local_energy(
        td.Landscape(model, data, on=toroid, metric="top-2"), canonical, (0.3,), 3, kind="worst"
    )
    assert energy.error == 0
    landscape = td.Landscape(
        model, data, on=toroid, temperature=0.2,
        metric=lambda x, y: nn.functional.cross_entropy(x, y, reduction="none"),
    )  # fmt: skip
    losses = td.local_energy(landscape, canonical, (0.3,), 3, kind="tangent")
    assert losses.error == pytest.approx(td.Landscape(model, data, temperature=0.2)(canonical).loss)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "additive"}, "no kind 'additive'; choose from .*'tangent', 'worst'"),
        ({"kind": "tangent"}, "'tangent' moves on the toroid; pass .* on=td.Toroid"),
        ({"kind": "worst"}, "'worst' moves on the toroid; pass .* on=td.Toroid"),
        ({"kind": td.landscape.Worst()}, "'worst' moves on the toroid; pass .* on=td.Toroid"),
        ({"samples": 0}, "samples is 0"),
    ],
)
def test_bad_arguments(setting, arguments, message):
    model, params, data = setting
    with pytest.raises(ToroidsError, match=message):
        td.local_energy(td.Landscape(model, data), params, **arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: td.landscape.Worst(steps=0), "steps is 0"),
        (lambda: td.landscape.Until(0.0), "the precision is 0.0"),
        (lambda: td.landscape.Until(float("nan")), "the precision is nan"),
        (lambda: td.landscape.Until(0.1, most=3), "with 32 to 3 samples"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ToroidsError, match=message):
        make()


@pytest.mark.parametrize("kind", ["tangent", "worst"])
def test_raw_networks_and_overflow_on_the_toroid(setting, kind):
    model, params, data = setting
    toroid = td.Toroid(td.symmetry.fully_connected_group(params))
    landscape = td.Landscape(model, data, on=toroid)
    with pytest.raises(ParamsError, match="pass what canonicalize returns"):
        td.local_energy(landscape, params, kind=kind)
    canonical = td.canonicalize(toroid.group, params)
    with pytest.raises(DataError, match="NaN|infinite"):
        td.local_energy(landscape, canonical, (1e308,), 2, kind=kind)


@pytest.fixture(scope="module")
def binary(device):
    """A small network with binary weights, its cube, and noisy labels."""
    model = td.models.binary_fully_connected([7, 5, 3]).double().to(device)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(60, 7, generator=generator, dtype=torch.float64)
    cube = td.geometry.Hypercube(td.discover(model, inputs[:4].to(device)))
    params = td.canonicalize(cube.group, model.state_dict())
    labels = model(inputs.to(device)).argmax(dim=1).cpu()
    labels[::5] = (labels[::5] + 1) % 3
    return model, params, (inputs, labels), cube


def test_single_flips_against_all_of_them(binary):
    model, params, data, cube = binary
    size = cube.dimension
    error = td.evaluate(model, params, data).error
    all_flips = torch.tensor(
        [
            td.evaluate(model, cube.flipped(params, torch.tensor([i])), data).error - error
            for i in range(size)
        ]
    ).double()
    found = td.local_energy(
        td.Landscape(model, data, on=cube), params, (1 / size,), 400, kind="flips"
    )
    assert found.kind == "flips"
    assert all_flips.std() > 0
    assert abs(found.increase.item() - all_flips.mean().item()) < 4 * found.stderr.item()
    assert found.stderr.item() == pytest.approx(all_flips.std().item() / 20, rel=0.25)


def test_nested_flips_against_their_definition(binary):
    model, params, data, cube = binary
    found = td.local_energy(td.Landscape(model, data, on=cube), params, (0.1, 1.0), 3, kind="flips")
    generator = torch.Generator().manual_seed(0)
    error, increases = td.evaluate(model, params, data).error, []
    for _ in range(3):
        order = torch.randperm(cube.dimension, generator=generator)
        flipped = cube.flipped(params, order[: round(0.1 * cube.dimension)])
        increases.append(td.evaluate(model, flipped, data).error - error)
    assert found.increase[0].item() == pytest.approx(sum(increases) / 3)
    opposite = {name: -weight for name, weight in params.items()}
    assert found.increase[1].item() == pytest.approx(
        td.evaluate(model, opposite, data).error - error
    )
    assert found.stderr[1] == pytest.approx(0)


def test_flips_are_invariant_and_none_do_nothing(binary):
    model, params, data, cube = binary
    moved = td.canonicalize(cube.group, randomly_moved(cube.group, params, 1))
    here, there = (
        td.local_energy(td.Landscape(model, data, on=cube), p, samples=150, kind="flips")
        for p in (params, moved)
    )
    assert here.sigma.tolist() == [0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2]
    assert here.increase[0] == here.stderr[0] == 0
    assert here.increase[-1] > 5 * here.stderr[-1]
    assert_alike(here, there)


def test_real_parameters_are_not_flipped():
    model = td.models.binary_fully_connected([5, 4, 2], norm="batch_norm").eval()
    group = td.discover(model, torch.randn(4, 5))
    params = td.canonicalize(group, model.state_dict())
    seen = []
    model.norm1.register_forward_pre_hook(lambda m, _: seen.append(m.weight.detach().clone()))
    data = torch.randn(8, 5), torch.zeros(8).long()
    td.local_energy(
        td.Landscape(model, data, on=td.geometry.Hypercube(group)), params, samples=2, kind="flips"
    )
    assert len(seen) > 14
    assert all(torch.equal(weight, params["norm1.weight"]) for weight in seen)


def test_bad_flips(binary):
    model, params, data, cube = binary
    with pytest.raises(ToroidsError, match="kind='flips' flips weights .*; pass .*Hyper"):
        td.local_energy(td.Landscape(model, data), params, kind="flips")
    landscape = td.Landscape(model, data, on=cube)
    with pytest.raises(ToroidsError, match="1.5.* fractions of the binary weights"):
        td.local_energy(landscape, params, (0.1, 1.5), kind="flips")
    raw = {name: 0.5 * weight for name, weight in params.items()}
    with pytest.raises(ParamsError, match="expected -1 or \\+1; pass what canonicalize"):
        td.local_energy(landscape, raw, kind="flips")


def test_one_number_for_a_transformer_and_its_rotated_copy(device):
    model = td.models.vit(4, 1, 8, 4, dim=8, depth=1, heads=2, seed=0).double().to(device)
    inputs = torch.randn(150, 1, 8, 8, dtype=torch.float64, device=device)
    group = td.discover(model, inputs[:2])
    assert any(space.of("rotate") for space in group.spaces)
    toroid = td.Toroid(group)
    params = {key: x + 0.2 * torch.randn_like(x) for key, x in model.state_dict().items()}
    data = (inputs, torch.func.functional_call(model, params, (inputs,)).argmax(dim=1))
    found = []
    for seed in (1, 2):
        moved = group.apply(group.random(torch.Generator().manual_seed(seed)), params)
        canonical = td.canonicalize(group, moved)
        noise = torch.Generator().manual_seed(seed)
        found.append(
            td.local_energy(
                td.Landscape(model, data, on=toroid), canonical, (0.3,), 200, generator=noise
            )
        )
    error = float((found[0].stderr.square() + found[1].stderr.square()).sqrt())
    assert float(found[0].increase) > 5 * error
    assert abs(float(found[0].increase - found[1].increase)) < 3 * error
