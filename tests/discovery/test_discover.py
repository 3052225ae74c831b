"""Discovery: what it must find, written down by hand, and what it must never grant."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from discovery.function import Function
from discovery.proven import deviation
from discovery.written import EXPECTED, NAMES, SingleGain, built, facts, found
from torch import nn

import toroids as td
from toroids.errors import ToroidsError


@pytest.mark.parametrize("name", NAMES)
def test_finds_what_is_written_down_by_hand(name):
    model, _, explored, group = found(name)
    assert facts(group) == sorted(EXPECTED[name][1]), str(group)
    assert deviation(explored, model, group) < 1e-11


@pytest.mark.parametrize("name", NAMES)
def test_elements_form_a_group(name):
    model, _, _, group = found(name)
    params = {n: t.double() for n, t in model.state_dict().items()}
    g, h = group.random(torch.Generator().manual_seed(1)), group.random()
    together = group.apply(group.compose(g, h), params)
    one_by_one = group.apply(g, group.apply(h, params))
    back = group.apply(group.inverse(g), group.apply(g, params))
    for tensor in params:
        scale = one_by_one[tensor].abs().max().clamp_min(1)
        assert (together[tensor] - one_by_one[tensor]).abs().max() < 1e-10 * scale
        assert (back[tensor] - params[tensor]).abs().max() < 1e-9 * scale
    assert td.SymmetryGroup.from_json(group.to_json()) == group


@pytest.mark.parametrize("name", NAMES)
def test_a_leg_left_behind_fails_loudly(name):
    """The proof must be able to fail: without one leg that something acts on, it does."""
    model, _, explored, group = found(name)
    space = max(group.spaces, key=lambda s: len(s.legs))
    tied = {name for names in explored.main.aliases.values() for name in names}
    still = ("running_var", "running_mean")
    moving = [x for x in space.legs if not x.tensor.endswith(still) and x.tensor not in tied]
    if len({leg.tensor for leg in moving}) < 2:
        pytest.skip("the largest space has a single leg")
    gone = space.legs.index(moving[0])
    legs = tuple(leg for i, leg in enumerate(space.legs) if i != gone)
    generators = [
        td.symmetry.Generator(g.action, tuple(e for i, e in enumerate(g.exponents) if i != gone))
        for g in space.generators
    ]
    generators = [g for g in generators if any(g.exponents)]
    actions = {g.action for g in generators} | (space.actions & {"permute"})
    wrong = copy.copy(space)
    for field, value in (
        ("legs", legs),
        ("generators", tuple(generators)),
        ("actions", frozenset(actions)),
    ):
        object.__setattr__(wrong, field, value)
    spaces = tuple(wrong if s is space else s for s in group.spaces)
    broken = object.__new__(td.SymmetryGroup)  # which a constructor would refuse
    broken.__dict__.update({f.name: getattr(group, f.name) for f in dataclasses.fields(group)})
    object.__setattr__(broken, "spaces", spaces)
    assert deviation(explored, model, broken) > 1e-4


def test_a_violated_space_is_found_by_bisection_and_named(monkeypatch):
    from toroids.discovery.axes import elementwise
    from toroids.discovery.rules import RULES

    monkeypatch.setitem(RULES, "aten::gelu", lambda c, x, **_: elementwise(c, x, scale=True))
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 2))
    inputs = torch.randn(3, 4)
    with pytest.warns(td.errors.ProofWarning, match="failed the proof: rescale of `2`; it changed"):
        group = td.discover(model, inputs)
    assert [sorted(space.actions) for space in group.spaces] == [
        ["permute", "rescale"],
        ["permute"],
    ]
    assert any("failed the proof: rescale of `2`" in note for note in group.notes)
    assert td.verify(group, model, inputs) < 1e-12


def test_a_rule_of_ones_own_takes_a_few_lines():
    import toroids.discovery.axes as axes
    from toroids.discovery.rules import RULES

    @torch.library.custom_op("toroidstest::cube", mutates_args=())
    def cube(x: torch.Tensor) -> torch.Tensor:
        return x**3

    cube.register_fake(lambda x: torch.empty_like(x))
    model = Function(
        lambda m, x: m.o(torch.ops.toroidstest.cube(m.a(x))), a=nn.Linear(3, 5), o=nn.Linear(5, 2)
    )
    inputs = torch.randn(4, 3)
    without = td.discover(model, inputs)
    assert without.spaces == ()
    assert any("`toroidstest::cube`" in note and "has no rule" in note for note in without.notes)

    @td.rule("toroidstest::cube")
    def _(c, x):
        return axes.multiply(c, (x,), (3,))

    try:
        group = td.discover(model, inputs)
    finally:
        del RULES["toroidstest::cube"]
    assert facts(group) == [(5, 1, "fpr")]


def test_the_module_is_left_as_it_was():
    model, inputs = built("batch norm")
    model.train()
    model[1].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    td.discover(model, inputs)
    assert [m.training for m in model] == [True, False, True, True, True, True]
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())


def test_classes_stay_in_place_and_their_legs_are_found():
    model, inputs = built("batch norm")
    group = td.discover(model, inputs, output="classifier")
    assert [(leg.tensor, leg.axis) for leg in group.output.legs] == [("5.weight", 0), ("5.bias", 0)]
    assert not any(leg in group.output.legs for space in group.spaces for leg in space.legs)
    assert td.verify(group, model, inputs) < 1e-12


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (nn.Sequential(nn.Linear(3, 4), nn.ReLU()), "written by aten::relu"),
        (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)), "two or more classes"),
    ],
)
def test_nothing_is_removed_from_outputs_that_a_reader_would_miss(model, why):
    group = td.discover(model, torch.randn(2, 3), output="classifier")
    assert group.output.mode == "values"
    assert any(why in note for note in group.notes)


def test_a_tied_head_keeps_its_logits():
    model, inputs = built("tied embedding")
    group = td.discover(model, inputs, output="logits")
    assert group.output.mode == "values"
    assert any("tied" in note or "something else reads" in note for note in group.notes)


def test_inputs_come_as_tensor_tuple_or_keywords_and_outputs_in_any_structure():
    def forward(m, x, y=None):
        h = F.relu(m.a(x) + m.b(y))
        return {"logits": m.o(h), "extra": (h.sum(-1), None, 3)}

    model = Function(forward, a=nn.Linear(3, 5), b=nn.Linear(2, 5), o=nn.Linear(5, 2))
    x, y = torch.randn(4, 3), torch.randn(4, 2)
    for inputs in ((x, y), {"x": x, "y": y}):
        assert facts(td.discover(model, inputs)) == [(5, 1, "ps")]  # the sum is preserved too
        assert facts(td.discover(model, inputs, output_key="logits")) == [(5, 1, "prs")]


def test_control_flow_on_data_is_refused_in_one_sentence():
    def forward(m, x):
        return m.a(x) if x.sum() > 0 else -m.a(x)

    with pytest.raises(ToroidsError, match="cannot be traced.*written by hand"):
        td.discover(Function(forward, a=nn.Linear(3, 2)), torch.randn(2, 3))


@pytest.mark.parametrize("inputs", [3, "x", torch.randn(2, 7), (), {"z": torch.randn(2, 3)}])
def test_inputs_that_the_module_cannot_run_on_are_refused(inputs):
    with pytest.raises(ToroidsError):
        td.discover(nn.Linear(3, 2), inputs)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [(torch.full((2, 3), torch.nan), "are NaN"), (torch.empty(0, 3), "gives no outputs")],
)
def test_inputs_that_prove_nothing_are_refused(inputs, message):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(td.errors.DataError, match=message):
        td.discover(model, inputs)


@dataclasses.dataclass
class Two:
    """What a module returns, with a field that is no tensor."""

    logits: torch.Tensor
    others: list[torch.Tensor]
    name: str = "two"


def test_the_fields_of_a_dataclass_are_outputs():
    held = {"a": nn.Linear(3, 4), "b": nn.Linear(4, 2)}
    model = Function(lambda m, x: Two(m.b(m.a(x).relu()), [m.a(x)]), **held)
    x = torch.randn(4, 3)
    assert td.discover(model, x).spaces == ()
    assert [s.size for s in td.discover(model, x, output_key="logits").spaces] == [4]
    data = (x, torch.zeros(4, dtype=torch.long))
    assert td.evaluate(model, model.state_dict(), data).examples == 4


def test_a_module_that_returns_no_tensor_is_refused():
    with pytest.raises(td.errors.DataError, match="returns no tensors.*expected a tensor"):
        td.discover(Function(lambda m, x: "text", a=nn.Linear(3, 4)), torch.randn(4, 3))


def test_scales_of_a_whole_tensor_lie_beside_permutations_of_its_units():
    def forward(m, x):
        for c in (m.a, m.b):
            x = x.tanh()
            x = torch.einsum("bid,iod->bo", torch.stack([torch.ones_like(x), x, 2 * x * x], -1), c)
        return x

    held = {"a": nn.Parameter(torch.randn(3, 5, 3)), "b": nn.Parameter(torch.randn(5, 2, 3))}
    group = td.discover(Function(forward, **held), torch.randn(2, 3))
    assert 5 in [space.size for space in group.spaces]


def test_a_number_put_where_a_mask_is_true_is_a_choice():
    def forward(m, x):
        h = m.a(x)
        h[h < 0] = 0
        return m.b(h)

    model = Function(forward, a=nn.Linear(3, 4), b=nn.Linear(4, 2))
    (space,) = td.discover(model, torch.randn(2, 3)).spaces
    assert space.size == 4 and space.actions == {"permute", "rescale"}


def test_units_pass_complex_numbers():
    def forward(m, x):
        z = torch.exp(1j * m.a(x)) * m.c
        return m.b(z.real + z.imag)

    held = {"a": nn.Linear(3, 4), "b": nn.Linear(4, 2), "c": nn.Parameter(torch.randn(4))}
    (space,) = td.discover(Function(forward, **held), torch.randn(2, 3)).spaces
    assert space.size == 4 and "shift" not in space.actions  # of `c`, which multiplies


def test_scales_along_two_axes_that_undo_each_other_are_none():
    held = {f"m{i}": nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)) for i in range(2)}

    def forward(m, x):
        members = (m.m0, m.m1)
        names = [name for name, _ in m.m0.named_parameters()]
        stacked = {n: torch.stack([dict(k.named_parameters())[n] for k in members]) for n in names}
        one = torch.vmap(lambda params: torch.func.functional_call(m.m0, params, (x,)))
        return one(stacked).mean(0)

    group = td.discover(Function(forward, **held), torch.randn(2, 3))
    assert [(s.size, s.actions) for s in group.spaces] == [(4, {"permute", "flip"})] * 2


def test_a_map_of_single_positions_lets_what_it_reads_move():
    """As a spatial gate, which mixes tokens and no channels."""
    held = {
        "up": nn.Linear(3, 6),
        "tokens": nn.Conv1d(5, 5, 1),
        "norm": nn.LayerNorm(3),
        "down": nn.Linear(3, 2),
    }

    def forward(m, x):
        u, v = nn.functional.gelu(m.up(x)).chunk(2, -1)
        return m.down(u * m.tokens(m.norm(v)))

    group = td.discover(Function(forward, **held), torch.randn(2, 5, 3))
    single = (1, {"flip", "rescale"})  # of the norm, and of the map, with what reads the product
    assert [(s.size, s.actions) for s in group.spaces] == [(3, {"permute"}), single, single]


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_a_single_number_scales_against_a_whole_layer(shape):
    group = td.discover(SingleGain(shape), torch.randn(5, 4))
    (space,) = group.spaces
    powers = {x.tensor: e for x, e in zip(space.legs, space.generators[0].exponents, strict=True)}
    assert powers == {"inner.weight": 1, "inner.bias": 1, "gain": -1}
    assert (space.size, space.actions, group.dimension) == (1, {"flip", "rescale"}, 1)


def written_over(m, x):
    h = m.g * m.a(x) + m.c(x)
    h[:, 1] = 0.0
    return m.b(h.tanh())


def read_in_part(m, x):
    rows = m.rows[:1] / m.rows[:1].norm(dim=1, keepdim=True)
    return m.g * F.linear(F.linear(m.a(x), rows), m.column, m.s)


def zeros_scaled(m, x):
    h = m.a(x)
    return m.b(torch.cat([torch.zeros_like(h[:, :2]), h[:, 2:]], 1) * m.s)


def zeros_normed(m, x):
    return m.b(m.norm(F.pad(m.a(x)[:, :4], (0, 2))).relu())


@pytest.mark.parametrize("forward", [written_over, read_in_part, zeros_scaled, zeros_normed])
def test_a_copy_comes_back_where_entries_meet_nothing(forward):
    """Nothing reads them, or they multiply zeros."""
    torch.manual_seed(0)
    shapes = {"g": (), "s": (6,), "rows": (2, 6), "column": (6, 1)}
    held = {"a": nn.Linear(4, 6), "b": nn.Linear(6, 3), "c": nn.Linear(4, 6)}
    held |= {name: nn.Parameter(torch.randn(shape)) for name, shape in shapes.items()}
    model = Function(forward, **held, norm=nn.BatchNorm1d(6)).double()
    group = td.discover(model, torch.randn(5, 4))
    params = model.state_dict()
    for seed in range(3):
        planted = group.apply(group.random(torch.Generator().manual_seed(seed)), params)
        found = td.align(group, planted, to=params)
        assert td.Toroid(group).distance(found.reference, found.params) < 1e-12


def test_slices_that_add_up_with_others_scale_together():
    """As in a state-space layer: what writes the state, and what passes by it, before one map."""

    def forward(m, x):
        step, write, read = m.split(x).split([4, 3, 3], -1)
        u, step = torch.sigmoid(x), torch.sigmoid(step)
        states = (step * u)[:, :, None] * write[:, None]
        return m.out((states @ read[:, :, None]).squeeze(-1) + m.skip.bias * u)

    held = {"split": nn.Linear(4, 10), "skip": nn.Linear(1, 4), "out": nn.Linear(4, 2)}
    group = td.discover(Function(forward, **held), torch.randn(5, 4))
    (space,) = [space for space in group.spaces if space.size == 1]
    found = {(x.tensor, x.positions): x.role for x in space.legs}
    rows = (4, 5, 6)
    assert found == {
        ("split.weight", rows): "write", ("split.bias", rows): "write",
        ("skip.bias", None): "write", ("out.weight", None): "read",
    }  # fmt: skip
    assert td.verify(group, Function(forward, **held), torch.randn(5, 4)) < 1e-12


def test_a_module_without_hidden_units_has_no_spaces():
    assert td.discover(nn.Linear(3, 2), torch.randn(4, 3)).spaces == ()
    assert td.discover(nn.Identity(), torch.randn(4, 3)).spaces == ()


def test_unused_parameters_are_named():
    model = Function(lambda m, x: m.a(x), a=nn.Linear(3, 2), aux=nn.Linear(3, 9))
    group = td.discover(model, torch.randn(4, 3))
    assert any("unused in evaluation: `aux.bias`, `aux.weight`" in note for note in group.notes)
    assert group.spaces == ()


def test_the_group_of_the_projects_own_networks_is_the_one_written_by_hand():
    model = td.models.fully_connected([6, 8, 9, 4], seed=0)
    by_hand = td.symmetry.fully_connected_group(model.state_dict(), output="classifier")
    found = td.discover(model, torch.randn(5, 6), output="classifier")
    assert [(s.size, s.actions) for s in found.spaces] == [
        (s.size, s.actions) for s in by_hand.spaces
    ]
    for space, other in zip(found.spaces, by_hand.spaces, strict=True):
        key = [(leg.tensor, leg.axis, leg.role) for leg in space.legs]
        assert sorted(key) == sorted((leg.tensor, leg.axis, leg.role) for leg in other.legs)
    assert set(found.output.legs) == set(by_hand.output.legs)
    td.canonicalize(found, model.state_dict())


def test_what_is_cut_off_around_an_autocast_and_read_for_its_shape_alone():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 6), nn.Linear(6, 2)
            self.register_buffer("ramp", torch.linspace(0.5, 1, 6))

        @torch.autocast("cuda", enabled=False)
        def table(self, hidden):
            return self.ramp * hidden.shape[1]

        def forward(self, x):
            hidden = self.a(x)
            return self.b((hidden * self.table(hidden[:, 1:])).relu())

    (space,) = td.discover(Table(), torch.randn(2, 5, 3)).spaces
    assert space.size == 6 and space.actions == {"permute", "rescale"}
