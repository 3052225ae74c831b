"""What stands where a weight stands: layers, and expressions of parameters."""


def layer(s, width, size):
    """The name of a linear layer, tied to an earlier one now and then."""
    bias = s.choose("", ", bias=False")
    kind = s.choose("plain", "plain", "plain", "plain", "plain", "weight norm", "tied")
    if kind == "weight norm":
        return s.hold(f"nn.utils.parametrizations.weight_norm(nn.Linear({width}, {size}{bias}))")
    known = [x for x in s.layers if x[1:] == (width, size)]
    name = s.hold(f"nn.Linear({width}, {size}{bias})")
    if kind == "tied" and known:
        s.also(f"{name}.weight = {s.choose(*known)[0]}.weight")
    s.layers.append((name, width, size))
    return name


def vector(s, size):
    """An expression whose value is a vector."""
    p = s.learned(size)
    return s.choose(p, p, p, f"{p}.exp()", f"{p}.softmax(0)", f"{p}.tanh()", f"({p} + 1)")


def mask(s, *shape):
    """A buffer that prunes: of some type, of ones now and then."""
    sizes = ", ".join(str(size) for size in shape)
    drawn = s.choose(f"torch.ones({sizes})", f"bools({sizes})")
    return s.hold(f"buffer({drawn}.to(torch.{s.choose('bool', 'uint8', 'int64', 'float32')}))")


def weight(s, rows, columns):
    """An expression whose value is a matrix."""
    options = [_plain, _plain, _plain, _masked, _low_rank, _normed, _function, _product, _tied]
    options += [_gathered, _joined, _arranged, _outer, _scaled, _chosen]
    options += [_square] * (rows == columns)
    return s.choose(*options)(s, rows, columns)


def _plain(s, rows, columns):
    return s.learned(rows, columns)


def _masked(s, rows, columns):
    p, kept = s.learned(rows, columns), mask(s, rows, columns)
    return s.choose(f"({p} * {kept})", f"torch.where({kept} > 0, {p}, 0.0)")


def _low_rank(s, rows, columns):
    rank = s.choose(1, 2)
    return f"({s.learned(rows, columns)} + {s.learned(rows, rank)} @ {s.learned(rank, columns)})"


def _normed(s, rows, columns):
    p = s.learned(rows, columns)
    return s.pick(
        f"F.normalize({p}, dim=1)",
        f"F.normalize({p}, dim=0)",
        lambda: f"({s.learned(rows, 1)} * {p} / {p}.norm(dim=1, keepdim=True))",
        lambda: f"({p} / ({p}.norm() + 1))",
        lambda: f"(({p} - {p}.mean(1, keepdim=True)) / ({p}.norm(dim=1, keepdim=True) + 1))",
    )


def _function(s, rows, columns):
    p = s.learned(rows, columns)
    return s.choose(
        f"{p}.sign()", f"{p}.tanh()", f"{p}.exp()", f"{p}.abs()", f"{p}.softmax(0)",
        f"{p}.softmax(1)", f"{p}.relu()", f"{p}.round()", f"{p}.tril()",
    )  # fmt: skip


def _product(s, rows, columns):
    inner = s.size()
    p, q = s.learned(rows, inner), s.learned(inner, columns)
    return s.pick(
        f"({p} @ {q})",
        lambda: f"({p} * {s.learned(inner)} @ {q})",
        f"({p} @ {q}).relu()",
        f"torch.einsum('ik,kj->ij', {p}, {q})",
    )


def _tied(s, rows, columns):
    """A parameter that is used elsewhere too, as it is or transposed."""
    for shape, turn in (((rows, columns), ""), ((columns, rows), ".T")):
        known = [x for x in s.held if x.endswith(f" = parameter({shape[0]}, {shape[1]})")]
        if known:
            return s.choose(*known).partition(" = ")[0] + turn
    return s.learned(rows, columns)


def _gathered(s, rows, columns):
    p, q = s.learned(rows + 2, columns), s.learned(rows + 1, columns + 1)
    return s.pick(
        lambda: f"{p}[{s.kept(f'torch.randperm({rows + 2})[:{rows}]')}]",
        f"{p}[1:-1]",
        f"{q}[:{rows}, 1:]",
        f"{p}[[0] * {rows}]",
    )


def _joined(s, rows, columns):
    if rows == 1:
        return s.learned(rows, columns)
    return s.pick(
        lambda: f"torch.cat([{s.learned(rows - 1, columns)}, {s.learned(1, columns)}])",
        lambda: f"torch.stack([{', '.join(s.learned(columns) for _ in range(rows))}])",
        lambda: f"F.pad({s.learned(rows - 1, columns)}, (0, 0, 1, 0))",
    )


def _arranged(s, rows, columns):
    p = s.learned(2, rows, columns)
    return s.pick(
        lambda: s.learned(rows * columns) + f".view({rows}, {columns})",
        lambda: s.learned(columns, rows) + f".reshape({rows}, {columns})",
        f"{p}[0]", f"{p}.sum(0)", f"{p}.mean(0)", f"({p}[0] * {p}[1])", f"({p}[0] + {p}[1])",
        f"{p}.amax(0)", lambda: s.learned(rows, columns) + ".flip(0)",
        lambda: s.learned(rows, columns) + ".roll(1, 1)",
    )  # fmt: skip


def _outer(s, rows, columns):
    return f"({s.learned(rows)}[:, None] * {s.learned(columns)})"


def _scaled(s, rows, columns):
    p, scale = s.learned(rows, columns), s.learned()
    return s.choose(f"({p} * {scale})", f"({p} * {scale}.exp())", f"({p} + {scale})")


def _chosen(s, rows, columns):
    p, q = s.learned(rows, columns), s.learned(rows, columns)
    return s.choose(f"torch.where({p} > 0, {p}, {q})", f"torch.maximum({p}, {q})", f"({p} - {q})")


def _square(s, rows, columns):
    p = s.learned(rows, columns)
    return s.choose(
        f"({p} + {p}.T)", f"({p} - {p}.T)", f"({p} * {p}.T)", f"({p} @ {p}.T)",
        f"({p} * torch.eye({rows}))", f"({p} + torch.eye({rows}))", f"{p}.tril()",
        f"({p} @ {p})",
    )  # fmt: skip
