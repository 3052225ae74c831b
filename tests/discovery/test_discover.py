"""Discovery: what it must find, written down by hand, and what it must never grant."""

import copy
import dataclasses
import functools

import pytest
import torch
import torch.nn.functional as F
from discovery.function import Function
from discovery.proven import deviation
from torch import nn

import toroids as td
from toroids.discovery.discover import group_of
from toroids.discovery.explore import explore
from toroids.errors import ToroidsError

torch.manual_seed(0)


def unsettled(model):
    """Batch-norm statistics away from their initial values, no zero biases, no unit gains."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=generator)
            elif tensor.is_floating_point():
                tensor.add_(0.3 * torch.randn(tensor.shape, generator=generator))
    return model


def facts(group):
    """What is written down by hand: size, copies, actions of every space."""
    return sorted(
        (s.size, s.copies, "".join(sorted(a[0] for a in s.actions))) for s in group.spaces
    )


def conv_flatten_linear():
    layers = (nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 64, 5))
    return nn.Sequential(*layers), torch.randn(2, 3, 8, 8)


def linear_used_twice():
    def forward(m, x):
        return m.o(F.relu(m.l(F.relu(m.l(F.relu(m.a(x)))))))

    return Function(forward, a=nn.Linear(4, 8), l=nn.Linear(8, 8), o=nn.Linear(8, 3)), torch.randn(
        2, 4
    )


def depthwise_group_norm():
    layers = (
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.GroupNorm(2, 8),
        nn.ReLU(), nn.Conv2d(8, 12, 1), nn.ReLU(), nn.Flatten(), nn.Linear(12 * 16, 3),
    )  # fmt: skip
    return nn.Sequential(*layers), torch.randn(2, 3, 6, 6)


def grouped_convolution():
    layers = (
        nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, groups=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(12 * 9, 3),
    )  # fmt: skip
    return nn.Sequential(*layers), torch.randn(2, 3, 5, 5)


def batch_norm():
    layers = (
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2, padding=1),
        nn.Flatten(), nn.Linear(6 * 9, 3),
    )  # fmt: skip
    return nn.Sequential(*layers), torch.randn(2, 3, 6, 6)


def bounded(activation):
    def build():
        return nn.Sequential(nn.Linear(4, 6), activation, nn.Linear(6, 2)), torch.randn(3, 4)

    return build


def prelu():
    return nn.Sequential(nn.Linear(4, 6), nn.PReLU(6), nn.Linear(6, 2)), torch.randn(3, 4)


def accidental_widths():
    layers = (nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5))
    return nn.Sequential(*layers), torch.randn(5, 5)


def width_one():
    return nn.Sequential(nn.Linear(4, 1), nn.ReLU(), nn.Linear(1, 3)), torch.randn(2, 4)


def zero_padded_residual():
    def forward(m, x):
        h = F.relu(m.a(x))
        h = F.pad(h[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)) + m.b(h)
        return m.o(F.relu(h).mean((2, 3)))

    model = Function(
        forward, a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(4, 8, 3, stride=2, padding=1), o=nn.Linear(8, 3)
    )
    return model, torch.randn(2, 3, 6, 6)


def unread_unit():
    def forward(m, x):
        return m.o(F.relu(m.a(x))[:, :5])

    return Function(forward, a=nn.Linear(4, 8), o=nn.Linear(5, 3)), torch.randn(2, 4)


def fused_attention():
    def forward(m, x):
        b, n, e = x.shape
        q, k, v = m.qkv(x).reshape(b, n, 3, 2, e // 2).permute(2, 0, 3, 1, 4).unbind(0)
        return m.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, e))

    return Function(forward, qkv=nn.Linear(6, 18), o=nn.Linear(6, 6)), torch.randn(2, 4, 6)


def attention_by_hand():
    def forward(m, x):
        b, n, e = x.shape
        q, k, v = (layer(x).view(b, n, 2, e // 2).transpose(1, 2) for layer in (m.q, m.k, m.v))
        weights = (q @ k.transpose(-2, -1) / 1.5).softmax(-1)
        return m.o((weights @ v).transpose(1, 2).reshape(b, n, e))

    layers = {name: nn.Linear(6, 6) for name in "qkvo"}
    return Function(forward, **layers), torch.randn(2, 4, 6)


def attention_by_einsum():
    def forward(m, x):
        q, k, v = (layer(x).unflatten(-1, (2, 3)) for layer in (m.q, m.k, m.v))
        weights = torch.einsum("bshd,bthd->bhst", q, k).softmax(-1)
        return m.o(torch.einsum("bhst,bthd->bshd", weights, v).flatten(2))

    layers = {name: nn.Linear(6, 6) for name in "qkvo"}
    return Function(forward, **layers), torch.randn(2, 4, 6)


def grouped_query_attention():
    def forward(m, x):
        b, n, _ = x.shape
        q = m.q(x).view(b, n, 4, 3).transpose(1, 2)
        k, v = (layer(x).view(b, n, 2, 3).transpose(1, 2) for layer in (m.k, m.v))
        out = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        return m.o(out.transpose(1, 2).reshape(b, n, 12))

    layers = dict(q=nn.Linear(5, 12), k=nn.Linear(5, 6), v=nn.Linear(5, 6), o=nn.Linear(12, 5))
    return Function(forward, **layers), torch.randn(2, 4, 5)


def multihead_attention():
    model = nn.MultiheadAttention(6, 2, batch_first=True)
    x = torch.randn(2, 4, 6)
    return Function(lambda m, x: m.a(x, x, x, need_weights=False)[0], a=model), x


def gated_unit():
    def forward(m, x):
        gate, up = m.both(x).chunk(2, -1)
        return m.down(F.silu(gate) * up)

    return Function(forward, both=nn.Linear(4, 12), down=nn.Linear(6, 4)), torch.randn(3, 4)


def squeeze_excite():
    def forward(m, x):
        h = F.relu(m.a(x))
        return m.o(
            (h * torch.sigmoid(m.up(F.relu(m.down(h.mean((2, 3), keepdim=True)))))).flatten(1)
        )

    layers = dict(
        a=nn.Conv2d(3, 6, 1), down=nn.Conv2d(6, 2, 1), up=nn.Conv2d(2, 6, 1), o=nn.Linear(24, 3)
    )
    return Function(forward, **layers), torch.randn(2, 3, 2, 2)


def channel_shuffle():
    def forward(m, x):
        h = F.relu(m.a(x))
        left, right = h.chunk(2, 1)
        h = torch.cat([left, F.relu(m.b(right))], 1)
        b, c, *space = h.shape
        h = h.view(b, 2, c // 2, *space).transpose(1, 2).reshape(b, c, *space)
        return m.o(h.mean((2, 3)))

    layers = dict(a=nn.Conv2d(3, 8, 1), b=nn.Conv2d(4, 4, 1), o=nn.Linear(8, 3))
    return Function(forward, **layers), torch.randn(2, 3, 4, 4)


def concatenation():
    def forward(m, x):
        a = F.relu(m.a(x))
        return m.o(torch.cat([a, F.relu(m.b(a))], -1))

    layers = dict(a=nn.Linear(4, 5), b=nn.Linear(5, 3), o=nn.Linear(8, 2))
    return Function(forward, **layers), torch.randn(3, 4)


def single_units_side_by_side():
    def forward(m, x):
        return m.o(F.relu(torch.cat([m.a(x), m.b(x)], -1)))

    layers = dict(a=nn.Linear(4, 1), b=nn.Linear(4, 1), o=nn.Linear(2, 3))
    return Function(forward, **layers), torch.randn(9, 4)


def single_outputs_side_by_side():
    def forward(m, x):
        h = F.relu(m.a(x))
        return torch.cat([m.b(h), m.c(h), -m.c(h)], -1)

    layers = dict(a=nn.Linear(4, 5), b=nn.Linear(5, 1), c=nn.Linear(5, 1))
    return Function(forward, **layers), torch.randn(9, 4)


def part_added_to_part():
    def forward(m, x):
        first, second = F.relu(m.a(x)).chunk(2, -1)
        return m.o(torch.cat([first, second, second + F.relu(m.b(second))], -1))

    layers = dict(a=nn.Linear(4, 6), b=nn.Linear(3, 3), o=nn.Linear(9, 2))
    return Function(forward, **layers), torch.randn(3, 4)


def coupled_softmax():
    def forward(m, x):
        return m.o(m.a(x).view(-1, 4, 6).softmax(1).flatten(1))

    return Function(forward, a=nn.Linear(3, 24), o=nn.Linear(24, 2)), torch.randn(2, 3)


def in_place_on_a_part():
    def forward(m, x):
        h = m.a(x).relu_()
        h[:, 2:6] += 1
        return m.o(h)

    return Function(forward, a=nn.Linear(4, 8), o=nn.Linear(8, 3)), torch.randn(2, 4)


def residual_layer_norm():
    def forward(m, x):
        x = m.e(x)
        x = x + m.down(F.gelu(m.up(m.n(x))))
        return m.o(m.last(x))

    layers = dict(
        e=nn.Linear(3, 5), n=nn.LayerNorm(5), up=nn.Linear(5, 7), down=nn.Linear(7, 5),
        last=nn.LayerNorm(5), o=nn.Linear(5, 2),
    )  # fmt: skip
    return Function(forward, **layers), torch.randn(4, 3)


def tied_embedding():
    def forward(m, ids):
        x = m.e(ids)
        return {"logits": m.h(x + m.down(F.relu(m.up(x))))}

    model = Function(
        forward, e=nn.Embedding(9, 5), up=nn.Linear(5, 7), down=nn.Linear(7, 5), h=nn.Linear(5, 9)
    )
    model.h.weight = model.e.weight
    return model, torch.randint(0, 9, (2, 4))


def recurrent(kind):
    def build():
        def forward(m, x):
            return m.o(m.r(x)[0][-1])

        layers = dict(r=kind(3, 5, num_layers=2), o=nn.Linear(5, 2))
        return Function(forward, **layers), torch.randn(4, 2, 3)

    return build


def transposed_convolution():
    layers = (
        nn.Conv2d(3, 5, 3), nn.ReLU(), nn.ConvTranspose2d(5, 4, 2, stride=2), nn.ReLU(),
        nn.AvgPool2d(2), nn.Conv2d(4, 2, 1),
    )  # fmt: skip
    return nn.Sequential(*layers), torch.randn(2, 3, 6, 6)


def weight_norm():
    layers = (
        nn.utils.parametrizations.weight_norm(nn.Linear(4, 6)), nn.ReLU(),
        nn.utils.parametrizations.weight_norm(nn.Linear(6, 2)),
    )  # fmt: skip
    return nn.Sequential(*layers), torch.randn(3, 4)


def padded_before_norm(pad):
    def build():
        layers = (
            nn.Conv2d(3, 4, 1), pad, nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2),
        )  # fmt: skip
        model, inputs = nn.Sequential(*layers), torch.randn(2, 3, 3, 3)
        model(inputs)
        return model, inputs

    return build


def standardised_weights():
    def forward(m, x):
        flat = m.b.weight.reshape(1, 6, -1)
        weight = F.batch_norm(flat, None, None, training=True).view_as(m.b.weight)
        return m.o(F.relu(F.conv2d(F.relu(m.a(x)), weight)).flatten(1))

    layers = dict(a=nn.Conv2d(3, 5, 1), b=nn.Conv2d(5, 6, 2), o=nn.Linear(24, 2))
    return Function(forward, **layers), torch.randn(2, 3, 3, 3)


def dead_end():
    """What no rule knows pins what it touches, and only that."""

    def forward(m, x):
        return m.o(F.relu(m.b(torch.fft.fft(m.a(x)).real)))

    layers = dict(a=nn.Linear(4, 6), b=nn.Linear(6, 7), o=nn.Linear(7, 3))
    return Function(forward, **layers), torch.randn(2, 4)


# name: (builder, [(size, copies, first letters of the actions)])
EXPECTED = {
    "conv-flatten-linear": (conv_flatten_linear, [(16, 1, "pr")]),
    "linear used twice": (linear_used_twice, [(8, 1, "pr")]),
    "depthwise and group norm": (
        depthwise_group_norm,
        [(2, 1, "p"), (4, 2, "pr"), (12, 1, "pr")],
    ),
    "grouped convolution": (grouped_convolution, [(2, 1, "p"), (4, 2, "pr"), (6, 2, "pr")]),
    "batch norm": (batch_norm, [(6, 1, "fprs")]),
    "relu6": (bounded(nn.ReLU6()), [(6, 1, "p")]),
    "hardswish": (bounded(nn.Hardswish()), [(6, 1, "p")]),
    "gelu": (bounded(nn.GELU()), [(6, 1, "p")]),
    "tanh": (bounded(nn.Tanh()), [(6, 1, "fp")]),
    "hardtanh": (bounded(nn.Hardtanh()), [(6, 1, "fp")]),
    "leaky relu": (bounded(nn.LeakyReLU(0.1)), [(6, 1, "pr")]),
    "identity": (bounded(nn.Identity()), [(6, 1, "mps")]),
    "prelu": (prelu, [(6, 1, "pr")]),
    "accidental widths": (accidental_widths, [(5, 1, "pr"), (5, 1, "pr")]),
    "width one": (width_one, [(1, 1, "r")]),
    "zero-padded residual": (
        zero_padded_residual,
        [(4, 1, "pr"), (4, 1, "pr")],
    ),
    "unit read by nobody": (unread_unit, [(3, 1, "pr"), (5, 1, "pr")]),
    "fused attention": (fused_attention, [(2, 1, "p"), (3, 2, "mps"), (3, 2, "mps")]),
    "attention by hand": (attention_by_hand, [(2, 1, "p"), (3, 2, "mps"), (3, 2, "mps")]),
    "attention by einsum": (attention_by_einsum, [(2, 1, "p"), (3, 2, "mp"), (3, 2, "mps")]),
    "grouped-query attention": (
        grouped_query_attention,
        [(2, 1, "p"), (2, 2, "p"), (3, 2, "mps"), (3, 2, "mps")],
    ),
    "nn.MultiheadAttention": (multihead_attention, [(2, 1, "p"), (3, 2, "mps"), (3, 2, "mps")]),
    "gated unit": (gated_unit, [(6, 1, "fpr")]),
    "squeeze-excite": (squeeze_excite, [(2, 1, "pr"), (6, 1, "pr")]),
    "channel shuffle": (channel_shuffle, [(4, 1, "pr")] * 3),
    "concatenation": (concatenation, [(3, 1, "pr"), (5, 1, "pr")]),
    "single units side by side": (single_units_side_by_side, [(1, 1, "r"), (1, 1, "r")]),
    "single outputs side by side": (single_outputs_side_by_side, [(5, 1, "pr")]),
    "part added to part": (part_added_to_part, [(3, 1, "pr"), (3, 1, "pr")]),
    "in-place on a part": (in_place_on_a_part, [(4, 1, "p"), (4, 1, "pr")]),
    "residual layer norm": (residual_layer_norm, [(5, 1, "fprrs"), (7, 1, "p")]),
    "tied embedding": (tied_embedding, [(5, 1, "fps"), (7, 1, "pr")]),
    "lstm": (recurrent(nn.LSTM), [(5, 1, "fps"), (5, 1, "fps")]),
    "gru": (recurrent(nn.GRU), [(5, 1, "fps"), (5, 1, "fps")]),
    "rnn": (recurrent(nn.RNN), [(5, 1, "fps"), (5, 1, "fps")]),
    "transposed convolution": (transposed_convolution, [(4, 1, "pr"), (5, 1, "pr")]),
    "weight norm": (weight_norm, [(6, 1, "fpr")]),
    # the two rows, and the two columns, of padding are alike: what reads them may be exchanged
    "zeros around before a norm": (
        padded_before_norm(nn.ZeroPad2d(1)),
        [(2, 1, "p"), (2, 1, "p"), (4, 1, "fpr")],
    ),
    "averages with zeros before a norm": (
        padded_before_norm(nn.AvgPool2d(2, padding=1)),
        [(4, 1, "fpr")],
    ),
    "standardised weights": (standardised_weights, [(5, 1, "p"), (6, 1, "ps")]),
    "an operator without a rule": (dead_end, [(7, 1, "pr")]),
}


def built(name):
    torch.manual_seed(2)
    model, inputs = EXPECTED[name][0]()
    return unsettled(model).eval(), inputs


@functools.cache
def found(name):
    """A network with its inputs, what was explored of it, and the group; looked at, not changed."""
    model, inputs = built(name)
    explored = explore(model, inputs)
    return model, inputs, explored, group_of(explored)


@pytest.mark.parametrize("name", EXPECTED)
def test_finds_what_is_written_down_by_hand(name):
    model, _, explored, group = found(name)
    assert facts(group) == sorted(EXPECTED[name][1]), str(group)
    assert deviation(explored, model, group) < 1e-11


@pytest.mark.parametrize("name", EXPECTED)
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


@pytest.mark.parametrize("name", EXPECTED)
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
        td.Generator(g.action, tuple(e for i, e in enumerate(g.exponents) if i != gone))
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
    with pytest.warns(td.ProofWarning, match="failed the proof: rescale of `2`; it changed"):
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
    with pytest.raises(td.DataError, match=message):
        td.discover(model, inputs)


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
    by_hand = td.fully_connected_group(model.state_dict(), output="classifier")
    found = td.discover(model, torch.randn(5, 6), output="classifier")
    assert [(s.size, s.actions) for s in found.spaces] == [
        (s.size, s.actions) for s in by_hand.spaces
    ]
    for space, other in zip(found.spaces, by_hand.spaces, strict=True):
        key = [(leg.tensor, leg.axis, leg.role) for leg in space.legs]
        assert sorted(key) == sorted((leg.tensor, leg.axis, leg.role) for leg in other.legs)
    assert set(found.output.legs) == set(by_hand.output.legs)
    td.canonicalize(found, model.state_dict())
