"""Steps on values whose last axis holds features: (B, C), (B, T, C)."""

from generated.scope import Unfit
from generated.weights import layer, mask, vector, weight


def linear(s, h):
    """A linear map, in one of the ways to write it."""
    width, size = h.width, s.size()
    known = [name for name, inputs, _ in s.layers if inputs == width]
    form = s.choose("layer", "layer", "layer", "matmul", "linear", "einsum", "again")
    if form == "again" and known:
        return s.step(f"{s.choose(*known)}({h})")
    if form == "matmul":
        return s.step(f"{h} @ {weight(s, width, size)}")
    if form == "linear":
        return s.step(f"F.linear({h}, {weight(s, size, width)}, {vector(s, size)})")
    if form == "einsum":
        return s.step(f"torch.einsum('...i,io->...o', {h}, {weight(s, width, size)})")
    return s.step(f"{layer(s, width, size)}({h})")


def activation(s, h):
    # what rounds, or compares, does so away from zero, where many values lie exactly
    return s.line(
        f"{h}.relu()", f"{h}.relu()", f"{h}.relu()", f"F.leaky_relu({h}, 0.1)", f"F.gelu({h})",
        f"F.silu({h})", f"{h}.tanh()", f"{h}.sigmoid()", f"F.softplus({h})", f"F.relu6({h})",
        f"F.hardswish({h})", f"F.elu({h})", f"{h}.abs()", f"{h}.square()", f"{h}.sin()",
        f"{h}.clamp(-1, 1)", f"{h}.clamp(min=0)", f"{h}.clamp(max=0.5)", f"{h}.sign()",
        f"{h}.pow(3)", f"{h}.abs().sqrt()", f"F.softshrink({h})", f"{h}.softmax(-1)",
        f"{h}.log_softmax(-1)", f"(-{h}.square()).exp()", f"{h}.relu().square()",
        f"1 / (1 + {h}.square())", f"F.normalize({h}, dim=-1)", f"{h}.cumsum(-1)",
        f"F.relu({h}, inplace=True)", f"{h}.log1p().nan_to_num()", f"F.threshold({h}, 0.1, 0.2)",
        f"{h}.erf()", f"F.hardtanh({h})", f"{h}.round()", f"F.logsigmoid({h})",
        f"F.tanhshrink({h})", f"torch.logit({h}.sigmoid(), 1e-3)", f"{h}.atan()", f"F.selu({h})",
        f"{h}.argsort(-1).to({h}.dtype)", f"{h}.sort(-1)[0]", f"({h} + 0.3).floor()", f"-{h}",
        lambda: f"F.prelu({h}, {s.learned(s.choose(1, h.width))})" if h.is_vector else f"{h}.cos()",
    )  # fmt: skip


def gain(s, h):
    """What is learned of every feature, or of all together."""
    size = h.width
    return s.line(
        lambda: f"{h} + {vector(s, size)}",
        lambda: f"{h} * {vector(s, size)}",
        lambda: f"{h} - {vector(s, size)}",
        lambda: f"{h} * {s.learned()}",
        lambda: f"{h} * {s.hold('nn.Parameter(torch.zeros(()))')}",
        lambda: f"{h} + {s.learned(1)}",
        lambda: f"{h} / (1 + {vector(s, size)}.square())",
        lambda: f"({h} > {vector(s, size)}) * {h}",
        lambda: f"torch.maximum({h}, {vector(s, size)})",
        lambda: f"torch.where({h} > 0, {h}, {vector(s, size)})",
        lambda: f"torch.bucketize({h}, {s.learned(size)}.exp().cumsum(0)).to({h}.dtype)",
        lambda: f"{h} + {h} * {vector(s, size)}.sin()",
        lambda: f"torch.lerp({h}, -{h}.relu(), {vector(s, size)})",
        lambda: f"torch.addcmul({h}, {h}, {vector(s, size)}, value=0.5)",
        lambda: f"{h}.exp().clamp(max=5) * {vector(s, 1)}",
        lambda: f"{h} * {s.learned(2, size)}.softmax(0)[0]",
    )


def buffered(s, h):
    """A buffer, met feature by feature."""
    size = h.width

    def numbers(*shape):
        sizes = ", ".join(str(n) for n in shape)
        return s.kept(s.choose(f"torch.ones({sizes})", f"torch.rand({sizes}) + 0.5"))

    return s.line(
        lambda: f"{h} * {numbers(size)}",
        lambda: f"{h} * {mask(s, size)}",
        lambda: f"{h}.masked_fill({mask(s, size)} == 0, {s.choose('0.0', '1.0', '-1e4')})",
        lambda: f"torch.where({mask(s, size)} > 0, {h}, 0.0)",
        lambda: f"{h} + {s.kept(f'torch.zeros({size})')}",
        lambda: f"{h} - {s.kept(f'torch.rand({size})')}",
        lambda: f"{h} * {numbers(1)}",
        lambda: f"{h} * {s.kept('torch.zeros(())')} + {h}.relu()",
        lambda: f"{h}[..., {s.kept(f'torch.randperm({size})')}]",
        lambda: f"{h}.index_select(-1, {s.kept(f'torch.arange({size}).flip(0)')})",
        lambda: f"({h} > {s.kept(f'torch.rand({size})')}).to({h}.dtype)",
        lambda: f"torch.minimum({h}, {numbers(size)})",
        lambda: f"({h}[..., None] - {s.kept('torch.linspace(-1, 1, 3)')}).abs().flatten(-2)",
        lambda: f"({h} - {s.kept(f'torch.zeros({size})')}) / {numbers(size)}.abs().sqrt()",
        lambda: f"torch.bucketize({h}, {s.kept('torch.linspace(-1, 1, 4)')}).to({h}.dtype)",
        lambda: f"{h} @ {numbers(size, size)}",
        lambda: f"{h} * {numbers(size)} + {h} * {mask(s, size)}",
        lambda: f"torch.cat([{h}, {s.kept('torch.ones(2)')}.expand(*{h}.shape[:-1], 2)], -1)",
        lambda: f"{h} * torch.linspace(1, 2, {size})",
        lambda: f"{h} ** {s.kept('torch.tensor(2.0)')}",
    )


def norm(s, h):
    size = h.width
    if h.is_vector and s.choose(True, False):
        return s.step(f"{s.hold(f'nn.BatchNorm1d({size}{_plain(s)})')}({h})")
    if h.is_sequence and s.choose(True, False):
        kind = s.choose(f"BatchNorm1d({size}{_plain(s)})", f"GroupNorm(1, {size})",
                        f"GroupNorm({size}, {size})")  # fmt: skip
        return s.step(f"{s.hold(f'nn.{kind}')}({h}.transpose(1, 2)).transpose(1, 2)")
    mean = f"{h}.mean(-1, keepdim=True)"
    return s.line(
        lambda: f"{s.hold(f'nn.LayerNorm({size})')}({h})",
        lambda: f"{s.hold(f'nn.LayerNorm({size}, bias=False)')}({h})",
        lambda: f"{s.hold(f'nn.RMSNorm({size})')}({h})",
        f"F.layer_norm({h}, ({size},))",
        lambda: f"{h} * ({h}.square().mean(-1, keepdim=True) + 1e-3).rsqrt() * {vector(s, size)}",
        f"{h} - {mean}",
        f"({h} - {mean}) / ({h}.std(-1, keepdim=True, correction=0) + 0.1)",
        f"{h} / ({h}.abs().sum(-1, keepdim=True) + 1)",
        f"{h} / {h}.norm(dim=-1, keepdim=True).clamp_min(1)",
    )


def _plain(s):
    return ", affine=False" if s.rarely() else ""


def groups(s, h):
    """The features as groups of features."""
    if h.width == 1:
        raise Unfit("one feature has no groups")
    a = s.choose(*(n for n in range(1, h.width + 1) if h.width % n == 0))
    b, dim = h.width // a, s.choose(-1, -2)
    g = s.step(f"{h}.unflatten(-1, ({a}, {b}))")
    g = s.line(
        f"{g}.softmax({dim})",
        f"{g}.transpose(-1, -2)",
        f"{g}.flip({dim})",
        f"{g}.cumsum({dim})",
        lambda: f"{g} * {s.learned(a, 1)}",
        lambda: f"{g} + {s.learned(b)}",
        lambda: f"{g} @ {weight(s, b, s.size())}",
        lambda: f"{weight(s, s.size(), a)} @ {g}",
        f"{g} - {g}.mean({dim}, keepdim=True)",
        lambda: f"{s.hold(f'nn.LayerNorm({b})')}({g})",
        f"F.normalize({g}, dim={dim})",
        lambda: f"torch.einsum('...gi,gio->...go', {g}, {s.learned(a, b, s.size())})",
        f"torch.einsum('...gi,...hi->...gh', {g}, {g})",
        f"{g}[..., {s.choose(0, -1)}, :][..., None, :]",
        f"F.cosine_similarity({g}, {g}.roll(1, -1), dim={dim})[..., None]",
        f"{g}.sum({dim}, keepdim=True)",
        f"{g}.amax({dim}, keepdim=True)",
        f"{g}.logsumexp({dim}, keepdim=True)",
        f"{g}.norm(dim={dim}, keepdim=True)",
    )
    return s.step(f"{g}.flatten(-2)")


def halves(s, h):
    """Two halves of the features that meet."""
    if h.width % 2:
        raise Unfit("an odd number of features has no halves")
    a, b = s.step(f"{h}.chunk(2, -1)[0]"), s.step(f"{h}.chunk(2, -1)[1]")
    return s.line(
        f"{a} * {b}.sigmoid()", f"{a} * {b}", f"F.glu({h}, -1)", f"{a} + {b}",
        f"torch.cat([{b}, {a}], -1)", f"torch.cat([{a}, {b}.relu()], -1)", f"{a} - {b}.relu()",
        f"torch.maximum({a}, {b})", f"torch.stack([{a}, {b}], -1).amax(-1)",
        f"{a}.exp().clamp(max=5) * {b}.clamp(-3, 3)", f"torch.atan2({a}, {b})",
        f"torch.stack([{a}, {b}], -2).flatten(-2)", f"torch.stack([{a}, {b}], -1).flatten(-2)",
        f"torch.cat([{a} * {b}.cos() - {b} * {b}.sin(), {a}], -1)",
    )  # fmt: skip


def split(s, h):
    """Unequal parts of the features."""
    if h.width < 2:
        raise Unfit("one feature has no parts")
    cut = s.choose(*range(1, h.width))
    a, b = s.step(f"{h}[..., :{cut}]"), s.step(f"{h}[..., {cut}:]")
    return s.line(
        f"torch.cat([{a}.relu(), {b}], -1)",
        f"torch.cat([{b}, {a}], -1)",
        f"torch.cat([{a}, {b}, {a}.tanh()], -1)",
        f"{a}.sum(-1, keepdim=True) * {b}",
        f"torch.cat([{a} * {b}.mean(-1, keepdim=True), {b}], -1)",
        lambda: f"torch.cat([{b}, {vector(s, cut)}.expand_as({a})], -1)",
        f"{b}",
        f"torch.cat(({h}.split([{cut}, {h.width - cut}], -1)[1], {a}, {b}), -1)",
    )


def arrange(s, h):
    """The features in another order, some of them repeated or filled in."""
    n = h.width
    return s.line(
        f"{h}.roll(1, -1)", f"{h}.flip(-1)", f"F.pad({h}, (0, 1))", f"F.pad({h}, (1, 2))",
        f"F.pad({h}, (1, 0), value=0.5)", f"torch.cat([{h}, {h}], -1)",
        f"{h}.repeat_interleave(2, -1)", f"torch.cat([{h}, -{h}], -1).relu()",
        f"{h}[..., ::2]", f"{h}.expand(*{h}.shape).clone()", f"{h}[..., [0] * {n}]",
        f"{h}[..., :1]", f"{h}[..., :1] * {h}", f"{h} + {h}.roll(1, -1)", f"{h} * {h}.flip(-1)",
        f"torch.cat([{h}[..., :1] * 0, {h}[..., 1:]], -1)",
        f"torch.cat([torch.ones_like({h}[..., :1]), {h}], -1)",
        f"{h}.unfold(-1, {min(2, n)}, 1).flatten(-2)",
        f"{h}.masked_fill(torch.arange({n}) % 2 == 0, 0.0)",
        f"{h}.repeat(*[1] * ({h}.ndim - 1), 2)", f"torch.cat([{h}, {h}.relu()], -1)",
    )  # fmt: skip


def meet(s, h):
    """Two values of one shape."""
    other = s.earlier(lambda v: v.axes == h.axes and v.kind == "float" and v != h)
    if other is None:
        gate = s.step(f"{layer(s, h.width, h.width)}({h})")
        return s.line(f"{h} + {gate}", f"{h} * {gate}.sigmoid()", f"{h} * {gate}")
    return s.line(
        f"{h} + {other}", f"{h} + {other}", f"{h} * {other}", f"{h} - {other}",
        f"torch.maximum({h}, {other})", f"torch.where({other} > 0, {h}, {other})",
        f"torch.where({other} > {h}, {h}, 0.0)", f"{h} * {other}.sigmoid()",
        f"torch.lerp({h}, {other}, 0.3)", f"torch.lerp({h}, {other}, {other}.sigmoid())",
        f"torch.cat([{h}, {other}], -1)", f"{h} / (1 + {other}.square())",
        f"torch.stack([{h}, {other}], -1).mean(-1)", f"torch.stack([{h}, {other}]).amax(0)",
        f"torch.logaddexp({h}, {other})", f"torch.addcmul({h}, {other}, {other})",
        f"({h} * {other}).sum(-1, keepdim=True) * {h}", f"{h} * ({h} < {other})",
        f"F.cosine_similarity({h}, {other}, dim=-1)[..., None] * {h}",
        f"torch.min({h}, {other})", f"{h}.masked_fill({other} > 0, 0.0)",
        f"torch.stack([{h}, {other}], -1).softmax(-1).select(-1, 0)",
    )  # fmt: skip


def cast(s, h):
    """Another type, and back."""
    return s.line(
        f"{h}.to(torch.float64).square().to({h}.dtype)", f"({h} * 3).long().to({h}.dtype)",
        f"({h} * 3).to(torch.int32).type_as({h})", f"{h} * ({h} > 0)", f"({h} > 0).to({h}.dtype)",
        f"{h}.to(torch.float32).to({h}.dtype)", f"{h}.bool().to({h}.dtype)",
        f"({h}.relu() * 3).to(torch.uint8).to({h}.dtype)",
        f"({h} * 3).type_as(torch.arange(2)).to({h}.dtype)",
        f"({h} * 3).to(torch.arange(2)).to({h}.dtype)",
    )  # fmt: skip


def look_up(s, h):
    """Rows of a table, picked by what was computed."""
    size = s.size()
    index = s.line(
        f"{h}.argmax(-1)", f"({h} > 0).sum(-1)", f"({h}.sigmoid() * 3.7).long().amax(-1)",
        f"{h}.argmin(-1)", f"({h}.mean(-1).sigmoid() * 6.8).round().long()",
    )  # fmt: skip
    return s.line(
        lambda: f"{s.hold(f'nn.Embedding(8, {size})')}({index})",
        lambda: f"{s.learned(8, size)}[{index}]",
        lambda: f"F.one_hot({index}, 8).to({h}.dtype) @ {weight(s, 8, size)}",
    )


def experts(s, h):
    """Stacked maps, mixed by a gate."""
    count, inner, size = s.choose(2, 1, 3), s.size(), s.size()
    gate = s.step(f"{layer(s, h.width, count)}({h}){s.choose('.softmax(-1)', '.sigmoid()', '')}")
    act = s.choose("relu", "tanh", "sigmoid")
    up, down = s.learned(count, h.width, inner), s.learned(count, inner, size)
    hidden = s.step(f"torch.einsum('...i,eih->...eh', {h}, {up}).{act}()")
    return s.line(
        f"torch.einsum('...e,...eh,eho->...o', {gate}, {hidden}, {down})",
        f"(({hidden}[..., None, :] @ {down}).squeeze(-2) * {gate}[..., None]).sum(-2)",
    )


def remembered(s, h):
    """What is kept from call to call, or drawn at random: `discover` may refuse it."""
    return s.line(
        lambda: f"{h} + self.__dict__.setdefault('cache', {vector(s, h.width)})",
        lambda: f"{h} * {s.hold('buffer(torch.zeros(()))')}.add_(1)",
        f"{h} if setattr(self, 'last', {h}) else {h}.tanh()",
        f"{h} + F.dropout({h}, 0.5, training=True)",
    )


FEATURES = {
    linear: 10, activation: 7, gain: 5, buffered: 6, norm: 4, groups: 4, halves: 3, split: 2,
    arrange: 3, meet: 5, cast: 1, look_up: 1, experts: 1, remembered: 1,
}  # fmt: skip
