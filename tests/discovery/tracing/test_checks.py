"""Checks of data, and what a forward asks of how it is run."""

import pytest
import torch
from discovery.function import Function
from torch import nn
from torch.nn.functional import interpolate, pad

import toroids as td
from toroids.discovery.tracing.checks import is_raised
from toroids.errors import ToroidsError


def layers():
    return {"a": nn.Linear(3, 4), "b": nn.Linear(4, 2)}


def relu(m, x):
    return m.b(m.a(x).relu())


def asserted(m, x):
    assert not torch.isnan(x).any()
    assert x.abs().max() < 1e6, "too large"
    return relu(m, x)


def valid(m, x):
    # Whatever compiles a module turns the checks of distributions off, for the whole process.
    middle, width = m.b(m.a(x).relu()), m.b.bias.exp()
    spread = torch.distributions.Normal(middle, width, validate_args=True)
    return spread.log_prob(torch.zeros(2, dtype=x.dtype))


@pytest.mark.parametrize("forward", [asserted, valid])
def test_checks_that_only_raise_are_no_branches(forward):
    group = td.discover(Function(forward, **layers()), torch.randn(2, 3))
    assert [space.size for space in group.spaces] == [4]
    assert any("does not raise" in note for note in group.notes)


def test_a_branch_that_fails_on_what_is_not_there_is_no_check():
    def forward(m, x):
        if (x < -50).any():
            x = x - x[x < -50].min()
        return relu(m, x)

    with pytest.raises(ToroidsError, match="its forward pass"):
        td.discover(Function(forward, **layers()), torch.randn(2, 3))


def test_an_operator_that_fails_raises_nothing():
    def error_of(call):
        with pytest.raises(Exception, match=".") as caught:
            call()
        return caught.value

    def refuse():
        raise ValueError("no")

    assert is_raised(error_of(refuse))
    assert not is_raised(error_of(lambda: torch.ones(2) @ torch.ones(3)))
    assert not is_raised(error_of(lambda: torch.empty(0).max()))


@pytest.mark.parametrize("asked", ["is_compiling", "is_exporting"])
def test_a_trace_is_of_what_runs_when_nothing_is_compiled(asked):
    before = getattr(torch.compiler, asked)

    def forward(m, x):
        h = m.a(x)
        return m.b(h.relu() if getattr(torch.compiler, asked)() else h.tanh())

    (space,) = td.discover(Function(forward, **layers()), torch.randn(2, 3)).spaces
    assert space.actions == {"permute", "flip"}
    assert getattr(torch.compiler, asked) is before


def test_what_is_left_out_where_a_forward_is_compiled_is_traced_as_called():
    def forward(m, x):
        mask = None if torch.compiler.is_compiling() else torch.ones(x.shape[0], 1)
        return m.b(m.a(x).relu() * mask[:, :1])

    assert td.discover(Function(forward, **layers()), torch.randn(2, 3)).spaces


def test_what_no_data_decide_is_answered_as_in_a_call():
    def forward(m, x):
        mask = torch.ones(x.shape[0], 1)
        mask[:, 0] = 1
        if (mask < 0).flatten().any().item():
            x = x[mask[:, 0] < 0].reshape(2, -1)
        return relu(m, x) * mask if mask.bool().all() else x

    assert td.discover(Function(forward, **layers()), torch.randn(2, 3)).spaces


@pytest.mark.parametrize("saved", [False, True])
def test_numbers_that_no_data_decide_are_read(saved):
    """Those that are saved are a condition."""
    model = Function(lambda m, x: m.b(m.a(x).relu()[: int(m.most)]), **layers())
    model.register_buffer("most", torch.tensor(2), persistent=saved)
    group = td.discover(model, torch.randn(2, 3))
    assert [space.size for space in group.spaces] == [4]
    assert [condition.buffer for condition in group.conditions] == ["most"] * saved


def test_lengths_that_no_data_decide_may_be_tensors():
    def forward(m, x):
        seen = torch.ones(x.shape[0], 3)
        if type(x) is torch.Tensor and seen.bool().all():  # asked by a call, by no trace
            x = x + 0
        h = pad(m.a(x).relu(), (m.most - 2, m.most, 0, 0))[:, : 3 * m.most - 2]
        size = (seen.sum(1).long()[0],)
        return m.b(interpolate(h[None], size=size, mode="linear", align_corners=True)[0])

    model = Function(forward, a=nn.Linear(3, 4), b=nn.Linear(3, 2))
    model.most = torch.tensor(2)
    assert td.discover(model, torch.randn(2, 3)).parameters


def test_numbers_that_are_drawn_are_named_where_a_trace_fails():
    model = Function(
        lambda m, x: relu(m, x[torch.multinomial(torch.ones(2), 2).max() :]), **layers()
    )
    with pytest.raises(ToroidsError, match="draws random numbers .*aten::multinomial"):
        td.discover(model, torch.randn(2, 3))


@pytest.mark.parametrize(
    "asked",
    [
        lambda x: (torch.ones(2, 1) * x > -9).all(),
        lambda x: torch.ones(int(x.argmax())).all() and x.sum() > 0,
        lambda x: torch.ones(2, 3).copy_(x).bool().all(),
        lambda x: torch.ones(2, 3).index_put((torch.ones(2).long(),), x[0, 0]).bool().all(),
    ],
)
def test_what_data_decide_is_not_answered(asked):
    def forward(m, x):
        return relu(m, x) if asked(x) else relu(m, -x)

    with pytest.raises(ToroidsError, match="its forward pass|cannot be traced"):
        td.discover(Function(forward, **layers()), torch.randn(2, 3))


def test_questions_after_gradients_of_parameters_are_named():
    model = Function(lambda m, x: relu(m, x) * (2 if m.a.weight.requires_grad else 1), **layers())
    model.b.bias.requires_grad_(False)
    with pytest.raises(ToroidsError, match="asks which parameters need gradients"):
        td.discover(model, torch.randn(2, 3))
    assert model.a.weight.requires_grad and not model.b.bias.requires_grad


@pytest.mark.parametrize("asked", [lambda h: torch.is_grad_enabled(), lambda h: h.requires_grad])
def test_what_is_done_only_where_gradients_are_recorded_is_told(asked):
    def forward(m, x):
        h = m.a(x)
        return m.b(h.relu() if asked(h) else h.tanh())

    group = td.discover(Function(forward, **layers()), torch.randn(2, 3))
    assert any("holds where no gradients are recorded" in note for note in group.notes)


def gradient(m, x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(m.b(m.a(x).tanh()).sum(), x)[0]


def enabled(m, x):
    with torch.enable_grad():
        return gradient(m, x)


def forward_mode(m, x):
    return torch.func.jvp(lambda x: relu(m, x), (x,), (torch.ones_like(x),))[1]


@pytest.mark.parametrize("forward", [gradient, enabled, forward_mode])
def test_gradients_in_a_forward_are_named(forward):
    before = torch.autograd.grad
    with pytest.raises(ToroidsError, match="takes gradients in its forward pass"):
        td.discover(Function(forward, **layers()), torch.randn(2, 3))
    assert torch.autograd.grad is before
    forward_mode(Function(relu, **layers()), torch.randn(2, 3))  # no level is left entered


def test_packed_sequences_are_named():
    def forward(m, x):
        packed = nn.utils.rnn.pack_padded_sequence(x, [3, 2], batch_first=True)
        return m.rnn(packed)[1][0]

    with pytest.raises(ToroidsError, match="packs sequences.*discover the module without packing"):
        td.discover(Function(forward, rnn=nn.LSTM(3, 4, batch_first=True)), torch.randn(2, 3, 3))


def test_what_cannot_be_traced_says_in_which_line_it_failed():
    def forward(m, x):
        h = m.a(x)
        return h[: int(h.sum()) % 3 + 1].sum(0)

    line = forward.__code__.co_firstlineno + 2
    with pytest.raises(ToroidsError, match=rf"fails in line {line} of `.*test_checks\.py`; change"):
        td.discover(Function(forward, **layers()), torch.randn(2, 3))


def test_a_compiled_module_is_not_compiled_for_discovery():
    compiled = []

    def backend(graph, example):
        compiled.append(graph)
        return graph.forward

    inner = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    group = td.discover(torch.compile(inner, backend=backend), torch.randn(4, 3))
    assert [space.size for space in group.spaces] == [5]
    assert not compiled
