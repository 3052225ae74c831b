"""The law of activations: moving the parameters moves what the units compute in the same way."""

from dataclasses import replace

import torch

import toroids as td
from toroids.discovery.proof.proof import restless
from toroids.probe import Probe
from toroids.probe.parity import Span
from toroids.symmetry.choice import identity_choice


def orthogonal_element(group, generator, still=()):
    """Moves every unit, with signs and orthogonal matrices; leaves some spaces as they are."""
    choices = restless(group, generator).choices
    moved = {}
    for space in group.spaces:
        choice = choices[space.name]
        mix = choice.mix if space.of("mix") else None  # rotations act behind gains
        if mix is not None:
            noise = torch.randn(mix.shape, dtype=torch.float64, generator=generator)
            mix = torch.linalg.qr(noise)[0]
        choice = replace(choice, log_scales=None, shifts=None, mix=mix, phases=None)
        moved[space.name] = identity_choice(space) if space.name in still else choice
    return td.symmetry.Element(moved)


def moved_values(group, element, space, activations):
    """What an element makes of what the units of a space compute."""
    choice = element.choices[space.name]
    copies = torch.arange(space.copies)[:, None]
    values = activations.values[copies, choice.permutation]
    for number, power in enumerate(activations.signs):
        values = values * choice.signs[number, :, :, None] ** power
    if choice.mix is not None:
        values = choice.mix @ values
    return values[group.copies_from(space, element.choices)]


def check_law(model, inputs, group, params, observations=300):
    """Asserts the law for every space and value of a network, and that it could have failed."""
    probe = Probe(model, group, inputs, observations)
    before = probe(params)
    generator = torch.Generator().manual_seed(3)
    moved = []
    assert list(before) == [space.name for space in group.spaces]
    unseen = {name for name, found in before.items() if not found}  # as rotary pairs; they rest
    for still in {values.moved_by for found in before.values() for values in found}:
        element = orthogonal_element(group, generator, {*still, *unseen})
        after = probe(group.apply(element, params))
        for space in group.spaces:
            pairs = zip(before[space.name], after[space.name], strict=True)
            for old, new in pairs:
                assert (old.signs, old.moved_by) == (new.signs, new.moved_by)
                if old.moved_by == still:
                    expected = moved_values(group, element, space, old)
                    size = expected.abs().max()
                    assert (new.values - expected).abs().max() <= 1e-9 * size, space.name
                    if space.size > 1:
                        moved.append(bool((new.values - old.values).abs().max() > 1e-3 * size))
    # units that never fire, and borders of padding that are alike, do not show that they moved
    assert 3 * sum(moved) >= len(moved)
    for space in group.spaces:
        if before[space.name]:  # of rotary pairs nothing is seen on its own
            check_values(space, before[space.name])
    varied = any(bool((v.values.std(dim=2) > 0).any()) for found in before.values() for v in found)
    # whole tensors, which have no units, compute nothing of their own
    assert varied != all(space.name.endswith(":whole") for space in group.spaces)


def check_values(space, found):
    """Every flip shows somewhere; units that fire at all compute something that varies."""
    span = Span()
    shown = sum(span.add([int(power) for power in values.signs]) for values in found)
    assert shown == len(space.of("flip"))
    for values in found:
        assert values.values.shape[:2] == (space.copies, space.size)
        assert values.values.dtype == torch.float64 and not values.values.requires_grad
    flat = torch.cat([values.values for values in found], dim=2).flatten(0, 1)
    assert flat.shape[1] > 1
    fires = flat.abs().max(dim=1).values > 0
    varies = flat.std(dim=1) > 1e-6 * flat.abs().max()
    assert 2 * int((fires & varies).sum()) >= int(fires.sum())
