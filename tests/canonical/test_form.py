import dataclasses

import pytest
import torch
from discovery.function import Function
from torch import nn
from torch.func import functional_call
from torch.nn.functional import glu

import toroids as td
from toroids.canonical.batch_norm import Folding
from toroids.errors import ParamsError, ToroidsError


@pytest.fixture
def params():
    return td.models.fully_connected([3, 4, 2], seed=0).double().state_dict()


def test_against_the_formula(params):
    """One hidden layer, written out: rows to norm one, columns multiplied, output centred."""
    group = td.symmetry.fully_connected_group(params, output="classifier")
    canonical = td.canonicalize(group, params)
    w, b = params["hidden1.weight"], params["hidden1.bias"]
    norms = torch.tensor([(w[i] @ w[i] + b[i] ** 2) ** 0.5 for i in range(4)]).double()
    v = params["output.weight"] * norms
    c = params["output.bias"]
    v, c = v - v.mean(dim=0), c - c.mean()
    radius = (v.square().sum() + c.square().sum()).sqrt()
    expected = {
        "hidden1.weight": w / norms[:, None],
        "hidden1.bias": b / norms,
        "output.weight": v / radius,
        "output.bias": c / radius,
    }
    for name, tensor in expected.items():
        assert torch.allclose(canonical[name], tensor, atol=1e-14)


def test_without_the_bias_only_weights_have_unit_norm(params):
    group = td.symmetry.fully_connected_group(params)
    canonical = td.canonicalize(group, params, bias=False)
    assert torch.allclose(canonical["hidden1.weight"].norm(dim=1), torch.ones(4).double())
    norms = params["hidden1.weight"].norm(dim=1)
    assert torch.allclose(canonical["hidden1.bias"], params["hidden1.bias"] / norms)


def test_a_zero_unit_is_left_and_reported(params):
    params["hidden1.weight"][2] = 0
    params["hidden1.bias"][2] = 0
    group = td.symmetry.fully_connected_group(params)
    canonical = td.canonicalize(group, params)
    assert canonical.notes == (
        "space `hidden1`: units [2] have zero norm and are left as they are",
    )
    assert not canonical["hidden1.weight"][2].any()
    assert torch.equal(canonical["output.weight"][:, 2], params["output.weight"][:, 2])
    assert torch.isfinite(canonical["output.weight"]).all()


def test_gradients_stay_finite_beside_a_zero_unit(params):
    params["hidden1.weight"][2] = 0
    params["hidden1.bias"][2] = 0
    group = td.symmetry.fully_connected_group(params)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
    sum(tensor.sum() for tensor in td.canonicalize(group, leaves).values()).backward()
    assert all(torch.isfinite(leaf.grad).all() for leaf in leaves.values())


def test_classes_that_all_get_the_same_logit_are_reported(params):
    params["output.weight"][:] = params["output.weight"][0]
    params["output.bias"][:] = 1
    group = td.symmetry.fully_connected_group(params, output="classifier")
    canonical = td.canonicalize(group, params)
    assert canonical.notes == (
        "output: all classes get the same logit; its scale is left as it is",
    )
    assert torch.isfinite(canonical["output.weight"]).all()


def test_the_users_parameters_are_not_changed(params):
    before = {name: tensor.clone() for name, tensor in params.items()}
    td.canonicalize(td.symmetry.fully_connected_group(params, output="classifier"), params)
    assert all(torch.equal(before[name], params[name]) for name in params)


def test_bad_requests(params):
    group = td.symmetry.fully_connected_group(params)
    with pytest.raises(ToroidsError, match=r"no gauge 'round'; choose from"):
        td.canonicalize(group, params, gauge="round")
    with pytest.raises(ParamsError, match="lacks? `output.bias`"):
        td.canonicalize(group, {k: v for k, v in params.items() if k != "output.bias"})
    params["output.weight"][0, 0] = float("nan")
    with pytest.raises(ParamsError, match="`output.weight` .* NaN or infinite"):
        td.canonicalize(group, params)


@pytest.mark.parametrize(
    ("dtype", "scale", "tolerance"),
    [
        (torch.float32, 1e20, 1e-6),
        (torch.float32, 1e-22, 1e-6),
        (torch.float32, 1e-30, 1e-6),
        (torch.bfloat16, 1e20, 1e-2),
        (torch.bfloat16, 1e-22, 1e-2),
        (torch.float16, 2000.0, 1e-3),
        (torch.float64, 1e150, 1e-14),
    ],
)
def test_scales_whose_squares_leave_the_precision(dtype, scale, tolerance):
    """Norms are computed wider than the weights: neither infinite nor taken for zero."""
    params = td.models.fully_connected([64, 32, 10]).to(dtype).state_dict()
    # All logits are multiplied by `scale`, which a classifier does not see.
    scaled = {n: tensor if n == "output.weight" else tensor * scale for n, tensor in params.items()}
    group = td.symmetry.fully_connected_group(params, output="classifier")
    expected, found = td.canonicalize(group, params), td.canonicalize(group, scaled)
    assert found.notes == ()
    for name, tensor in expected.items():
        assert found[name].dtype == dtype
        assert (found[name] - tensor).abs().max() < tolerance


def test_a_canonical_form_that_overflows_is_refused(params):
    half = {name: tensor.half() for name, tensor in params.items()}
    half["hidden1.weight"] = half["hidden1.weight"] * 50_000
    half["output.weight"] = half["output.weight"] * 50_000
    group = td.symmetry.fully_connected_group(half)
    with pytest.raises(
        ParamsError, match="`output.weight` in the canonical form, which leaves the"
    ):
        td.canonicalize(group, half)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("output", ["logits", "classifier"])
def test_classes_that_differ_by_their_last_digit_keep_their_order(dtype, output):
    params = td.models.fully_connected([2, 4, 3]).to(dtype).state_dict()
    eps = torch.finfo(dtype).eps
    params["output.bias"] = torch.tensor([1.0, 1 + 3 * eps, 1 + eps], dtype=torch.float64).to(dtype)
    group = td.symmetry.fully_connected_group(params, output=output)
    bias = td.canonicalize(group, params)["output.bias"]
    assert bias.argsort().tolist() == [0, 2, 1]


def test_a_generator_without_a_writer_is_left_and_reported():
    model = td.models.fully_connected([3, 4, 2], seed=0).double()
    group = td.symmetry.fully_connected_group(model.state_dict())
    (space,) = group.spaces
    readers_only = td.symmetry.Generator("rescale", (0.0, 0.0, -1.0))
    other = dataclasses.replace(space, generators=(readers_only,))
    other = dataclasses.replace(group, spaces=(other,))
    canonical = td.canonicalize(other, model.state_dict())
    assert canonical.notes == (
        "space `hidden1`: 1 of 1 families of 'rescale' are set by the least norm of all weights, "
        "where there is one; no parameters that only write the space tell them apart",
    )
    assert all(torch.equal(canonical[n], t) for n, t in model.state_dict().items())


def test_scales_of_groups_and_of_their_units_look_at_weights_of_their_own():
    model = torch.nn.Sequential(
        torch.nn.Conv2d(4, 4, 2),
        torch.nn.Conv2d(4, 16, 2, groups=4),
        torch.nn.Conv2d(16, 2, 1, groups=2, bias=False),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(2, 1),
    ).double()
    inputs = torch.randn(2, 4, 4, 4).double()
    group = td.discover(model, inputs)
    canonical = td.canonicalize(group, model.state_dict())
    again = td.canonicalize(group, canonical)
    assert all(torch.allclose(again[name], canonical[name], atol=1e-12) for name in canonical)
    before = model(inputs)
    assert torch.allclose(torch.func.functional_call(model, dict(canonical), inputs), before)


class Branches(nn.Module):
    """A block of branches with norms of their own, whose layers read and write one stream."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 4, 1), nn.Linear(4, 3)
        self.wide, self.narrow = nn.Conv2d(4, 4, 3, 1, 1, bias=False), nn.Conv2d(4, 4, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(3))

    def forward(self, x):
        x = self.first(x).relu()
        branches = self.wide(x), self.narrow(x), x
        x = sum(norm(h) for norm, h in zip(self.norms, branches, strict=True)).relu()
        return self.last(x.mean((2, 3)))


def test_rows_that_read_their_own_space_get_norm_one_where_they_scale_alone():
    model, inputs = Branches().double(), torch.randn(2, 2, 5, 5).double()
    group = td.discover(model, inputs)
    start = {
        n: t + 0.3 * torch.rand_like(t) if t.ndim else t for n, t in model.state_dict().items()
    }
    moved = group.apply(group.random(torch.Generator().manual_seed(3)), start)
    alignment = td.align(group, moved, to=start)
    assert td.Toroid(group).distance(alignment.reference, alignment.params) < 1e-6
    rows = alignment.reference["wide.weight"].flatten(1).norm(dim=1)
    assert torch.allclose(rows, torch.ones_like(rows))


class Gated(nn.Module):
    """A stream to which a gated layer adds, whose two halves have norms of their own."""

    def __init__(self):
        super().__init__()
        self.first, self.inner, self.last = nn.Linear(3, 4), nn.Linear(4, 8), nn.Linear(4, 2)
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x):
        h = self.first(x)
        return self.last((h + glu(self.norm(self.inner(h)))).relu())


class Farthest(nn.Module):
    """Units that scale together only, before a norm that forgets their scale."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(8, 5, bias=False)
        self.norms, self.last = nn.ModuleList(map(nn.BatchNorm1d, (4, 5))), nn.Linear(9, 2)

    def forward(self, x):
        h = self.norms[0](self.first(x)).relu()
        far = h.square().sum(1).argmax(0, keepdim=True)
        z = self.norms[1](self.second(torch.cat([h - h[far], h], 1))).relu()
        return self.last(torch.cat([h, z], 1))


class Joined(nn.Module):
    """A single number behind a map, which nothing but a norm reads, beside another map."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 2), nn.Linear(3, 4)
        self.gain, self.norm = nn.Parameter(torch.ones(1)), nn.BatchNorm1d(6)
        self.last = nn.Linear(6, 2)

    def forward(self, x):
        h = torch.cat([self.first(x) * self.gain, self.second(x).tanh()], 1)
        return self.last(self.norm(h).relu())


@pytest.mark.parametrize("batch_norm", ["keep", "fold"])
@pytest.mark.parametrize("make", [Gated, Farthest, Joined])
def test_scales_before_norms_are_set_whatever_else_moves_the_norm(make, batch_norm):
    model, inputs = make().double().eval(), torch.randn(6, 3).double()
    group = td.discover(model, inputs)
    start = {n: t + torch.rand_like(t) if t.ndim else t for n, t in model.state_dict().items()}
    moved = group.apply(group.random(torch.Generator().manual_seed(3)), start)
    alignment = td.align(group, moved, to=start, batch_norm=batch_norm)
    toroid = td.Toroid(group, batch_norm=batch_norm)
    assert toroid.distance(alignment.reference, alignment.params) < 1e-6
    before, after = (functional_call(model, dict(p), inputs) for p in (start, alignment.params))
    assert torch.allclose(after, before)


class TwoOrders(nn.Module):
    """Layers in groups, so that two spaces order the same channels each in its own way."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 4, 1)
        self.outer = nn.Conv2d(4, 4, 1, groups=2, bias=False)
        self.inner, self.last = nn.Conv2d(4, 4, 1, bias=False), nn.Linear(4, 3)
        self.groups = nn.Conv2d(4, 4, 1, groups=2, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(2))

    def forward(self, x):
        h = self.norms[0](self.outer(self.first(x).tanh()))
        h = self.groups(h + self.inner(self.norms[1](h)))
        return self.last((h + self.groups(self.second(x).relu())).mean((2, 3)))


def test_rows_that_another_space_scales_too_are_not_set():
    model, inputs = TwoOrders().double().eval(), torch.randn(2, 2, 4, 4).double()
    group = td.discover(model, inputs)
    params = {n: torch.rand_like(t) + 0.2 if t.ndim else t for n, t in model.state_dict().items()}
    canonical = td.canonicalize(group, params)  # steps that depend on each other would run away
    before, after = (functional_call(model, dict(p), inputs) for p in (params, canonical))
    assert torch.allclose(after, before)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.LeakyReLU(), nn.Tanh(), nn.Identity()])
@pytest.mark.parametrize("behind", [True, False])
def test_folding_keeps_the_function_where_gains_are_negative(activation, behind):
    between = [activation, nn.BatchNorm1d(4)] if behind else [nn.BatchNorm1d(4), activation]
    model = nn.Sequential(nn.Linear(3, 4), *between, nn.Linear(4, 2)).double().eval()
    inputs = torch.randn(5, 3).double()
    group = td.discover(model, inputs)
    name = f"{2 if behind else 1}.weight"
    params = {**model.state_dict(), name: torch.tensor([1.0, -1.0, 0.7, -1.3]).double()}
    canonical = td.canonicalize(group, params, batch_norm="fold")
    before, after = (functional_call(model, dict(p), inputs) for p in (params, canonical))
    assert torch.allclose(after, before)
    stays = behind and not isinstance(activation, nn.Tanh | nn.Identity)
    assert [note.startswith("not folded: `2`") for note in canonical.notes] == [True] * stays


class Scaled(nn.Module):
    """A single number behind one norm, of which the map before the next one takes its share."""

    def __init__(self):
        super().__init__()
        self.first, self.scale = nn.Conv1d(2, 2, 1, groups=2), nn.Parameter(torch.tensor([2.0]))
        self.norms = nn.ModuleList(map(nn.BatchNorm1d, (2, 4)))
        self.second, self.last = nn.Conv1d(2, 4, 1, groups=2), nn.Conv1d(4, 2, 1)

    def forward(self, x):
        h = self.norms[0](self.first(x)) * self.scale
        return self.last(self.norms[1](self.second(h)).relu())


class Members(nn.Module):
    """The mean over members, whose outputs a norm scales member by member and one by one."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv1d(2, 6, 1), nn.Conv1d(6, 4, 1, groups=2)
        self.norms = nn.ModuleList(map(nn.BatchNorm1d, (6, 4)))

    def forward(self, x):
        h = self.norms[0](self.first(x)).relu()
        return self.norms[1](self.second(h)).unflatten(1, (2, 2)).mean(1)


AROUND = {
    "groups around the units": lambda: nn.Sequential(
        nn.Conv1d(2, 2, 1), nn.Conv1d(2, 6, 1, groups=2, bias=False), nn.BatchNorm1d(6),
        nn.ReLU(), nn.Conv1d(6, 2, 1),
    ),
    "a number for parts of a map": Scaled,
    "a mean over members": Members,
}  # fmt: skip


@pytest.mark.parametrize("name", AROUND)
def test_folding_moves_what_acts_around_the_units_of_a_norm(name):
    model, inputs = AROUND[name]().double().eval(), torch.randn(2, 2, 4).double()
    group = td.discover(model, inputs)
    params = {n: torch.rand_like(t) + 0.5 if t.ndim else t for n, t in model.state_dict().items()}
    once = td.canonicalize(group, params, batch_norm="fold")
    assert Folding(group).fixed
    folded = td.Toroid(group, batch_norm="fold").group
    moved = folded.apply(folded.random(torch.Generator().manual_seed(0)), once)
    for other in (moved, td.canonicalize(group, once, batch_norm="fold")):
        before, after = (functional_call(model, dict(p), inputs) for p in (params, other))
        assert torch.allclose(after, before)
    again = td.canonicalize(group, moved, batch_norm="fold")
    alignment = td.align(group, again, to=once, batch_norm="fold")
    toroid = td.Toroid(group, batch_norm="fold")
    assert toroid.distance(alignment.reference, alignment.params) < 1e-9


def test_rows_whose_direction_scales_their_columns_too_are_left_and_reported():
    legs = tuple(
        td.symmetry.Leg(*leg)
        for leg in (
            ("first", 0, "write", "first"),
            ("inner", 0, "write", "inner"),
            ("inner", 1, "read", "inner"),
        )
    )
    both = td.symmetry.Generator("rescale", (1.0, 0.0, -1.0))
    rows = td.symmetry.Generator("rescale", (1.0, 1.0, 0.0))
    space = td.symmetry.Space("u", 3, 1, frozenset({"rescale"}), legs, (both, rows))
    group = td.SymmetryGroup((space,), {"first": (3, 2), "inner": (3, 3)})
    params = {n: torch.randn(shape, dtype=torch.float64) for n, shape in group.shapes.items()}
    canonical = td.canonicalize(group, params)
    assert torch.allclose(canonical["first"].norm(dim=1), torch.ones(3, dtype=torch.float64))
    assert any(
        "1 of 2 families of 'rescale' are set by the least norm" in n for n in canonical.notes
    )


def test_an_action_is_left_out():
    model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    group = td.discover(model, torch.randn(2, 2))
    rest = group.without("0", "rescale")
    assert rest.dimension == group.dimension - 4
    td.canonicalize(rest, model.state_dict())


def test_an_unknown_space_is_said(params):
    with pytest.raises(ToroidsError, match="there is no space `q`; pass one of "):
        td.symmetry.fully_connected_group(params).without("q", "permute")


def test_biases_between_batch_norms_that_stand_on_a_stream_are_told_once():
    """What a value's bias gives to the bias behind it, the next norm's mean takes, and only it."""

    def norm(layer, x):
        return layer(x.transpose(1, 2)).transpose(1, 2)

    def forward(m, x):
        x = m.e(x)
        x = norm(m.one, x + m.o(m.v(x)))
        return m.head(norm(m.two, x + m.b(m.a(x).relu())))

    sizes = {"e": (3, 4), "v": (4, 4), "o": (4, 4), "a": (4, 5), "b": (5, 4), "head": (4, 3)}
    layers = {name: nn.Linear(*size) for name, size in sizes.items()}
    norms = {name: nn.BatchNorm1d(4) for name in ("one", "two")}
    model = Function(forward, **layers, **norms).double().eval()
    group = td.discover(model, torch.randn(2, 6, 3))
    params = {
        n: t + t.is_floating_point() * torch.rand(t.shape) for n, t in model.state_dict().items()
    }
    canonical = td.canonicalize(group, params)
    again = td.canonicalize(group, canonical)
    assert not canonical.notes
    assert all(torch.allclose(again[n], t, atol=1e-12) for n, t in canonical.items())


def test_scales_of_blocks_are_told_beside_those_of_other_entries_of_the_blocks():
    def forward(m, x):
        two, one = m.a(x).unflatten(-1, (2, 3)).split((2, 1), dim=-1)
        entries = torch.cat([two.relu(), nn.functional.leaky_relu(one)], dim=-1)
        return m.o((entries * m.gate(x).sigmoid()[..., None]).flatten(-2))

    layers = {"a": nn.Linear(3, 6), "gate": nn.Linear(3, 2), "o": nn.Linear(6, 3)}
    model = Function(forward, **layers).double()
    group, params = td.discover(model, torch.randn(4, 3)), model.state_dict()
    assert [sorted(s.actions) for s in group.spaces] == [["permute", "rescale"]] * 2
    scales = group.restricted(["rescale"])
    moved = scales.apply(scales.random(torch.Generator().manual_seed(0)), params)
    canonical = td.canonicalize(group, params)
    assert all(torch.allclose(t, canonical[n]) for n, t in td.canonicalize(group, moved).items())


def test_what_a_softmax_gate_cannot_see_of_its_own_space_is_removed():
    def forward(m, x):
        h = m.a(x)
        return m.o(h * m.gate(h).softmax(-1))  # rows and columns of the gate are the same units

    layers = {"a": nn.Linear(3, 4), "gate": nn.Linear(4, 4), "o": nn.Linear(4, 2)}
    model = Function(forward, **layers).double()
    group, params = td.discover(model, torch.randn(5, 3)), model.state_dict()
    moved = group.apply(group.random(torch.Generator().manual_seed(0)), params)
    canonical = td.canonicalize(group, params)
    assert canonical["gate.weight"].sum(dim=0).abs().max() < 1e-12
    found = td.align(group, moved, to=params)
    assert td.Toroid(group).distance(found.reference, found.params) < 1e-12


def mixed(m, x):  # 0.7 of each unit and 0.3 of a parameter: rounded shares
    return m.o(torch.lerp(m.a(x), m.u, 0.3))


def averaged(m, x):  # pairs of which the units move alone, read by linear maps
    return m.o(nn.functional.adaptive_avg_pool1d(m.a(x), 3).repeat_interleave(2, -1))


def crossed(m, x):  # signs of blocks, of their entries, and of a matrix between undo each other
    pairs = torch.einsum("bij,ikj->bik", m.a(x).unflatten(-1, (3, 2)), m.v.view(3, 2, 2))
    return m.o(torch.einsum("bji,ikj->bki", pairs, m.w.view(2, 3, 3)).flatten(1).relu())


@pytest.fixture(scope="module", params=[mixed, averaged, crossed])
def moving(request):
    torch.manual_seed(0)
    model = Function(
        request.param, a=nn.Linear(3, 6), o=nn.Linear(6, 3, bias=False),
        u=nn.Parameter(torch.randn(6)), v=nn.Parameter(torch.randn(12)),
        w=nn.Parameter(torch.randn(18)),
    ).double()  # fmt: skip
    return model, td.discover(model, torch.randn(5, 3).double())


@pytest.mark.parametrize("seed", range(3))
def test_canonical_forms_compute_the_same_and_stay(moving, seed):
    model, group = moving
    draw = torch.Generator().manual_seed(seed)
    params = {n: torch.randn_like(t, generator=draw) for n, t in model.state_dict().items()}
    canonical = td.canonicalize(group, params)
    again = td.canonicalize(group, canonical)
    assert all(torch.allclose(again[n], t, atol=1e-9) for n, t in canonical.items())
    x = torch.randn(5, 3, dtype=torch.float64)
    outputs = [torch.func.functional_call(model, dict(p), x) for p in (params, canonical)]
    assert torch.allclose(*outputs, atol=1e-9)
    if model._forward is not crossed:  # of which alignment may rest beside the best signs
        found = td.align(group, group.apply(group.random(draw), params), to=params)
        assert td.Toroid(group).distance(found.reference, found.params) < 1e-6
