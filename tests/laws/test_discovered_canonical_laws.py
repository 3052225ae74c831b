"""The laws of the canonical form and the toroid, over every network that discovery is tested on."""

import dataclasses
import functools
import itertools
import math

import pytest
import torch
from discovery.written import NAMES, found

import toroids as td
from toroids.canonical.least_norm import LeastNorm
from toroids.canonical.plan import Plan


def subject(name, seed=0):
    """The group, parameters in float64 and the outputs as a function of them."""
    model, _, explored, group = found(name)
    program = explored.main
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


@pytest.fixture(params=NAMES, scope="module")
def name(request):
    return request.param


@pytest.fixture(params=["keep", "fold"], scope="module")
def batch_norm(request):
    return request.param


@pytest.fixture(params=["sphere", "balanced"], scope="module")
def gauge(request):
    return request.param


def test_same_function_and_idempotent(name, batch_norm, gauge):
    group, params, outputs = subject(name)
    canonical = td.canonicalize(group, params, gauge, batch_norm=batch_norm)
    assert deviation(outputs(canonical), outputs(params)) < 1e-10
    again = td.canonicalize(group, canonical, gauge, batch_norm=batch_norm)
    assert difference(again, canonical, params) < 1e-12


def test_every_network_of_an_orbit_has_the_same_form_up_to_permutations(
    name, batch_norm, gauge, request
):
    group, params, _ = subject(name)
    elements = 20 if request.config.getoption("--long") else 8
    canonical = td.canonicalize(group, params, gauge, batch_norm=batch_norm)
    for seed in range(elements if gauge == "sphere" else 4):
        g = large(group, torch.Generator().manual_seed(seed))
        moved = td.canonicalize(group, group.apply(g, params), gauge, batch_norm=batch_norm)
        permuted = group.apply(permutations(group, g), canonical)
        scale = max(float(canonical[n].abs().max()) for n in group.parameters)
        assert difference(moved, permuted, group.parameters) < 1e-9 * scale


def large(group, generator):
    """A random element whose log-scales are uniform between -5 and 5."""
    choices = dict(group.random(generator).choices)
    for key, choice in choices.items():
        if choice.log_scales is not None:
            logs = torch.rand(choice.log_scales.shape, generator=generator, dtype=torch.float64)
            choices[key] = dataclasses.replace(choice, log_scales=10 * logs - 5)
    return td.symmetry.Element(choices)


def permutations(group, g):
    """What is left of an element in canonical form: its rotations, and its permutations.

    Units that invertible matrices mix are sorted by themselves.
    """
    choices = {}
    for space in group.spaces:
        choice = group.identity().choices[space.name]
        if not space.of("mix"):
            rotation = g.choices[space.name].mix
            choice = td.symmetry.SpaceElement(g.choices[space.name].permutation, mix=rotation)
        choices[space.name] = choice
    return td.symmetry.Element(choices)


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


def test_the_balanced_gauge_has_the_least_norm(name):
    """No scale and no matrix can lower the norm, to first order; the problem is convex."""
    group, params, _ = subject(name)
    least = LeastNorm(group, params)
    if any(space.of("rescale") for space in least.rest.spaces):
        pytest.skip("a part of it has no least norm")
    balanced = td.canonicalize(group, params, "balanced")
    leaves, choices = [], {}
    for space in group.spaces:
        choice = group.identity().choices[space.name]
        for part in ("log_scales", "mix"):
            if getattr(choice, part) is not None:
                leaf = getattr(choice, part).clone().requires_grad_()
                leaves.append((leaf, part == "mix" and "rotate" in space.actions))
                choice = dataclasses.replace(choice, **{part: leaf})
        choices[space.name] = choice
    if not leaves:
        pytest.skip("nothing scales or mixes")
    moved = group.apply(td.symmetry.Element(choices), balanced)
    square = sum(moved[n].square().sum() for n in group.parameters)
    square.backward()
    # along rotations go antisymmetric matrices only
    slopes = [leaf.grad - leaf.grad.mT if turns else leaf.grad for leaf, turns in leaves]
    assert max(float(slope.abs().max()) for slope in slopes) < 1e-10 * square.item()


def test_gradients_and_continuity(name, batch_norm):
    group, params, _ = subject(name)
    form = functools.partial(td.canonicalize, group, batch_norm=batch_norm)
    generator = torch.Generator().manual_seed(0)
    noise = {
        n: torch.randn(params[n].shape, generator=generator, dtype=torch.float64)
        for n in group.parameters
    }
    weights = {n: torch.randn(t.shape, generator=generator).double() for n, t in noise.items()}

    def value(p):
        return sum((form(p)[n] * weights[n]).sum() for n in group.parameters)

    def shifted(size):
        moved = {**params, **{n: params[n] + size * t for n, t in noise.items()}}
        return {n: moved[group.tied.get(n, n)] for n in moved}

    near = form(shifted(1e-9))
    there = form(params)
    scale = max(float(there[n].abs().max()) for n in group.parameters)
    assert difference(near, there, group.parameters) < 1e-5 * scale
    leaves = {n: params[n].clone().requires_grad_() for n in group.parameters}
    whole = {**params, **leaves}
    value({n: whole[group.tied.get(n, n)] for n in whole}).backward()
    slope = sum(float((t.grad * noise[n]).sum()) for n, t in leaves.items() if t.grad is not None)
    assert math.isfinite(slope)
    if not any(space.of("mix") for space in group.spaces):
        step = 1e-6
        expected = float(value(shifted(step)) - value(shifted(-step))) / (2 * step)
        assert slope == pytest.approx(expected, rel=1e-5, abs=1e-6 * scale)


def test_distance_is_invariant_and_resolves_small_steps(name, batch_norm):
    group, a, _ = subject(name, 1)
    a, b = (
        td.canonicalize(group, p, batch_norm=batch_norm) for p in (a, subject(name, 2)[1])
    )  # fmt: skip
    toroid = td.Toroid(group, batch_norm=batch_norm)
    g = toroid.group.random(torch.Generator().manual_seed(0))
    choices = {}
    for space in toroid.group.spaces:
        choice = g.choices[space.name]
        mix = torch.linalg.qr(choice.mix)[0] if space.of("mix") else choice.mix
        choices[space.name] = td.symmetry.SpaceElement(
            choice.permutation, signs=choice.signs, mix=mix
        )
    g = td.symmetry.Element(choices)
    moved = toroid.distance(toroid.group.apply(g, a), toroid.group.apply(g, b))
    assert moved == pytest.approx(toroid.distance(a, b), rel=1e-12)
    tangent = toroid.random_tangent(a, torch.Generator().manual_seed(0))
    length = math.sqrt(toroid.inner(tangent, tangent))
    near = toroid.exp(a, {n: 1e-12 / length * t for n, t in tangent.items()})
    assert 0.5e-12 < toroid.distance(a, near) < 2e-12


def test_half_precision_is_computed_in_float32_and_rounded_once(name, batch_norm):
    group, params, _ = subject(name)
    half = {n: t.bfloat16() if t.is_floating_point() else t for n, t in params.items()}
    single = {n: t.float() if t.is_floating_point() else t for n, t in half.items()}
    found = td.canonicalize(group, half, batch_norm=batch_norm)
    expected = td.canonicalize(group, single, batch_norm=batch_norm)
    for n, tensor in found.items():
        assert tensor.dtype == half[n].dtype
        assert torch.equal(tensor, expected[n].to(tensor.dtype))
