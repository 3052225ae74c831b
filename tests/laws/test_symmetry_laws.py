import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws.networks import element, largest_difference

import toroids as td

seeds = st.integers(0, 10_000)


@given(seed=seeds, size=st.floats(0, 5))
def test_elements_preserve_the_function(case, seed, size):
    moved = case.group.apply(element(case, seed, size), case.params)
    expected = case.outputs(case.params)
    deviation = (case.outputs(moved) - expected).abs().max() / expected.abs().max()
    assert deviation < 1e-10


def test_elements_move_the_weights(case):
    if not case.group.spaces:
        pytest.skip("a linear network has no hidden symmetries")
    moved = case.group.apply(element(case, 1), case.params)
    assert largest_difference(moved, case.params) > 1e-3


@given(first=seeds, second=seeds)
def test_apply_of_compose_is_apply_after_apply(case, first, second):
    g, h = element(case, first), element(case, second)
    at_once = case.group.apply(case.group.compose(g, h), case.params)
    in_turn = case.group.apply(g, case.group.apply(h, case.params))
    assert largest_difference(at_once, in_turn) < 1e-12


@given(seed=seeds)
def test_inverse_undoes(case, seed):
    g = element(case, seed)
    back = case.group.apply(case.group.inverse(g), case.group.apply(g, case.params))
    assert largest_difference(back, case.params) < 1e-12


def test_identity_changes_nothing(case):
    moved = case.group.apply(case.group.identity(), case.params)
    assert largest_difference(moved, case.params) == 0


def test_json_gives_back_the_same_group(case):
    text = case.group.to_json()
    read = td.SymmetryGroup.from_json(text)
    assert read == case.group
    assert read.to_json() == text


def test_verify_accepts_the_group(case):
    assert td.verify(case.group, case.model, case.inputs.cpu()) < 1e-12


def test_verify_rejects_a_leg_left_behind(case):
    """Dropping any one leg of any space must be caught at the tolerance that accepts the group."""
    for position, space in enumerate(case.group.spaces):
        for left_out in range(len(space.legs)):
            legs = tuple(leg for at, leg in enumerate(space.legs) if at != left_out)
            if not any(leg.role == "write" for leg in legs):
                continue
            exponents = space.generators[0].exponents
            kept = tuple(power for at, power in enumerate(exponents) if at != left_out)
            wrong = dataclasses.replace(
                space, legs=legs, generators=(td.symmetry.Generator("rescale", kept),)
            )
            spaces = (*case.group.spaces[:position], wrong, *case.group.spaces[position + 1 :])
            group = dataclasses.replace(case.group, spaces=spaces)
            assert td.verify(group, case.model, case.inputs.cpu()) > 1e-4


def test_verify_leaves_the_model_alone(case):
    case.model.train()
    before = {name: tensor.clone() for name, tensor in case.params.items()}
    td.verify(case.group, case.model, case.inputs.cpu())
    assert all(module.training for module in case.model.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in case.params.items())
