import itertools
import math

import pytest
import torch

import toroids as td
from toroids.errors import ParamsError

WIDTHS = [3, 4, 5, 2]


def canonical(seed, output="classifier"):
    params = td.models.fully_connected(WIDTHS, seed=seed).double().state_dict()
    group = td.symmetry.fully_connected_group(params, output=output)
    return group, td.canonicalize(group, params)


def unit_angles(a, b):
    """Angles unit by unit, by the arc cosine."""
    angles = []
    for name, size in (("hidden1", 4), ("hidden2", 5)):
        for i in range(size):
            u = torch.cat([a[f"{name}.weight"][i], a[f"{name}.bias"][i : i + 1]])
            v = torch.cat([b[f"{name}.weight"][i], b[f"{name}.bias"][i : i + 1]])
            angles.append(math.acos(float(u @ v)))
    return angles


def test_distance_against_the_formula():
    group, a = canonical(0, "values")
    _, b = canonical(1, "values")
    flat = sum(
        float((a[name] - b[name]).square().sum()) for name in ("output.weight", "output.bias")
    )
    expected = math.sqrt(sum(angle**2 for angle in unit_angles(a, b)) + flat)
    assert td.Toroid(group).distance(a, b) == pytest.approx(expected)
    assert td.Toroid(group).distances(a, b)["flat"] == pytest.approx(math.sqrt(flat))


def test_mean_angle_against_the_formula():
    group, a = canonical(0)
    _, b = canonical(1)
    angles = unit_angles(a, b)
    output = math.acos(sum(float((a[n] * b[n]).sum()) for n in ("output.weight", "output.bias")))
    squares = [
        sum(x**2 for x in angles[:4]) / 4,
        sum(x**2 for x in angles[4:]) / 5,
        output**2,
    ]
    assert td.Toroid(group).mean_angle(a, b) == pytest.approx(math.sqrt(sum(squares)))


def test_mean_angle_of_random_networks_does_not_grow_with_width():
    """Random units are orthogonal on average: three spaces at pi / 2, whatever the width."""
    for width in (50, 200):
        widths = [60, width, width, 10]
        a, b = (td.models.fully_connected(widths, seed=s).double().state_dict() for s in (0, 1))
        group = td.symmetry.fully_connected_group(a, output="classifier")
        a, b = td.canonicalize(group, a), td.canonicalize(group, b)
        expected = math.sqrt(3) * math.pi / 2
        assert td.Toroid(group).mean_angle(a, b) == pytest.approx(expected, rel=0.03)


def test_identical_points_are_at_distance_zero_where_acos_is_not():
    group, a = canonical(0)
    single = {name: tensor.float() for name, tensor in a.items()}
    assert td.Toroid(group).distance(single, single) == 0


def test_antipodal_units_have_a_distance_but_no_geodesic():
    group, a = canonical(0)
    b = {name: tensor.clone() for name, tensor in a.items()}
    b["hidden1.weight"][1] *= -1
    b["hidden1.bias"][1] *= -1
    toroid = td.Toroid(group)
    assert toroid.distance(a, b) == pytest.approx(math.pi)
    with pytest.raises(ParamsError, match="unit 1 of `hidden1` is antipodal"):
        toroid.geodesic(a, b)


def test_a_zero_unit_is_on_no_sphere_and_moves_straight():
    group, a = canonical(0)
    b = {name: tensor.clone() for name, tensor in a.items()}
    b["hidden1.weight"][1] = 0
    b["hidden1.bias"][1] = 0
    toroid = td.Toroid(group)
    assert toroid.distance(a, b) == pytest.approx(1)  # the length of the straight line
    assert toroid.distance(b, b) == 0
    middle = toroid.geodesic(a, b)(0.5)
    assert torch.allclose(middle["hidden1.weight"][1], a["hidden1.weight"][1] / 2)


def test_a_sphere_of_one_coordinate_is_flat():
    params = td.models.fully_connected([1, 3, 2], bias=False).double().state_dict()
    group = td.symmetry.fully_connected_group(params)
    toroid = td.Toroid(group)
    assert toroid.spheres == []
    a = td.canonicalize(group, params)
    b = {**a, "hidden1.weight": -a["hidden1.weight"]}
    assert toroid.distance(a, b) == pytest.approx(math.sqrt(3 * 2**2))


def test_buffers_count_in_no_distance():
    params = td.models.fully_connected([3, 4, 2]).double().state_dict()
    group = td.symmetry.fully_connected_group(params)
    with_buffer = td.SymmetryGroup(
        group.spaces, {**group.shapes, "mean": (3,)}, group.output, frozenset({"mean"})
    )
    a = {**td.canonicalize(group, params), "mean": torch.zeros(3)}
    assert td.Toroid(with_buffer).distance(a, {**a, "mean": torch.ones(3)}) == 0


def test_centred_outputs_are_required_where_the_shift_was_removed():
    group, a = canonical(0, "logits")
    shifted = {**a, "output.bias": a["output.bias"] + 0.1}
    with pytest.raises(
        ParamsError, match="`output.bias` in the second network does not sum to zero"
    ):
        td.Toroid(group).distance(a, shifted)


def test_other_shapes_and_nan_are_named():
    group, a = canonical(0)
    toroid = td.Toroid(group)
    with pytest.raises(ParamsError, match="`hidden1.bias` has shape"):
        toroid.distance(a, {**a, "hidden1.bias": torch.ones(9)})
    with pytest.raises(ParamsError, match="`hidden1.bias` in the second network has 4 of 4"):
        toroid.distance(a, {**a, "hidden1.bias": torch.full((4,), float("nan"))})


def test_without_the_bias_units_are_weights_alone_and_biases_are_flat():
    params = [td.models.fully_connected(WIDTHS, seed=s).double().state_dict() for s in (0, 1)]
    group = td.symmetry.fully_connected_group(params[0], output="classifier")
    a, b = (td.canonicalize(group, p, bias=False) for p in params)
    parts = td.Toroid(group, bias=False).distances(a, b)
    flat = sum(float((a[n] - b[n]).square().sum()) for n in ("hidden1.bias", "hidden2.bias"))
    assert parts["flat"] == pytest.approx(math.sqrt(flat))
    angles = [
        math.acos(float(u @ v))
        for u, v in zip(a["hidden1.weight"], b["hidden1.weight"], strict=True)
    ]
    assert parts["hidden1"] == pytest.approx(math.hypot(*angles))
    with pytest.raises(ParamsError, match="of `hidden1` in the first network has norm"):
        td.Toroid(group).distance(a, b)


@pytest.mark.parametrize(("dtype", "off"), [(torch.float64, 1e-6), (torch.float32, 1e-2)])
def test_units_slightly_off_their_sphere_are_refused(dtype, off):
    group, a = canonical(0)
    a = {name: tensor.to(dtype) for name, tensor in a.items()}
    moved = {**a, "hidden2.weight": a["hidden2.weight"] * (1 + off)}
    with pytest.raises(ParamsError, match="unit 0 of `hidden2` in the second network has norm 1"):
        td.Toroid(group).distance(a, moved)


def test_canonical_networks_are_accepted_whatever_was_removed():
    """Constant or large output biases leave rounding behind when they are centred."""
    for dtype in (torch.float32, torch.float64):
        for classes in (3, 6, 7, 10):
            for offset, output in ((0.1, "classifier"), (0.1, "logits"), (1e5, "logits")):
                params = td.models.fully_connected([4, 8, classes]).to(dtype).state_dict()
                group = td.symmetry.fully_connected_group(params, output=output)
                for bias in (torch.full((classes,), offset), params["output.bias"] + offset):
                    params["output.bias"] = bias.to(dtype)
                    point = td.canonicalize(group, params)
                    assert td.Toroid(group).distance(point, point) == 0


def test_a_path_with_a_zero_unit_is_as_long_as_the_distance():
    group, a = canonical(0)
    b = {name: tensor.clone() for name, tensor in canonical(1)[1].items()}
    b["hidden1.weight"][1] = 0
    b["hidden1.bias"][1] = 0
    toroid = td.Toroid(group)
    path = toroid.geodesic(a, b)
    points = [path(t) for t in torch.linspace(0, 1, 2001).tolist()]
    length = sum(
        math.sqrt(sum(float((p[name] - q[name]).square().sum()) for name in a))
        for p, q in itertools.pairwise(points)
    )
    assert toroid.distance(a, b) == pytest.approx(length, rel=1e-5)


def test_different_precisions_are_refused():
    group, a = canonical(0)
    with pytest.raises(
        ParamsError, match="is torch.float64 on cpu in the first network but torch.f"
    ):
        td.Toroid(group).distance(a, {name: tensor.float() for name, tensor in a.items()})


def test_wide_half_precision_networks_have_a_finite_distance():
    a, b = (td.models.fully_connected([8, 40_000, 3], seed=s).half().state_dict() for s in (0, 1))
    group = td.symmetry.fully_connected_group(a, output="classifier")
    a, b = td.canonicalize(group, a), td.canonicalize(group, b)
    exact = [td.canonicalize(group, {n: t.double() for n, t in p.items()}) for p in (a, b)]
    found = td.Toroid(group).distance(a, b)
    assert found == pytest.approx(td.Toroid(group).distance(*exact), rel=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_what_rounding_leaves_of_a_tangent_is_one(seed):
    group, a = canonical(seed)
    toroid, b = td.Toroid(group), dict(a)
    for name in ("hidden1.weight", "hidden1.bias"):  # lengths that differ by some roundings
        b[name] = a[name] * (1 - 4e-16)
    point = toroid.exp(a, toroid.log(a, b))
    torch.testing.assert_close(point["hidden1.weight"], b["hidden1.weight"], rtol=1e-14, atol=0)
