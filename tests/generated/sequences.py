"""Steps on sequences (B, T, C), whose length varies."""

from generated.attention import attention
from generated.program import LONGEST
from generated.weights import layer, vector, weight


def position(s, h):
    """What is learned, or known, of every position."""
    size, t = h.width, f"{h}.shape[1]"
    stretch = f"size={t}, mode='linear'"
    return s.line(
        lambda: f"{h} + {s.learned(LONGEST, size)}[:{t}]",
        lambda: f"{h} + {s.learned(1, LONGEST, size)}[:, :{t}]",
        lambda: f"{h} * {s.learned(LONGEST, size)}[:{t}].sigmoid()",
        lambda: f"{h} + {s.hold(f'nn.Embedding({LONGEST}, {size})')}(torch.arange({t}))",
        lambda: f"{h} + {s.learned(LONGEST, size)}[{s.kept(f'torch.arange({LONGEST})')}[:{t}]]",
        lambda: f"{h} + {s.kept(f'torch.randn({LONGEST}, {size})')}[:{t}]",
        lambda: f"{h} + {s.learned(LONGEST, 1)}[:{t}]",
        lambda: f"{h} + {s.learned(LONGEST, size)}[-{t}:]",
        lambda: f"{h} * torch.arange(1, {t} + 1)[:, None]",
        lambda: f"{h} * {s.learned(size)}.sigmoid() ** torch.arange({t})[:, None]",
        lambda: f"{h} + {s.learned(LONGEST, size)}.cumsum(0)[:{t}]",
        lambda: f"{h} + {layer(s, 2, size)}(waves({t}, {h}.dtype))",
        lambda: f"{h} + F.interpolate({s.learned(1, size, LONGEST)}, {stretch}).mT",
    )


def across(s, h):
    """Positions mixed by what is cut to the length."""
    t = f"{h}.shape[1]"
    table = s.learned(LONGEST, LONGEST)
    cut = f"{table}[:{t}, :{t}]"
    causal = f"torch.ones({LONGEST}, {LONGEST}).tril()"
    apart = f"torch.arange({t})[:, None] - torch.arange({t}) + {LONGEST}"
    padded = f"F.pad({h}.mT, ({t} - 1, 0))"
    return s.line(
        f"{cut} @ {h}",
        f"{cut}.softmax(-1) @ {h}",
        lambda: f"({table} * {s.kept(causal)})[:{t}, :{t}] @ {h}",
        f"{cut}.tril() @ {h}",
        f"torch.einsum('st,btc->bsc', {cut}, {h})",
        f"F.linear({h}.mT, {cut}).mT",
        lambda: f"{s.learned(2 * LONGEST)}[{apart}] @ {h}",
        lambda: (
            f"F.conv1d({padded}, {s.learned(h.width, 1, LONGEST)}[..., :{t}], groups={h.width}).mT"
        ),
        lambda: f"torch.exp(-distance({h}) * {s.learned()}.exp()) @ {h}",
        lambda: f"({s.learned()}.sigmoid() ** distance({h})).tril() @ {h}",
    )


def shifted(s, h):
    """Positions moved, repeated, added up, or counted."""
    t = f"{h}.shape[1]"
    few = s.choose(1, 2, 4)

    def memory():
        return f"{s.learned(s.choose(1, 2), h.width)}.expand({h}.shape[0], -1, -1)"

    return s.line(
        f"F.pad({h}, (0, 0, 1, 0))[:, :-1]", f"{h}.roll(1, 1)", f"{h}.flip(1)", f"{h}.cumsum(1)",
        f"{h} - F.pad({h}, (0, 0, 1, 0))[:, :-1]", f"{h}.logcumsumexp(1)", f"{h}.softmax(1)",
        f"{h}.cumsum(1) / torch.arange(1, {t} + 1)[:, None]", f"{h} / {t}",
        lambda: f"torch.cat([{memory()}, {h}], 1)[:, :{t}]",
        lambda: f"torch.cat([{memory()}, {h}], 1).cumsum(1)[:, -{t}:]",
        f"{h} + {h}.mean(1, keepdim=True)", f"{h} - {h}.mean(1, keepdim=True)",
        f"{h} * {h}.amax(1, keepdim=True)", f"{h}.repeat(1, 2, 1)[:, :{t}]",
        f"{h} if {t} > {few} else {h}.relu()", f"{h}.tanh() if {t} > {few} else {h}",
        lambda: f"{h} * {vector(s, h.width)} if {t} > {few} else {h}",
        lambda: f"{h} if {h}.shape[0] > 1 else {h} * {vector(s, h.width)}",
        f"{h}.flatten(0, 1).unflatten(0, {h}.shape[:2])",
        f"torch.cat([{h}[:, :1].relu(), {h}[:, 1:]], 1)",
        f"torch.stack([{h}[:, i] * (i + 1) for i in range({t})], 1)",
    )  # fmt: skip


def convolved(s, h):
    """A convolution along the positions."""
    width, kernel = h.width, s.choose(1, 2, 3)
    group = s.choose(*(n for n in range(1, width + 1) if width % n == 0))
    options = f"groups={group}{s.choose('', ', bias=False')}"
    conv = s.hold(f"nn.Conv1d({width}, {s.size() * group}, {kernel}, {options})")
    pad = s.choose(f"({kernel - 1}, 0)", f"(0, {kernel - 1})", f"({kernel - 1}, 0), value=1.0")
    y = s.step(f"{conv}(F.pad({h}.mT, {pad}))")
    return s.line(f"{y}.mT", f"{y}.relu().mT")


def loop(s, h):
    """A loop over the positions."""
    width, size = h.width, s.size()
    zeros = f"{h}.new_zeros({h}.shape[0], {size})"
    if s.rarely():
        rate = s.learned(width)
        first = f"torch.zeros_like({h}[:, 0])"
        return s.step(f"over_time(lambda c, x: {rate}.sigmoid() * c + x, {h}, {first})")
    if s.rarely():
        cell = s.hold(f"nn.{s.choose('GRUCell', 'RNNCell')}({width}, {size})")
        return s.step(f"over_time(lambda c, x: {cell}(x, c), {h}, {zeros})")
    a, b = layer(s, width, size), layer(s, size, size)
    body = s.choose(
        f"({a}(x) + {b}(c)).tanh()", f"{a}(x).relu() + {b}(c).sigmoid() * c", f"c * 0.5 + {a}(x)",
        f"({a}(x) + {b}(c)).relu()", f"c + {b}(c).sigmoid() * ({a}(x) - c)",
    )  # fmt: skip
    first = s.pick(zeros, lambda: s.learned(1, size))
    return s.step(f"over_time(lambda c, x: {body}, {h}, {first})")


def recurrent(s, h):
    """A recurrent layer."""
    kind, size = s.choose("RNN", "GRU", "LSTM"), s.size()
    option = s.choose("", "", ", num_layers=2", ", bidirectional=True", ", bias=False")
    rnn = s.hold(f"nn.{kind}({h.width}, {size}{option}, batch_first=True)")
    depth = 2 if "num" in option or "bid" in option else 1
    form = s.choose("zero", "zero", "last", "learned", "buffer")
    if form == "last":
        last = f"{rnn}({h})[1]" + ("[1]" if kind == "LSTM" else "")
        return s.step(f"{last}.transpose(0, 1).flatten(1)")
    if form == "zero":
        return s.step(f"{rnn}({h})[0]")
    zeros = f"buffer(torch.zeros({depth}, 1, {size}))"
    start = s.learned(depth, 1, size) if form == "learned" else s.hold(zeros)
    start = f"{start}.expand(-1, {h}.shape[0], -1).contiguous()"
    return s.step(f"{rnn}({h}, {f'({start}, {start})' if kind == 'LSTM' else start})[0]")


def pooled(s, h):
    """The positions put into one: (B, C)."""
    query = s.learned(h.width)
    scores = s.choose(f"({h} @ {query})", f"({h}.tanh() @ {query})", f"({h} * {query}).sum(-1)")
    token = s.learned(1, 1, h.width)
    longer = f"torch.cat([{token}.expand({h}.shape[0], -1, -1), {h}], 1)"
    return s.line(
        f"{h}.mean(1)", f"{h}[:, -1]", f"{h}[:, 0]", f"{h}.amax(1)", f"{h}.sum(1)",
        f"{h}.logsumexp(1)", f"({scores}.softmax(-1)[..., None] * {h}).sum(1)",
        f"({scores}.softmax(1)[:, None] @ {h}).squeeze(1)",
        f"torch.einsum('bt,btc->bc', {scores}.softmax(-1), {h})",
        lambda: f"(({s.learned(2, h.width)} @ {h}.mT).softmax(-1) @ {h}).flatten(1)",
        f"{longer}.cumsum(1)[:, -1]", f"({longer} @ {h}.mT).softmax(-1).matmul({h})[:, 0]",
        f"{h}.std(1, correction=0)", f"F.adaptive_avg_pool1d({h}.mT, 2).flatten(1)",
        f"F.adaptive_max_pool1d({h}.mT, 1).squeeze(-1)", f"({h}.mT @ {h}).flatten(1)",
        f"{h}[:, -1] * {h}[:, 0]", f"{h}.topk(1, 1)[0].squeeze(1)",
    )  # fmt: skip


def related(s, h):
    """Features against features, or positions against positions."""
    return s.line(
        f"({h} @ {h}.mT).softmax(-1) @ {h}", f"{h} @ ({h}.mT @ {h} / {h}.shape[1])",
        f"torch.einsum('btc,bsc->bts', {h}, {h}).tanh() @ {h}",
        lambda: f"({h} @ {weight(s, h.width, h.width)} @ {h}.mT).softmax(-1) @ {h}",
        f"{h} @ ({h}.mT @ {h}).softmax({s.choose(-1, -2)})",
        f"F.cosine_similarity({h}[:, :, None], {h}[:, None], dim=-1) @ {h}",
        f"torch.bmm({h}.mT, {h})[:, :1] + {h}",
        lambda: f"F.bilinear({h}, {h}, {s.learned(s.size(), h.width, h.width)})",
    )  # fmt: skip


SEQUENCES = {
    position: 5, across: 4, shifted: 5, convolved: 3, loop: 2, recurrent: 3, attention: 9,
    pooled: 3, related: 2,
}  # fmt: skip
