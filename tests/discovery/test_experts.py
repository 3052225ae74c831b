"""Mixtures of experts: experts move with their router, and their units in each of them."""

import pytest
import torch
import torch.nn.functional as F
from discovery.function import Function
from torch import nn

import toroids as td

EXPERTS, MODEL, HIDDEN, CHOSEN = 4, 6, 8, 2


def mixture(mix):
    """Tokens, a router, stacked experts, and what the tokens make of them."""
    torch.manual_seed(0)

    def forward(m, x):
        tokens = m.enter(x).reshape(-1, MODEL)
        return m.leave(tokens + mix(m, tokens)).reshape(*x.shape[:-1], 3)

    return Function(
        forward,
        enter=nn.Linear(5, MODEL),
        gate=nn.Linear(MODEL, EXPERTS),
        up=nn.Parameter(torch.randn(EXPERTS, HIDDEN, MODEL)),
        bias=nn.Parameter(torch.randn(EXPERTS, HIDDEN)),
        down=nn.Parameter(torch.randn(EXPERTS, MODEL, HIDDEN)),
        leave=nn.Linear(MODEL, 3),
    ).eval()


def expert(m, e, tokens):
    """One expert, by its number."""
    return F.linear(F.relu(F.linear(tokens, m.up[e], m.bias[e])), m.down[e])


def picked(m, tokens, chosen, weights):
    """Experts whose weights every token picks."""
    y = F.relu(torch.einsum("th,tkih->tki", tokens, m.up[chosen]) + m.bias[chosen])
    return torch.einsum("tk,tki,tkhi->th", weights, y, m.down[chosen])


def routed(m, tokens):
    """What experts a token takes, and how much of each."""
    weights, chosen = m.gate(tokens).topk(CHOSEN, -1)
    return weights.softmax(-1), chosen


def dense(m, tokens):
    y = F.relu(torch.einsum("th,eih->tei", tokens, m.up) + m.bias)
    return torch.einsum("te,tei,ehi->th", m.gate(tokens).softmax(-1), y, m.down)


def by_bmm(m, tokens):
    y = torch.bmm(tokens.expand(EXPERTS, *tokens.shape), m.up.transpose(1, 2))
    y = torch.bmm(F.relu(y + m.bias[:, None]), m.down.transpose(1, 2))
    return (y * m.gate(tokens).softmax(-1).t()[..., None]).sum(0)


def by_repeating(m, tokens):
    """Tokens one after another for every expert, in one axis with the experts, weighted before."""
    every = tokens.repeat(EXPERTS, 1) * m.gate(tokens).sigmoid().t().reshape(-1, 1)
    y = torch.bmm(every.view(EXPERTS, -1, tokens.shape[1]), m.up.transpose(1, 2))
    y = torch.bmm(F.relu(y + m.bias[:, None]), m.down.transpose(1, 2))
    return y.flatten(0, 1).view(EXPERTS, -1, y.shape[-1]).sum(0)


def by_gather(m, tokens):
    weights, chosen = routed(m, tokens)
    return picked(m, tokens, chosen, weights)


def best(m, tokens):
    shares = m.gate(tokens).softmax(-1)
    chosen = shares.argmax(-1, keepdim=True)
    return picked(m, tokens, chosen, shares.gather(-1, chosen))


def scattered(m, tokens):
    weights, chosen = routed(m, tokens)
    shares = torch.zeros(len(tokens), EXPERTS).to(weights).scatter(1, chosen, weights)
    y = F.relu(torch.einsum("th,eih->tei", tokens, m.up) + m.bias)
    return torch.einsum("te,tei,ehi->th", shares, y, m.down)


def with_capacity(m, tokens, capacity=3):
    share, chosen = m.gate(tokens).softmax(-1).max(-1)
    hot = F.one_hot(chosen, EXPERTS).to(tokens.dtype)
    place = ((hot.cumsum(0) - 1) * hot).sum(-1)
    slot = F.one_hot(place.long().clamp(max=capacity), capacity + 1).to(tokens.dtype)
    sent = hot[..., None] * slot[:, None, :capacity]
    y = F.relu(torch.einsum("ech,eih->eci", torch.einsum("tec,th->ech", sent, tokens), m.up))
    back = torch.einsum("eci,ehi->ech", y + m.bias[:, None], m.down)
    return torch.einsum("tec,ech->th", sent * share[:, None, None], back)


def chosen_by_experts(m, tokens):
    weights, rows = m.gate(tokens).softmax(-1).t().topk(1, -1)
    y = F.relu(torch.einsum("ekh,eih->eki", tokens[rows], m.up) + m.bias[:, None])
    y = torch.einsum("ek,eki,ehi->ekh", weights, y, m.down).flatten(0, 1)
    return torch.zeros_like(tokens).scatter_add(0, rows.reshape(-1, 1).expand_as(y), y)


def in_order(m, tokens):
    weights, chosen = routed(m, tokens)
    order = chosen.flatten().argsort(stable=True)
    sorted_, rows = chosen.flatten()[order], order // CHOSEN
    y = picked(m, tokens[rows], sorted_[:, None], weights.flatten()[order, None])
    return torch.zeros_like(tokens).index_add(0, rows, y)


def in_groups(m, tokens):
    scores = m.gate(tokens).sigmoid()
    of_groups = scores.view(-1, 2, 2).sum(-1)
    kept = torch.zeros_like(of_groups).scatter_(1, of_groups.topk(1, -1)[1], 1)
    kept = kept[..., None].expand(-1, 2, 2).reshape(-1, EXPERTS)
    chosen = scores.masked_fill(kept == 0, float("-inf")).topk(CHOSEN, -1)[1]
    return picked(m, tokens, chosen, scores.gather(1, chosen))


def by_where(m, tokens):
    weights, chosen = routed(m, tokens)
    out = torch.zeros_like(tokens)
    for e in range(EXPERTS):
        rows, place = torch.where(chosen == e)
        out.index_add_(0, rows, expert(m, e, tokens[rows]) * weights[rows, place, None])
    return out


def by_mask(m, tokens):
    weights, chosen = routed(m, tokens)
    shares = [torch.where(chosen == e, weights, 0.0).sum(-1, True) for e in range(EXPERTS)]
    return sum(share * expert(m, e, tokens) for e, share in enumerate(shares))


def where_hit(m, tokens):
    weights, chosen = routed(m, tokens)
    out = torch.zeros_like(tokens)
    mask = F.one_hot(chosen, EXPERTS).permute(2, 1, 0)
    for e in (mask.sum((-1, -2)) > 0).nonzero():
        place, rows = torch.where(mask[e[0]])
        out.index_add_(0, rows, expert(m, e[0], tokens[rows]) * weights[rows, place, None])
    return out


def unless_empty(m, tokens):
    weights, chosen = routed(m, tokens)
    out = torch.zeros_like(tokens)
    for e in range(EXPERTS):
        rows, place = torch.where(chosen == e)
        if rows.numel() == 0 or not rows.shape[0] > 0:
            continue
        out[rows] += expert(m, e, tokens[rows]) * weights[rows, place, None]
    return out


def in_pieces(m, tokens):
    weights, chosen = routed(m, tokens)
    order = chosen.flatten().argsort(stable=True)
    rows, counts = order // CHOSEN, F.one_hot(chosen.flatten(), EXPERTS).sum(0).tolist()
    pieces = tokens[rows].split(counts)
    y = torch.cat([expert(m, e, piece) for e, piece in enumerate(pieces)])
    return torch.zeros_like(tokens).index_add(0, rows, y * weights.flatten()[order, None])


MOVING = [
    dense, by_bmm, by_repeating, by_gather, best, scattered, with_capacity, chosen_by_experts,
    in_order,
]  # fmt: skip
LOOPED = [by_where, by_mask, where_hit, unless_empty, in_pieces]


def moved_as_granted(model, group, *sizes):
    """The largest deviation of the module itself, in float64, at fresh inputs of other lengths."""
    model = model.double()
    params = {name: x.detach() for name, x in model.state_dict().items()}
    generator = torch.Generator().manual_seed(3)
    moved = group.apply(group.random(generator), params)
    worst = 0.0
    for size in sizes:
        x = torch.randn(*size, 5, generator=generator, dtype=torch.float64)
        before = torch.func.functional_call(model, params, x)
        after = torch.func.functional_call(model, moved, x)
        worst = max(worst, float((after - before).abs().max() / before.abs().max()))
    return worst


def space_of(group, tensor, axis):
    """The innermost space that moves an axis of a tensor."""
    found = [s for s in group.spaces for leg in s.legs if (leg.tensor, leg.axis) == (tensor, axis)]
    return found[-1]


def touched(model, group):
    """The share of the parameters that some space moves."""
    legs = {leg.tensor for space in group.spaces for leg in space.legs}
    sizes = {name: x.numel() for name, x in model.named_parameters()}
    return sum(n for name, n in sizes.items() if name in legs) / sum(sizes.values())


@pytest.mark.parametrize("mix", MOVING, ids=lambda mix: mix.__name__)
def test_experts_move_with_their_router_and_their_units_in_each(mix):
    model = mixture(mix)
    group = td.discover(model, torch.randn(2, 5, 5))
    experts, units = space_of(group, "gate.weight", 0), space_of(group, "up", 0)
    assert (experts.size, experts.copies) == (EXPERTS, 1) and "permute" in experts.actions
    assert {leg.tensor for leg in experts.legs} == {
        "gate.weight",
        "gate.bias",
        "up",
        "bias",
        "down",
    }
    assert (units.size, units.copies, units.within) == (HIDDEN, EXPERTS, (experts.name,))
    assert {"permute", "rescale"} <= units.actions or mix is with_capacity
    assert touched(model, group) >= 0.99
    assert moved_as_granted(model, group, (1, 1), (3, 7)) < 1e-10


def test_gated_experts_that_tokens_pick_one_by_one_behind_a_stream_that_rotates():
    def forward(m, x):
        tokens = m.enter(x).reshape(-1, MODEL)
        weights, chosen = routed(m, tokens)
        up, down = m.up[chosen.flatten()], m.down[chosen.flatten()]
        y = torch.bmm(up, tokens.repeat_interleave(CHOSEN, 0)[..., None]).squeeze(-1)
        gates, values = y.chunk(2, -1)
        y = torch.bmm(down, (F.silu(gates) * values)[..., None]).squeeze(-1)
        tokens = tokens + (y.view(-1, CHOSEN, MODEL) * weights[..., None]).sum(1)
        return m.leave(m.norm(tokens))

    torch.manual_seed(0)
    model = Function(
        forward,
        enter=nn.Linear(5, MODEL),
        gate=nn.Linear(MODEL, EXPERTS),
        up=nn.Parameter(torch.randn(EXPERTS, 2 * HIDDEN, MODEL)),
        down=nn.Parameter(torch.randn(EXPERTS, MODEL, HIDDEN)),
        norm=nn.RMSNorm(MODEL),
        leave=nn.Linear(MODEL, 3),
    ).eval()
    group = td.discover(model, torch.randn(2, 5, 5))
    units = space_of(group, "up", 0)
    assert (units.size, units.copies) == (HIDDEN, EXPERTS)
    assert "rotate" in space_of(group, "enter.weight", 0).actions
    assert moved_as_granted(model, group, (1, 1), (3, 7)) < 1e-10


@pytest.mark.parametrize("turned", [lambda k: k.T, lambda k: k.swapdims(0, 1)])
def test_rows_of_a_memory_that_are_chosen_by_their_keys_move(turned):
    def forward(m, x):
        weights, chosen = (m.ask(x) @ turned(m.keys)).topk(CHOSEN, -1)
        return (weights.softmax(-1)[..., None] * m.values[chosen]).sum(-2)

    torch.manual_seed(0)
    keys, values = (nn.Parameter(torch.randn(7, n)) for n in (MODEL, 3))
    model = Function(forward, ask=nn.Linear(5, MODEL), keys=keys, values=values)
    group = td.discover(model, torch.randn(2, 5))
    assert {leg.tensor for leg in space_of(group, "values", 0).legs} == {"keys", "values"}
    assert moved_as_granted(model, group, (1, 5), (3, 5)) < 1e-10


def test_experts_move_in_their_groups_and_groups_among_themselves():
    model = mixture(in_groups)
    group = td.discover(model, torch.randn(2, 5, 5))
    groups, experts, units = (
        next(s for s in group.spaces if (s.size, s.copies) == shape)
        for shape in ((2, 1), (2, 2), (HIDDEN, EXPERTS))
    )
    assert set(units.within) == {groups.name, experts.name}
    # what all logits share is no symmetry to a sigmoid
    assert "shift" not in space_of(group, "enter.weight", 0).actions
    assert moved_as_granted(model, group, (1, 1), (3, 7)) < 1e-10


@pytest.mark.parametrize("mix", LOOPED, ids=lambda mix: mix.__name__)
def test_loops_over_experts_leave_units_free(mix):
    model = mixture(mix)
    group = td.discover(model, torch.randn(2, 5, 5))
    assert {(s.size, s.copies) for s in group.spaces} == {(MODEL, 1), (HIDDEN, 1)}
    assert moved_as_granted(model, group, (1, 1), (3, 7)) < 1e-10
    asked = mix in (where_hit, unless_empty)
    assert any("asks its data" in note for note in group.notes) == asked


def test_ties_are_said_and_what_all_logits_share_is_a_shift():
    group = td.discover(mixture(by_gather), torch.randn(2, 5, 5))
    assert any("`aten::topk` chooses are equal" in note for note in group.notes)
    assert "shift" in space_of(group, "enter.weight", 0).actions


def looked_at(m, tokens):
    weights, chosen = routed(m, tokens)
    return picked(m, tokens, chosen, weights) * (1 + chosen.sum(-1, keepdim=True))


def misaligned(m, tokens):
    weights, chosen = routed(m, tokens)
    y = F.relu(torch.einsum("th,tkih->tki", tokens, m.up[chosen])).flip(1)
    return torch.einsum("tk,tki,tkhi->th", weights, y, m.down[chosen])


def order_counts(m, tokens):
    weights, chosen = routed(m, tokens)
    order = chosen.flatten().argsort()
    y = picked(m, tokens[order // CHOSEN], chosen.flatten()[order, None], weights.view(-1, 1))
    return torch.zeros_like(tokens).index_add(0, order // CHOSEN, y.cumsum(0))


def constant_numbers(m, tokens):
    weights, chosen = routed(m, tokens)
    return picked(m, tokens, (chosen + 1) % EXPERTS, weights)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("mix", [looked_at, misaligned, order_counts, constant_numbers])
def test_no_more_is_granted_than_the_numbers_of_experts_allow(mix):
    model = mixture(mix)
    group = td.discover(model, torch.randn(2, 5, 5))
    sizes = {(s.size, s.copies) for s in group.spaces}
    assert (HIDDEN, EXPERTS) not in sizes
    assert ((EXPERTS, 1) in sizes) == (mix is misaligned)
    assert moved_as_granted(model, group, (1, 1), (3, 7)) < 1e-10
