"""Layers stacked in one parameter: each has units of its own, as layers of their own have."""

import pytest
import torch
import torch.nn.functional as F
from discovery.function import Function
from torch import nn

import toroids as td

LAYERS, WIDTH = 3, 5
INPUTS = torch.randn(4, 2)

TAKEN = {
    "iter": list,
    "unbind": lambda w: w.unbind(0),
    "select": lambda w: [w.select(0, i - LAYERS) for i in range(LAYERS)],
    "chunk": lambda w: [x.squeeze(0) for x in w.chunk(LAYERS)],
    "slices": lambda w: [*w[:2], *w[2:]],
    "last": lambda w: w.movedim(0, -1).unbind(-1),
}


def stacked(forward, **parts):
    """Layers between two linear ones, `forward` of the module and what the first one gives."""
    torch.manual_seed(0)
    return Function(
        lambda m, x: m.leave(forward(m, m.enter(x))),
        enter=nn.Linear(2, WIDTH),
        leave=nn.Linear(WIDTH, 2),
        **{name: nn.Parameter(torch.randn(*shape)) for name, shape in parts.items()},
    ).double()


def spaces(group):
    return {s.name: (s.size, s.copies, set(s.actions)) for s in group.spaces}


def distance_of_a_copy(group, model):
    moved = group.apply(group.random(torch.Generator().manual_seed(0)), model.state_dict())
    alignment = td.align(group, moved, to=model.state_dict())
    return td.Toroid(group).distance(alignment.reference, alignment.params)


@pytest.mark.parametrize("way", TAKEN)
def test_every_layer_has_units_of_its_own(way):
    def forward(m, h):
        for w in TAKEN[way](m.w):
            h = F.relu(h @ w)
        return h

    model = stacked(forward, w=(LAYERS, WIDTH, WIDTH))
    group = td.discover(model, INPUTS.double())
    own = (WIDTH, 1, {"permute", "rescale"})
    assert {**spaces(group), "enter": own} == dict.fromkeys(("enter", "w[0]", "w[1]", "w[2]"), own)
    assert distance_of_a_copy(group, model) < 1e-6


def test_a_mask_that_is_a_buffer_moves_with_its_layers():
    def forward(m, h):
        for w in m.w * m.mask:
            h = torch.tanh(h @ w)
        return h

    model = stacked(forward, w=(LAYERS, WIDTH, WIDTH))
    model.register_buffer("mask", (torch.rand(LAYERS, WIDTH, WIDTH) > 0.3).double())
    group = td.discover(model, INPUTS.double())
    hidden = list(spaces(group).values())[1:]  # behind what enters, which matrices mix
    assert hidden == [(WIDTH, 1, {"flip", "permute"})] * LAYERS
    assert any(leg.tensor == "mask" for leg in group.spaces[-1].legs)


def test_a_weight_norm_of_all_layers_together():
    """Every gain follows the norms of its own layer: canonical forms of moved copies are one."""

    def forward(m, h):
        for w in m.g[..., None] * m.v / m.v.norm(dim=-1, keepdim=True):
            h = F.relu(h @ w.T)
        return h

    model = stacked(forward, v=(LAYERS, WIDTH, WIDTH), g=(LAYERS, WIDTH))
    group = td.discover(model, INPUTS.double())
    assert group.dimension == WIDTH * (1 + 2 * LAYERS)
    assert distance_of_a_copy(group, model) < 1e-6


def test_two_levels_and_a_stream_that_all_of_them_write():
    """The stream is one space, on parts of the tensor that do not meet: its matrices are told."""

    def forward(m, h):
        for query, gate, value in m.w:
            h = h + torch.tanh(h @ query) * torch.sigmoid(h @ gate) @ value
        return h

    model = stacked(forward, w=(2, 3, WIDTH, WIDTH))
    group = td.discover(model, INPUTS.double())
    actions = [x for _, _, x in spaces(group).values()]
    assert actions == [{"mix", "permute"}, {"flip", "permute"}, {"flip", "permute"}]
    assert distance_of_a_copy(group, model) < 1e-6


def test_gains_that_are_rows_of_one_table():
    """Each is a gain of its own, behind which the stream rotates."""

    def forward(m, h):
        for gain, a, b, c in zip(m.g, m.a, m.b, m.c, strict=True):
            h = h + F.gelu(F.rms_norm(h, (WIDTH,), gain) @ a + b) @ c
        return F.rms_norm(h, (WIDTH,))

    shapes = {"g": (2, WIDTH), "a": (2, WIDTH, 7), "b": (2, 7), "c": (2, 7, WIDTH)}
    model = stacked(forward, **shapes)
    group = td.discover(model, INPUTS.double())
    assert len(group.spaces[0].of("rescale")) == 2
    assert group.spaces[0].of("rotate")
    assert distance_of_a_copy(group, model) < 1e-6


def test_experts_of_every_layer():
    """What is stacked in stacks moves with its own layer's router, or in each expert alone."""

    def forward(m, h):
        for r, a, c in zip(m.r, m.a, m.c, strict=True):
            y = F.relu(torch.einsum("bd,edf->bef", h, a))
            h = h + torch.einsum("be,bef,efd->bd", (h @ r).softmax(-1), y, c)
        return h

    shapes = {"r": (2, WIDTH, 3), "a": (2, 3, WIDTH, 4), "c": (2, 3, 4, WIDTH)}
    found = spaces(td.discover(stacked(forward, **shapes), INPUTS.double()))
    assert found["a[0]"] == found["a[1]"] == (4, 3, {"permute", "rescale"})
    assert found["r[0]:groups"] == found["r[1]:groups"] == (3, 1, {"permute"})


@pytest.mark.parametrize("last", [LAYERS - 1, LAYERS])
def test_layers_that_some_inputs_do_not_reach_stay_alike(last):
    """Of a layer that no trace has read nobody knows what longer inputs make of it."""

    def forward(m, h):
        for w in m.w[: min(len(h), last)]:
            h = F.relu(h @ w)
        return h

    model = stacked(forward, w=(LAYERS, WIDTH, WIDTH))
    group = td.discover(model, INPUTS.double())
    moved = group.apply(group.random(torch.Generator().manual_seed(0)), model.state_dict())
    for rows in (1, 2, 4):
        x = torch.randn(rows, 2, dtype=torch.float64)
        torch.testing.assert_close(torch.func.functional_call(model, moved, (x,)), model(x))


def test_sums_of_rows_and_columns_may_be_laid_along_one_axis():
    def forward(m, h):
        table = (m.rows[:, :, None] + m.columns[:, None]).view(LAYERS, WIDTH * WIDTH)
        for w in table:
            h = F.relu(h @ w.view(WIDTH, WIDTH))
        return h

    group = td.discover(
        stacked(forward, rows=(LAYERS, WIDTH), columns=(LAYERS, WIDTH)), INPUTS.double()
    )
    assert spaces(group)["enter"] == (WIDTH, 1, {"permute"})
