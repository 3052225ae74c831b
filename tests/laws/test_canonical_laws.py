import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws.networks import element, largest_difference, permutations_of

import toroids as td

seeds = st.integers(0, 10_000)


@pytest.fixture(params=[True, False], ids=["bias", "no-bias"], scope="module")
def bias(request):
    return request.param


def expected_outputs(case, outputs):
    """What is left of the outputs when what the reader cannot see is removed."""
    if case.group.output.mode == "values":
        return outputs
    return outputs - outputs.mean(dim=1, keepdim=True)


@given(seed=seeds)
def test_same_function_up_to_what_the_output_removes(case, bias, seed):
    params = case.other(seed)
    outputs = case.outputs(td.canonicalize(case.group, params, bias=bias))
    expected = expected_outputs(case, case.outputs(params))
    if case.group.output.mode == "classifier":  # one positive scale for all inputs
        scale = outputs.flatten() @ expected.flatten() / expected.square().sum()
        assert scale > 0
        expected = expected * scale
        assert torch.equal(outputs.argmax(dim=1), case.outputs(params).argmax(dim=1))
    assert (outputs - expected).abs().max() < 1e-10 * expected.abs().max()


@given(seed=seeds)
def test_idempotent(case, bias, seed):
    once = td.canonicalize(case.group, case.other(seed), bias=bias)
    assert largest_difference(td.canonicalize(case.group, once, bias=bias), once) < 1e-12


@given(seed=seeds, size=st.floats(0, 5))
def test_the_orbit_has_one_canonical_form_up_to_permutations(case, bias, seed, size):
    params, g = case.other(seed), element(case, seed + 1, size)
    canonical = td.canonicalize(case.group, params, bias=bias)
    of_moved = td.canonicalize(case.group, case.group.apply(g, params), bias=bias)
    expected = case.group.apply(permutations_of(case, g), canonical)
    assert largest_difference(of_moved, expected) < 1e-10


@given(seed=seeds)
def test_continuous(case, bias, seed):
    params, direction = case.other(seed), case.other(seed + 1)
    near = {name: tensor + 1e-9 * direction[name] for name, tensor in params.items()}
    a = td.canonicalize(case.group, params, bias=bias)
    b = td.canonicalize(case.group, near, bias=bias)
    # A unit of norm n moves by 1e-9 / n; these units have norms well above 1e-3.
    assert largest_difference(a, b) < 1e-5


def test_hidden_units_lie_on_spheres(case):
    canonical = td.canonicalize(case.group, case.other(1))
    for space in case.group.spaces:
        squares = sum(
            canonical[leg.tensor].reshape(space.size, -1).square().sum(dim=1)
            for leg in space.legs
            if leg.role == "write"
        )
        assert (squares - 1).abs().max() < 1e-12


def test_names_shapes_dtypes_and_devices_are_kept(case):
    for dtype in (torch.float64, torch.float32):
        params = {name: tensor.to(dtype) for name, tensor in case.params.items()}
        canonical = td.canonicalize(case.group, params)
        assert list(canonical) == list(params)
        for name, tensor in params.items():
            moved = canonical[name]
            assert (moved.shape, moved.dtype, moved.device) == (
                tensor.shape,
                tensor.dtype,
                tensor.device,
            )
        case.model.to(dtype).load_state_dict(dict(canonical))
        case.model.double().load_state_dict(case.params)


def test_gradients_flow(case):
    params = {name: tensor.clone().requires_grad_() for name, tensor in case.other(2).items()}
    names = list(params)

    def weigh(*tensors):
        canonical = td.canonicalize(case.group, dict(zip(names, tensors, strict=True)))
        return sum(
            (position + 1) * canonical[name].sin().sum() for position, name in enumerate(names)
        )

    assert torch.autograd.gradcheck(weigh, tuple(params.values()))
