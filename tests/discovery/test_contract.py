"""What is granted holds for every input, buffer and call, not only near the example."""

import random

import pytest
import torch
import torch.nn.functional as F
from discovery.far import aligned_deviation, deviation
from discovery.function import Function
from torch import nn

import toroids as td
from toroids.errors import ToroidsError

R = torch.randn


def learned(*shape):
    return nn.Parameter(0.5 * R(*shape))


def mlp(**parts):
    return {"e": nn.Linear(4, 6), "o": nn.Linear(6, 2), **parts}


def attention(m, x, bias=0):
    b, t, _ = x.shape
    q, k, v = (f(x).view(b, t, 2, 3).transpose(1, 2) for f in (m.q, m.k, m.v))
    weights = (q @ k.mT + bias).softmax(-1)
    return m.o((weights @ v).transpose(1, 2).flatten(2))


def heads(**parts):
    return {**{n: nn.Linear(4, 6) for n in "qkv"}, "o": nn.Linear(6, 2), **parts}


def rotated(m, x):
    t = torch.arange(x.shape[1])[:, None] * torch.tensor([1.0, 0.1])
    cos, sin = torch.cos(t).to(x.dtype), torch.sin(t).to(x.dtype)

    def turn(z):
        a, b = z.chunk(2, dim=-1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)

    return m.o((turn(m.q(x)) @ turn(m.k(x)).mT).softmax(-1) @ m.v(x))


def windowed(m, x):
    """Every head sees as far as its own window: all alike on short inputs."""
    i = torch.arange(x.shape[1])
    far = (i[:, None] - i).abs() >= torch.tensor([2, 5])[:, None, None]
    return attention(m, x, torch.where(far, -torch.inf, 0.0).to(x.dtype))


def clamped(m, x):
    with torch.no_grad():
        m.o.weight.clamp_(0)
    return m.o(F.relu(m.e(x)))


BATCH = R(3, 4)
TIME, LONGER = R(3, 6, 4), (R(2, 9, 4), R(3, 5, 4), R(1, 1, 4))

# name: (module, example, other inputs, spaces as (size, copies, initials of the actions))
MODULES = {
    "a table sliced to the length": (
        Function(lambda m, x: m.o(F.relu(m.e(x) + m.p[: x.shape[1]])), **mlp(p=learned(12, 6))),
        TIME, LONGER, [(6, 1, "prs")],
    ),
    "the mean of the rows read": (
        Function(
            lambda m, x: m.o(F.relu(m.e(x) + m.p[: x.shape[1]].mean(0))), **mlp(p=learned(12, 6))
        ),
        TIME, LONGER, [(6, 1, "prs")],
    ),
    "the last row read": (
        Function(lambda m, x: m.o(F.relu(m.e(x) + m.p[x.shape[1] - 1])), **mlp(p=learned(12, 6))),
        TIME, LONGER, [(6, 1, "prs")],
    ),
    "a table cut on both axes": (
        Function(
            lambda m, x: attention(m, x, m.t[: x.shape[1], : x.shape[1]]),
            **heads(t=learned(12, 12)),
        ),
        TIME, LONGER, [(2, 1, "p"), (3, 2, "mps"), (3, 2, "mps")],
    ),
    "a table of relative positions": (
        Function(
            lambda m, x: attention(
                m, x, m.t[:, torch.arange(x.shape[1])[:, None] - torch.arange(x.shape[1]) + 12]
            ),
            **heads(t=learned(2, 25)),
        ),
        TIME, LONGER, [(2, 1, "ps"), (3, 2, "mps"), (3, 2, "mps")],
    ),
    "a kernel cut to the length": (
        Function(
            lambda m, x: m.o(F.relu(torch.einsum("btf,ts->bsf", m.e(x), m.c[: x.shape[1], :2]))),
            **mlp(c=learned(12, 3)),
        ),
        TIME, LONGER, [(6, 1, "pr")],
    ),
    "a loop over time": (
        Function(
            lambda m, x: m.o(sum(torch.tanh(m.e(x[:, i])) * m.p[i] for i in range(x.shape[1]))),
            **mlp(p=learned(12, 6)),
        ),
        TIME, LONGER, [(6, 1, "fpr")],
    ),
    "other weights on long inputs": (
        Function(
            lambda m, x: m.o(F.relu(m.e(x)) if x.shape[1] > 4 else F.relu(m.e(x)) @ m.w),
            **mlp(w=learned(6, 6)),
        ),
        TIME, LONGER, [(6, 1, "pr")],
    ),
    "a length that multiplies a bias": (
        Function(
            lambda m, x: m.o(F.relu(m.n((m.e(x) + x.shape[1] * m.b).mT).mT)),
            **mlp(b=learned(6), n=nn.BatchNorm1d(6)),
        ),
        TIME, LONGER, [(6, 1, "fprs")],
    ),
    "a length as an exponent": (
        Function(lambda m, x: m.o(torch.tanh(m.e(x)) ** x.shape[1]), **mlp()),
        TIME, LONGER, [(6, 1, "p")],
    ),
    "rotary attention found on one token": (
        Function(
            rotated, q=nn.Linear(4, 4), k=nn.Linear(4, 4), v=nn.Linear(4, 6), o=nn.Linear(6, 2)
        ),
        R(3, 1, 4), LONGER, None,
    ),
    "windows that differ from head to head": (
        Function(windowed, **heads()),
        R(2, 2, 4), LONGER, [(3, 1, "mps"), (3, 1, "mps"), (3, 1, "mps"), (3, 1, "mps")],
    ),
    "a mask of truth values": (
        Function(
            lambda m, x: m.o(F.relu(m.e(x)).masked_fill(~m.alive, 0)),
            **mlp(alive=torch.ones(6, dtype=torch.bool)),
        ),
        BATCH, (R(5, 4),), [(6, 1, "pr")],
    ),
    "a mask of integers": (
        Function(
            lambda m, x: m.o(F.relu(m.e(x)) * m.alive), **mlp(alive=torch.ones(6, dtype=torch.int64))
        ),
        BATCH, (R(5, 4),), [(6, 1, "pr")],
    ),
    "a scale that is one": (
        Function(lambda m, x: m.o(F.relu(m.e(x)) * m.scale), **mlp(scale=torch.ones(6))),
        BATCH, (R(5, 4),), [(6, 1, "pr")],
    ),
    "thresholds that are zero": (
        Function(lambda m, x: m.o(F.relu(m.e(x) - m.threshold)), **mlp(threshold=torch.zeros(6))),
        BATCH, (R(5, 4),), [(6, 1, "p")],
    ),
    "a state that a call replaces": (
        Function(
            lambda m, x: m.o(m.h.copy_(torch.tanh(m.e(x) + m.h).mean(0)) + 0 * m.e(x)),
            **mlp(h=torch.zeros(6)),
        ),
        BATCH, (R(5, 4),), [(6, 1, "p")],
    ),
    "an order of units in a buffer": (
        Function(lambda m, x: m.o(F.relu(m.e(x))[:, m.order]), **mlp(order=torch.randperm(6))),
        BATCH, (R(5, 4),), [(6, 1, "pr")],
    ),
    "logits masked with the least number": (
        Function(
            lambda m, x: m.o(F.relu(m.e(x))).masked_fill(
                x[:, :2] > 0, torch.finfo(torch.float32).min
            ),
            **mlp(),
        ),
        BATCH, (R(50, 4),), [(6, 1, "pr")],
    ),
    "the lower triangle of a weight and its transpose": (
        Function(lambda m, x: m.o(torch.tanh(m.e(x)) @ (m.t + m.t.T)), **mlp(t=learned(6, 6))),
        BATCH, (R(5, 4),), [(6, 1, "fp"), (1, 1, "fr")],  # of the weight against the head
    ),
    "a state that is learned": (
        Function(
            lambda m, x: m.o(m.g(x, m.h.expand(-1, len(x), -1).contiguous())[0]),
            g=nn.GRU(4, 6, batch_first=True), h=learned(1, 1, 6), o=nn.Linear(6, 2),
        ),
        TIME, LONGER, [(6, 1, "fps")],
    ),
    "a state that is an input": (
        Function(
            lambda m, x, h: m.o(m.g(x, h)[0]), g=nn.GRU(4, 6, batch_first=True), o=nn.Linear(6, 2)
        ),
        (TIME, R(1, 3, 6)), ((R(2, 9, 4), R(1, 2, 6)),), None,
    ),
    "entries of a flattened weight summed in order": (
        Function(
            lambda m, x: m.o(F.relu(x @ m.w.view(4, 2, 3).cumsum(1).flatten(1))),
            w=learned(4, 6), o=nn.Linear(6, 2),
        ),
        BATCH, (R(5, 4),), None,
    ),
    "weights that are clamped in place": (
        Function(clamped, **mlp()), BATCH, (R(5, 4),), [(6, 1, "pr")],
    ),
}  # fmt: skip


def facts(group):
    return [
        (s.size, s.copies, "".join(sorted(action[0] for action in s.actions))) for s in group.spaces
    ]


@pytest.mark.parametrize("name", MODULES)
def test_what_is_granted_holds_away_from_the_example(name):
    model, example, others, expected = MODULES[name]
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    group = td.discover(model, example)
    assert all(torch.equal(before[key], t) for key, t in model.state_dict().items())
    assert deviation(model, group, [example, *others]) < 1e-8
    assert aligned_deviation(model, group, [example, *others]) < 1e-8
    if expected is not None:
        assert facts(group) == expected
    assert td.SymmetryGroup.from_json(group.to_json()) == group


def test_a_weight_that_every_call_makes_smaller():
    """`w *= 0.9` assigns the parameter to itself, which PyTorch refuses of a plain tensor."""

    def forward(m, x):
        with torch.no_grad():
            m.e.weight *= 0.9
        return m.o(F.relu(m.e(x)))

    model = Function(forward, **mlp())
    before = model.e.weight.clone()
    group = td.discover(model, BATCH)
    assert facts(group) == [(6, 1, "pr")]
    assert td.verify(group, model, BATCH) < 1e-8
    assert torch.equal(model.e.weight, before)


def test_a_length_that_stays_open_is_said():
    model, example, *_ = MODULES["a table sliced to the length"]
    group = td.discover(model, example)
    sizes, pinned = group.notes
    assert (
        sizes
        == "holds for inputs of the sizes `0` (any, 1 to 12, 4); symbolic: axes 0 and 1 of `0`"
    )
    assert "takes as much as the inputs are long; this keeps 72 parameters" in pinned
    assert sizes[:40] in " ".join(str(group).split())


def test_a_length_that_the_trace_fixes_is_looked_at_twice():
    model, example, *_ = MODULES["a loop over time"]
    notes = td.discover(model, example).notes
    assert notes[0].startswith("holds for inputs of the sizes `0` (any, 1 or 5 to 6, 4)")
    assert "how much is read of axis 0 of `p` depends on the sizes of the inputs" in notes[1]


def test_rows_that_nothing_reads_stay_and_are_said():
    model = Function(lambda m, x: m.o(F.relu(m.e(x) + m.p[:2].sum(0))), **mlp(p=learned(5, 6)))
    group = td.discover(model, BATCH)
    assert facts(group) == [(6, 1, "pr"), (2, 1, "p")]
    assert any("3 of 5 positions along axis 0 of `p` are not read" in n for n in group.notes)
    assert not any(
        set(leg.positions or range(5)) & {2, 3, 4}
        for space in group.spaces
        for leg in space.legs
        if (leg.tensor, leg.axis) == ("p", 0)
    )


def test_networks_whose_conditions_differ_are_refused():
    model, example, *_ = MODULES["an order of units in a buffer"]
    group = td.discover(model, example)
    assert [condition.buffer for condition in group.conditions] == ["order"]
    assert any("holds as long as the buffer `order`" in note for note in group.notes)
    a = model.state_dict()
    other = {**a, "order": a["order"].roll(1)}
    for call in (
        lambda: group.apply(group.random(), other),
        lambda: td.canonicalize(group, other),
        lambda: td.align(group, other, to=a),
        lambda: td.align(group, a, to=other),
        lambda: td.Toroid(group).distance(td.canonicalize(group, a), other),
        lambda: td.merge(group, [a, other]),
    ):
        with pytest.raises(td.errors.ParamsError, match="buffer `order` in .* differs"):
            call()
    assert td.SymmetryGroup.from_json(group.to_json()).conditions == group.conditions


def test_a_flag_that_decides_what_is_done_is_a_condition():
    model = Function(lambda m, x: m.o(F.relu(m.e(x)) if m.flag else m.e(x)), **mlp())
    model.register_buffer("flag", torch.tensor(True))
    group = td.discover(model, BATCH)
    assert facts(group) == [(6, 1, "pr")]
    assert [condition.buffer for condition in group.conditions] == ["flag"]
    with pytest.raises(td.errors.ParamsError, match="buffer `flag` in .* differs"):
        group.apply(group.identity(), {**model.state_dict(), "flag": torch.tensor(False)})


def counting(m, x):
    m.count += 1
    return m.o(F.relu(m.e(x)) if m.count > 3 else m.e(x))


def shrinking(m, x):
    with torch.no_grad():
        m.e.weight.mul_(0.9)
    return F.linear(x, m.e.weight) @ m.f.weight


def test_flags_that_calls_write_and_tied_weights_that_they_write_are_refused():
    model = Function(counting, **mlp())
    model.register_buffer("count", torch.tensor(0))
    with pytest.raises(ToroidsError, match="numbers in a tensor decide what it does"):
        td.discover(model, BATCH)
    model = Function(shrinking, **mlp(f=nn.Linear(4, 6)))
    model.f.weight = model.e.weight
    with pytest.raises(ToroidsError, match="and `e.weight` and `f.weight` are one tensor"):
        td.discover(model, BATCH)


def test_a_buffer_that_no_state_dict_holds_keeps_its_units_in_place():
    model = Function(lambda m, x: m.o(F.relu(m.e(x)) * m.scale), **mlp())
    model.register_buffer("scale", torch.ones(6), persistent=False)
    group = td.discover(model, BATCH)
    assert facts(group) == [(6, 1, "r")]  # scales, and no permutations
    assert any("`aten::mul`" in note and "`e.weight`" in note for note in group.notes)


class Keeping(nn.Module):
    """Keeps something of every call."""

    calls = 0

    def __init__(self, forward, **kept):
        super().__init__()
        self.e, self.o = nn.Linear(4, 6), nn.Linear(6, 2)
        self._forward = forward
        for name, value in kept.items():
            setattr(self, name, value)

    def forward(self, x):
        return self._forward(self, x)


OUTSIDE = {"calls": 0}


def counts_outside(m, x):
    OUTSIDE["calls"] += 1
    return m.o(F.relu(m.e(x)) if OUTSIDE["calls"] < 500 else m.e(x).tanh())


def counts_by_itself(m, x):
    counts_by_itself.calls = getattr(counts_by_itself, "calls", 0) + 1
    return m.o(F.relu(m.e(x)) if counts_by_itself.calls < 500 else m.e(x).tanh())


def counts_in_its_class(m, x):
    Keeping.calls += 1
    return m.o(F.relu(m.e(x)) if Keeping.calls < 500 else m.e(x).tanh())


def counts_in(calls):
    def forward(m, x):
        calls.append(len(x))
        return m.o(F.relu(m.e(x)) if len(calls) < 500 else m.e(x).tanh())

    return forward


@pytest.mark.parametrize(
    ("forward", "named"),
    [
        (counts_outside, "OUTSIDE.calls"), (counts_by_itself, "counts_by_itself.calls"),
        (counts_in_its_class, "Keeping.calls"), (counts_in([]), "calls"),
    ],
)  # fmt: skip
def test_what_is_kept_outside_of_a_module_is_refused_by_name(forward, named):
    with pytest.raises(ToroidsError, match=f"keeps something between calls .as `{named}`."):
        td.discover(Keeping(forward), BATCH)
    assert OUTSIDE["calls"] == Keeping.calls == 0 and not hasattr(counts_by_itself, "calls")


def adds(m, x):
    h = torch.tanh(m.e(x)) + (0 if m.kept is None else m.kept)
    m.kept = h.detach()
    return m.o(h)


def counts(m, x):
    m.kept += 1
    return m.o(F.relu(m.e(x))) * (1 + m.kept % 2)


def remembers(m, x):
    if "h" not in m.kept:
        m.kept["h"] = F.relu(m.e(x))
    return m.o(m.kept["h"])


@pytest.mark.parametrize(
    ("forward", "kept"), [(adds, None), (counts, 0), (remembers, {})], ids=lambda x: str(x)[:18]
)
def test_what_is_kept_between_calls_is_refused_by_name_and_left_as_it_was(forward, kept):
    model = Keeping(forward, kept=kept)
    with pytest.raises(ToroidsError, match=r"keeps something between calls .as `kept(\.h)?`."):
        td.discover(model, BATCH)
    assert model.kept is kept and kept in (None, 0, {})


def test_what_a_forward_leaves_behind_is_removed():
    def forward(m, x):
        m.features = F.relu(m.e(x))
        m.seen.append(len(x))
        return m.o(m.features)

    model = Keeping(forward, seen=[7])
    group = td.discover(model, BATCH)
    assert facts(group) == [(6, 1, "pr")]
    assert not hasattr(model, "features") and model.seen == [7]
    td.evaluate(model, model.state_dict(), (BATCH, torch.zeros(3, dtype=torch.long)))
    assert not hasattr(model, "features") and model.seen == [7]


def masks(m, x):
    m.e.weight.data *= m.mask
    return m.o(F.relu(m.e(x)))


def bounds(m, x):
    m.e.weight.data = torch.renorm(m.e.weight.data, 2, 0, 0.5)
    return m.o(F.relu(m.e(x)))


def reads(m, x):
    return m.o(F.relu(F.linear(x, m.e.weight.data, m.e.bias)))


def shrinks(m, x):
    y = m.o(F.relu(m.e(x)))
    with torch.no_grad():
        m.e.weight.div_(m.e.weight.norm())
    return y


@pytest.mark.parametrize(
    ("forward", "expected"), [(masks, "pr"), (bounds, "p"), (reads, "pr"), (shrinks, "p")]
)
def test_weights_into_which_a_forward_writes_are_followed_and_left_as_they_were(forward, expected):
    model = Function(forward, **mlp(mask=torch.rand(6, 4).round()))
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    group = td.discover(model, BATCH)
    assert all(torch.equal(before[key], t) for key, t in model.state_dict().items())
    assert facts(group) == [(6, 1, expected)]
    moved = group.apply(group.random(torch.Generator().manual_seed(0)), before)
    outputs = []
    for params in (before, moved):
        model.load_state_dict(params)
        outputs.append(torch.stack([model(BATCH) for _ in range(2)]))  # the second one, too
    torch.testing.assert_close(*outputs)


@pytest.mark.parametrize(
    ("draw", "operator"),
    [
        (lambda h: h + torch.rand_like(h), "rand_like"),
        (lambda h: F.dropout(h, 0.5, training=True), "dropout"),
        (lambda h: h * torch.bernoulli(torch.sigmoid(h)), "bernoulli"),
        (lambda h: F.gumbel_softmax(h), "exponential"),
    ],
    ids=["rand", "dropout", "bernoulli", "gumbel"],
)
def test_random_draws_in_evaluation_are_refused_by_name(draw, operator):
    model = Function(lambda m, x: m.o(draw(m.e(x))), **mlp())
    with pytest.raises(ToroidsError, match=f"draws random numbers .*`aten::{operator}"):
        td.discover(model, BATCH)


def test_a_forward_that_asks_whether_gradients_are_recorded_has_a_note():
    def forward(m, x):
        return m.o(torch.tanh(m.e(x)) if torch.is_grad_enabled() else F.relu(m.e(x)))

    group = td.discover(Function(forward, **mlp()), BATCH)
    assert any("holds where no gradients are recorded" in note for note in group.notes)
    plain = td.discover(Function(lambda m, x: m.o(F.relu(m.e(x))), **mlp()), BATCH)
    assert not any("gradients" in note for note in plain.notes)


def test_draws_outside_pytorch_are_refused():
    model = Function(lambda m, x: m.o(F.relu(m.e(x)) * random.random()), **mlp())
    with pytest.raises(ToroidsError, match="draws numbers outside PyTorch"):
        td.discover(model, BATCH)


def test_buffers_that_decide_lengths_are_drawn_only_where_they_fit():
    keep = torch.tensor([True, False, True, True, False, True])
    model = Function(
        lambda m, x: m.o(F.relu(m.e(x))[:, m.keep] + m.w.repeat_interleave(m.times, 0).sum(0)),
        e=nn.Linear(4, 6), o=nn.Linear(4, 2), w=learned(3, 4), keep=keep,
        times=torch.tensor([1, 2, 1]),
    )  # fmt: skip
    group = td.discover(model, BATCH)
    assert not any("Error" in note for note in group.notes)
    assert any("as many entries as numbers decide" in note for note in group.notes)


def test_branches_on_data_are_named_in_words_of_the_user():
    model = Function(lambda m, x: m.o(m.e(x)[:, : int(x.sum() > 0) + 6]), **mlp())
    sentence = "cannot be traced: numbers in a tensor decide what it does, or how much it gives. "
    with pytest.raises(ToroidsError, match=sentence):
        td.discover(model, BATCH)


def test_numbers_that_python_reads_are_refused():
    def forward(m, x):
        return m.o(F.relu(m.e(x)) * float(m.w.detach().numpy()[0]))

    model = Function(forward, **mlp(w=learned(6)))
    with pytest.raises(ToroidsError, match="takes numbers out of PyTorch .* with PyTorch alone"):
        td.discover(model, BATCH)


def transposed():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].weight = nn.Parameter(model[0].weight.data.T)
    return model


def sliced():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    model[2].weight = nn.Parameter(model[0].weight.data[:2])
    return model


def sparse():
    model = Function(lambda m, x: m.o(F.relu(m.e(x))), **mlp())
    model.register_buffer("adjacency", torch.eye(3).to_sparse())
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.jit.trace(nn.Linear(4, 2), BATCH), "is a scripted module"),
        (lambda: nn.Linear(4, 2).to(torch.complex64), "`weight` is complex"),
        (transposed, "`0.weight` and `2.weight` share memory in different layouts"),
        (sliced, "`0.weight` and `2.weight` share memory in different layouts"),
        (sparse, "`adjacency` is stored as torch.sparse_coo"),
        (
            lambda: Function(lambda m, x: torch.corrcoef(m.o(x)), o=nn.Linear(4, 2)),
            "numbers in a tensor decide what it does",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_refusals_name_the_true_cause(make, message):
    with pytest.raises(ToroidsError, match=message):
        td.discover(make(), BATCH)


@pytest.mark.filterwarnings("ignore")
def test_layers_without_units_are_refused():
    model = nn.Sequential(nn.Linear(4, 0), nn.Linear(0, 2))
    with pytest.raises(ToroidsError, match="`0.weight` has no entries"):
        td.discover(model, BATCH)


def test_branches_that_export_keeps_are_followed():
    def forward(m, x):
        return torch.cond(
            x.sum() > 0, lambda h: m.o(F.relu(h)), lambda h: 2 * m.o(F.relu(h)), (m.e(x),)
        )

    group = td.discover(Function(forward, **mlp()), BATCH)
    assert facts(group) == [(6, 1, "pr")]


def test_casts_that_round_pass_permutations_and_signs_only():
    for function, actions in ((F.relu, {"permute"}), (torch.tanh, {"flip", "permute"})):
        model = Function(lambda m, x, f=function: m.o(f(m.e(x)).half().float()), **mlp())
        (space,) = td.discover(model, BATCH).spaces
        assert space.actions == actions
    half = Function(lambda m, x: m.o(F.relu(m.e(x)).float().half()), **mlp()).half()
    (space,) = td.discover(half, BATCH.half()).spaces
    assert space.actions == {"permute", "rescale"}  # not narrower than its own weights


def test_further_examples_are_looked_at():
    def forward(m, x):
        return m.o(F.relu(m.e(x)) if x.shape[1] % 7 else F.relu(m.e(x)) @ m.w)

    model = Function(forward, **mlp(w=learned(6, 6)))
    group = td.discover(model, TIME, also=[R(2, 7, 4)])
    assert deviation(model, group, [TIME, R(2, 14, 4)]) < 1e-10
    found = td.verify(group, model, TIME, also=[R(2, 7, 4)], trials=2)
    assert "(2, 7, 4)" in found.sizes and found.draws == 2 and found < 1e-10
    assert "draws at inputs of the sizes" in str(found)


def test_whatever_keeps_units_in_place_is_named_with_its_cost():
    class Gate(nn.Module):
        """ECA: a convolution over channels."""

        def __init__(self):
            super().__init__()
            self.a, self.c = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 2, 1)
            self.e = nn.Conv1d(1, 1, 3, padding=1)

        def forward(self, x):
            h = self.a(x)
            return self.c(h * self.e(h.mean((2, 3))[:, None])[:, 0].sigmoid()[..., None, None])

    group = td.discover(Gate(), torch.randn(2, 3, 4, 4))
    (note,) = [note for note in group.notes if note.startswith("in place")]
    assert "operator `aten::conv1d` in `e`" in note
    assert "`a.weight`, `a.bias`" in note
