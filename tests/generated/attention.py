"""Attention in its many ways: heads, masks, biases, memories, positions."""

from dataclasses import dataclass

from generated.program import LONGEST
from generated.scope import Value
from generated.weights import layer


@dataclass(frozen=True)
class Heads:
    """What meets: h asks source, in so many heads of one size.

    Attributes:
        shared: whether all heads have the same keys and values.
    """

    h: Value
    source: Value
    count: int
    size: int
    shared: bool

    @property
    def asked(self):
        """Cuts a table to the length of h."""
        return f":{self.h}.shape[1]"

    @property
    def table(self):
        """Cuts a table of positions by positions."""
        return f":{self.h}.shape[1], :{self.source}.shape[1]"

    @property
    def rows(self):
        return self.count * self.size


def attention(s, h):
    """Every position asks all others, or those of another sequence."""
    if s.rarely():
        return _module(s, h)
    other = s.earlier(lambda v: v.is_features and v.axes[:2] == ("B", "S"))
    source = other if other is not None and s.choose(False, True) else h
    count = s.choose(2, 1, 3)
    a = Heads(h, source, count, s.choose(2, 1, 3), s.rarely())
    q, k, v = _asked(s, a)
    q, k, v, longer = _changed(s, a, q, k, v)
    form = s.choose("fused", "by hand", "by hand")
    if form == "fused" and not a.shared:
        mask = "" if longer else s.pick("", lambda: ", " + _fused_mask(s, a))
        return _out(s, a, f"F.scaled_dot_product_attention({q}, {k}, {v}{mask})")
    scores = s.step(_products(s, a, q, k))
    if s.rarely():
        scores = s.step(_talking(s, a, scores))
    if s.rarely() and not longer:
        scores = s.step(_relative(s, a, scores, q))
    if s.choose(False, True) and not longer:
        scores = s.step(_masked(s, a, scores), masked=True)
    weights = s.step(_weights(s, scores), masked=True)
    if s.rarely():
        weights = s.step(_talking(s, a, weights), masked=True)
    return _out(s, a, f"{weights} @ {v}")


def _module(s, h):
    """PyTorch's own."""
    heads = s.choose(*(n for n in (1, 2, 3) if h.width % n == 0))
    seen = ", key_padding_mask=~seen" if "seen = bools(B, T)" in s.given else ""
    attend = f"nn.MultiheadAttention({h.width}, {heads}, batch_first=True"
    return s.line(
        lambda: f"{s.hold(f'{attend})')}({h}, {h}, {h}{seen})[0]",
        lambda: f"{s.hold(f'{attend}, add_bias_kv=True)')}({h}, {h}, {h})[0]",
        lambda: f"{s.hold(f'{attend})')}({h}, {h}, {h})[1] @ {h}",
        lambda: (
            f"{s.hold(f'nn.TransformerEncoderLayer({h.width}, {heads}, 5, batch_first=True)')}({h})"
        ),
    )


def _asked(s, a):
    few = a.size if a.shared else a.rows
    q = s.step(f"{layer(s, a.h.width, a.rows)}({a.h})")
    k = s.step(f"{layer(s, a.source.width, few)}({a.source})")
    v = s.step(f"{layer(s, a.source.width, few)}({a.source})")
    q = s.step(f"heads({q}, {a.count})")
    return q, *(s.step(f"heads({x}, {1 if a.shared else a.count})") for x in (k, v))


def _changed(s, a, q, k, v):
    """Positions, norms, gains, learned keys and values; whether there are more keys now."""
    kind = s.choose("", "", "", "rotary", "normed", "memory", "key memory", "bias")
    if kind == "rotary" and a.size % 2 == 0:
        q, k = s.step(f"rotary({q})"), s.step(f"rotary({k})")
    if kind == "normed":
        norm = s.choose("RMSNorm", "LayerNorm")
        q, k = (s.step(f"{s.hold(f'nn.{norm}({a.size})')}({x})") for x in (q, k))
    if kind == "bias":
        k = s.step(f"{k} + {s.learned(1 if a.shared else a.count, 1, a.size)}")
    if "memory" not in kind:
        return q, k, v, False
    shape = 1 if a.shared else a.count, 1, a.size
    key = s.learned(*shape)
    value = s.learned(*shape) if kind == "memory" else f"torch.zeros_like({key})"
    k, v = (
        s.step(f"torch.cat([{first}.expand({a.h}.shape[0], -1, -1, -1), {x}], 2)")
        for first, x in ((key, k), (value, v))
    )
    return q, k, v, True


def _products(s, a, q, k):
    product = s.choose(
        f"{q} @ {k}.mT",
        f"{q} @ {k}.mT" if a.shared else f"torch.einsum('bhqd,bhkd->bhqk', {q}, {k})",
        f"-({q}[..., None, :] - {k}[..., None, :, :]).square().sum(-1)",
    )
    scale = s.pick(
        "", " / 1.5", f" * {a.size} ** -0.5", lambda: f" * {s.learned()}",
        lambda: f" * {s.learned(1)}", lambda: f" * {s.learned(a.count, 1, 1)}",
    )  # fmt: skip
    return product + scale


def _weights(s, scores):
    return s.choose(
        *[f"{scores}.softmax(-1)"] * 5, f"{scores}.sigmoid()", f"{scores}.relu().square()",
        f"(0.3 / {scores}).clamp(-2, 2).softmax(-1)", f"{scores}.softmax(-2)",
        f"{scores}.softmax(1)", f"{scores}.clamp(-2, 2).softmax(-1)", f"{scores}.tanh()",
        f"({scores} * 2).round().softmax(-1)",
    )  # fmt: skip


def _talking(s, a, scores):
    """Heads mixed."""
    table = s.learned(a.count, a.count)
    return s.choose(
        f"torch.einsum('bhqk,hg->bgqk', {scores}, {table})",
        f"torch.einsum('gh,bhqk->bgqk', {table}, {scores})",
        f"({scores}.permute(0, 2, 3, 1) @ {table}).permute(0, 3, 1, 2)",
        f"F.conv2d({scores}, {table}[:, :, None, None])",
    )


def _relative(s, a, scores, q):
    """Biases by how far keys lie from queries."""
    if a.source != a.h:
        return f"{scores} + {s.learned(a.count, 1, 1)}"
    apart = f"distance({a.h})"
    offsets = f"(torch.arange({LONGEST})[:, None] - torch.arange({LONGEST})).abs()"
    near = s.learned(LONGEST, a.count)
    return s.pick(
        lambda: f"{scores} + {s.learned(a.count, LONGEST, LONGEST)}[:, {a.table}]",
        lambda: f"{scores} + {near}[{s.kept(offsets)}[{a.table}]].permute(2, 0, 1)",
        lambda: f"{scores} + {near}[{apart}].permute(2, 0, 1)",
        lambda: f"{scores} - {s.kept(f'0.5 ** torch.arange({a.count})')}[:, None, None] * {apart}",
        lambda: f"{scores} + ({q} @ {s.learned(LONGEST, a.size)}.T)[..., {a.asked}]",
        lambda: f"{scores} + {q} @ {s.learned(LONGEST, a.size)}[{a.asked}].T",
        lambda: f"{scores} * {near}.exp()[{apart}].permute(2, 0, 1)",
    )


def _tables(s):
    """Masks by positions that a module holds."""
    square = f"{LONGEST}, {LONGEST}"
    return s.kept(
        s.choose(
            f"torch.ones({square}).tril().bool()",
            f"bools({square})",
            f"torch.ones({square}, dtype=torch.bool)",
        )
    )


def _masked(s, a, scores):
    """What is not attended to."""
    fill = s.choose("float('-inf')", f"torch.finfo({a.h}.dtype).min", "-1e9", "-1e4")
    lengths = f"{a.h}.shape[1], {a.source}.shape[1]"
    bias = f"torch.full(({LONGEST}, {LONGEST}), -1e4).triu(1)"
    options = [
        lambda: f"{scores}.masked_fill(torch.ones({lengths}).triu(1).bool(), {fill})",
        lambda: f"{scores}.masked_fill(~{_tables(s)}[{a.table}], {fill})",
        lambda: f"torch.where({_tables(s)}[{a.table}], {scores}, {fill})",
        lambda: f"{scores} + (1 - {_tables(s)}[{a.table}].to({scores}.dtype)) * -1e4",
        lambda: f"{scores} + {s.kept(bias)}[{a.table}]",
    ]
    if a.source == a.h and "seen = bools(B, T)" in s.given:
        seen = "seen[:, None, None, :]"
        options += 2 * [
            lambda: f"{scores}.masked_fill(~{seen}, {fill})",
            lambda: f"torch.where({seen}, {scores}, {fill})",
            lambda: f"{scores} + (~{seen}).to({scores}.dtype) * torch.finfo({scores}.dtype).min",
        ]
    return s.pick(*options)


def _fused_mask(s, a):
    options = [
        lambda: f"attn_mask={_tables(s)}[{a.table}]",
        lambda: f"attn_mask={s.learned(a.count, LONGEST, LONGEST)}[:, {a.table}]",
    ]
    if a.source == a.h:
        options.append(lambda: "is_causal=True")
        if "seen = bools(B, T)" in s.given:
            options.append(lambda: "attn_mask=seen[:, None, None, :]")
    return s.pick(*options)


def _out(s, a, expression):
    h = s.step(f"joined({expression})")
    return h if s.rarely() else s.step(f"{layer(s, a.rows, s.size())}({h})")
