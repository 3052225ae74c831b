"""Units that stay in place are scaled, flipped and shifted one by one, as units of one space."""

import math

import pytest
import torch
from discovery.function import Function
from torch import nn

import toroids as td
from toroids.symmetry.space import Leg, Space

FEATURES, HIDDEN = 6, 5


def layers():
    return {"hidden": nn.Linear(FEATURES, HIDDEN), "out": nn.Linear(HIDDEN, 2)}


def behind(module, x):
    return module.out(torch.relu(module.hidden(x)))


def patches(x):
    return nn.functional.unfold(x, (2, 3), stride=(2, 3)).transpose(1, 2)


MODULES = {
    "layer norm": (
        lambda: Function(lambda m, x: behind(m, m.norm(x)), norm=nn.LayerNorm(FEATURES), **layers()),
        (20, FEATURES), ["flip", "rescale", "shift"],
    ),
    "batch norm": (
        lambda: Function(lambda m, x: behind(m, m.norm(x)), norm=nn.BatchNorm1d(FEATURES), **layers()),
        (20, FEATURES), ["flip", "rescale", "shift"],
    ),
    "gain": (
        lambda: Function(
            lambda m, x: behind(m, torch.relu(x * m.gain)),
            gain=nn.Parameter(torch.randn(FEATURES)), **layers(),
        ),
        (20, FEATURES), ["rescale"],
    ),
    "patches": (
        lambda: Function(
            lambda m, x: behind(m, m.norm(patches(x))).mean(1), norm=nn.LayerNorm(FEATURES), **layers()
        ),
        (20, 1, 4, 6), ["flip", "rescale", "shift"],
    ),
    "products": (
        lambda: Function(
            lambda m, x: behind(m, (x * m.one) @ m.two),
            one=nn.Parameter(torch.randn(FEATURES)), two=nn.Parameter(torch.randn(FEATURES, FEATURES)),
            **layers(),
        ),
        (20, FEATURES), ["flip", "rescale"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_features_of_an_input_are_units_of_one_space_that_nothing_permutes(name):
    torch.manual_seed(0)
    make, shape, actions = MODULES[name]
    model, inputs = make().double().eval(), torch.randn(shape, dtype=torch.float64)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter).abs()
    group = td.discover(model, inputs)
    (still,) = (space for space in group.spaces if space.is_still)
    assert (still.size, still.copies, sorted(still.actions)) == (FEATURES, 1, actions)
    assert "permute" not in still.actions
    assert td.SymmetryGroup.from_json(group.to_json()) == group
    params = model.state_dict()
    disguised = group.apply(group.random(torch.Generator().manual_seed(1)), params)
    torch.testing.assert_close(
        torch.func.functional_call(model, disguised, (inputs,)),
        model(inputs),
        rtol=1e-10,
        atol=1e-10,
    )
    alignment = td.align(group, disguised, to=params)
    assert td.Toroid(group).distance(alignment.reference, alignment.params) < 1e-10
    assert alignment.gap < 1e-9


@pytest.mark.parametrize("name", ["layer norm", "batch norm", "gain"])
def test_nothing_is_left_unexplained(name):
    torch.manual_seed(0)
    make, shape, _ = MODULES[name]
    audit = td.audit(make().eval(), torch.randn(100, *shape[1:]).abs())
    assert audit.unexplained == 0


def heads(m, x):
    return behind(m, (x * m.one * m.two).flatten(1))


def positions(m, x):
    return behind(m, (x * m.one * m.two).sum(1))


@pytest.mark.parametrize(
    ("compute", "two", "sizes"),
    [
        (positions, (3, 1), {"one": 3, "two:whole": 1, "hidden": HIDDEN}),
        (heads, (3, 2), {"one": 3, "two:whole": 3, "hidden": HIDDEN}),
    ],
)
def test_units_are_those_of_one_space_also_where_others_lie_on_the_same_axes(compute, two, sizes):
    torch.manual_seed(0)
    one, two = (nn.Parameter(torch.randn(shape, dtype=torch.float64)) for shape in ((3, 1), two))
    features = 6 if compute is heads else 2
    model = Function(
        compute,
        one=one,
        two=two,
        hidden=nn.Linear(features, HIDDEN).double(),
        out=nn.Linear(HIDDEN, 2).double(),
    )
    inputs = torch.randn(20, 3, 2, dtype=torch.float64)
    group = td.discover(model, inputs)
    assert {space.name: space.size for space in group.spaces} == sizes
    params = model.state_dict()
    disguised = group.apply(group.random(torch.Generator().manual_seed(1)), params)
    alignment = td.align(group, disguised, to=params)
    assert td.Toroid(group).distance(alignment.reference, alignment.params) < 1e-10
    assert td.SymmetryGroup.from_json(group.to_json()) == group


def test_rows_of_an_embedding_and_pixels_have_no_scales_of_their_own():
    words = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 3))
    group = td.discover(words, torch.randint(9, (2, 5)))
    assert [space.size for space in group.spaces] == [4]
    image = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(12, 2))
    assert not any(s.is_still for s in td.discover(image, torch.randn(2, 1, 4, 4)).spaces)


@pytest.mark.parametrize("features", [1, 4])
def test_units_that_a_norm_writes_to_the_outputs_shift_with_its_means(features):
    model = nn.Sequential(nn.Linear(3, features), nn.BatchNorm1d(features)).double()
    group = td.discover(model, torch.randn(5, 3).double())
    (space,) = group.spaces
    assert space.is_still or features == 1
    assert space.actions == {"rescale", "flip", "shift"}
    params = model.state_dict()
    disguised = group.apply(group.random(torch.Generator().manual_seed(1)), params)
    alignment = td.align(group, disguised, to=params)
    assert td.Toroid(group).distance(alignment.reference, alignment.params) < 1e-10


def still(legs, size):
    flip = td.symmetry.Generator("flip", (1.0,) * len(legs))
    return Space("still", size, 1, frozenset({"flip"}), tuple(legs), (flip,))


def test_the_bound_of_units_that_stay_is_that_of_as_many_spaces():
    size, generator = 4, torch.Generator().manual_seed(0)
    shapes = {"gain": (size,), "weight": (3, size), "out": (2, 3)}
    rows = (Leg("weight", 0, "write", "weight"), Leg("out", 1, "read", "out"))
    hidden = Space("hidden", 3, 1, frozenset({"permute"}), rows)
    whole = still([Leg("gain", 0, "write", "gain"), Leg("weight", 1, "read", "weight")], size)
    single = [
        td.symmetry.Space(
            f"still:{k}", 1, 1, frozenset({"flip"}),
            (
                Leg("gain", 0, "write", "gain", positions=(k,)),
                Leg("weight", 1, "read", "weight", positions=(k,)),
            ),
            whole.generators,
        )
        for k in range(size)
    ]  # fmt: skip
    a, b = (
        {n: torch.randn(s, generator=generator, dtype=torch.float64) for n, s in shapes.items()}
        for _ in range(2)
    )
    together, apart = (
        td.align(td.SymmetryGroup(spaces=(hidden, *spaces), shapes=shapes), a, to=b)
        for spaces in ([whole], single)
    )
    assert together.bound == pytest.approx(apart.bound, rel=1e-12)
    assert together.similarity == pytest.approx(apart.similarity, rel=1e-12)
    lengths = sum(float(a[name].norm() * b[name].norm()) for name in shapes)
    assert together.bound < lengths
    assert math.isfinite(together.gap)
