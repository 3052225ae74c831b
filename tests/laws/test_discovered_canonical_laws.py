"""The laws of the canonical form and the toroid, over every network that discovery is tested on."""

import itertools
import math

import pytest
import torch
from symmetry.test_discover import EXPECTED, built

import toroids as td
from toroids.canonical.plan import Plan
from toroids.symmetry.discover import group_of
from toroids.symmetry.trace import trace


def subject(name, seed=0):
    """The group, parameters in float64 and the outputs as a function of them."""
    model, inputs = built(name)
    program = trace(model, inputs)
    group = group_of(program)
    generator = torch.Generator().manual_seed(seed)
    params = {}
    for key, tensor in model.state_dict().items():
        params[key] = tensor
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            noise = noise.abs() if key.endswith("running_var") else noise
            params[key] = tensor.double() + 0.5 * noise
    params = {key: params[group.tied.get(key, key)] for key in params}
    return group, params, lambda p: program.run(p, wide=True)


def deviation(found, expected):
    return max(
        float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True)
    )


def difference(a, b, names):
    return max(float((a[n] - b[n]).abs().max()) for n in names)


@pytest.fixture(params=EXPECTED, scope="module")
def name(request):
    return request.param


@pytest.fixture(params=["keep", "fold"], scope="module")
def batch_norm(request):
    return request.param


def test_same_function_and_idempotent(name, batch_norm):
    group, params, outputs = subject(name)
    canonical = td.canonicalize(group, params, batch_norm=batch_norm)
    assert deviation(outputs(canonical), outputs(params)) < 1e-10
    again = td.canonicalize(group, canonical, batch_norm=batch_norm)
    assert difference(again, canonical, params) < 1e-12


def test_every_network_of_an_orbit_has_the_same_form_up_to_permutations(name, batch_norm):
    group, params, _ = subject(name)
    canonical = td.canonicalize(group, params, batch_norm=batch_norm)
    for seed in range(20):
        g = group.random(torch.Generator().manual_seed(seed))
        moved = td.canonicalize(group, group.apply(g, params), batch_norm=batch_norm)
        permuted = group.apply(permutations(group, g), canonical)
        scale = max(float(canonical[n].abs().max()) for n in group.parameters)
        assert difference(moved, permuted, group.parameters) < 1e-9 * scale


def permutations(group, g):
    """What is left of an element in canonical form: matrices sort their units by themselves."""
    choices = {}
    for space in group.spaces:
        choice = group.identity().choices[space.name]
        if not space.of("mix"):
            choice = td.SpaceElement(g.choices[space.name].permutation)
        choices[space.name] = choice
    return td.Element(choices)


def test_geometry(name, batch_norm):
    points = [td.canonicalize(*subject(name, s)[:2], batch_norm=batch_norm) for s in (1, 2, 3)]
    toroid = td.Toroid(subject(name)[0], batch_norm=batch_norm)
    a, b, c = points
    distance = toroid.distance(a, b)
    assert distance > 1e-3
    assert toroid.distance(a, a) == 0
    assert toroid.distance(b, a) == pytest.approx(distance, rel=1e-13)
    assert toroid.distance(a, c) <= distance + toroid.distance(b, c) + 1e-12
    step = toroid.log(a, b)
    assert math.sqrt(toroid.inner(step, step)) == pytest.approx(distance, rel=1e-12)
    names = toroid.group.parameters
    assert difference(toroid.exp(a, step), b, names) < 1e-11
    path = toroid.geodesic(a, b)
    for s, t in itertools.pairwise((0.0, 0.2, 0.7, 1.0)):
        assert toroid.distance(path(s), path(t)) == pytest.approx((t - s) * distance, rel=1e-9)
    other = toroid.random_tangent(a, torch.Generator().manual_seed(0))
    carried = toroid.transport(a, b, other)
    assert toroid.inner(carried, carried) == pytest.approx(toroid.inner(other, other))
    back = {n: -t for n, t in toroid.transport(a, b, step).items()}
    assert difference(back, toroid.log(b, a), names) < 1e-10
    toroid.exp(a, {n: 0.1 * t for n, t in other.items()})
    mean = toroid.mean([a, b])
    assert mean.converged
    assert toroid.distance(mean, a) == pytest.approx(distance / 2, rel=1e-6)


def test_all_continuous_symmetries_are_fixed_or_the_plan_says_which_are_not(name):
    group, params, _ = subject(name)
    plan = Plan(group, True)
    steps = [s for steps in plan.scales for s in steps] + plan.shifts
    assert plan.notes == []
    continuous = sum(len(s.of(a)) for s in group.spaces for a in ("rescale", "shift", "mix"))
    assert len(steps) == continuous
