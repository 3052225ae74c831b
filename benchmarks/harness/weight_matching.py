"""The peer's weight matching for decoders, written anew from its description.

The residual stream is rotated, heads and hidden units are permuted, all to bring weights close, in
turn until nothing changes: the stream by Procrustes over all that writes and reads it, first over
the embedding alone; units by a linear assignment; heads by one as well, on what their queries and
keys reach when their pairs are turned, and their values and outputs by Procrustes. Gains are moved
into the readers first. Nothing here uses the symmetries that toroids finds.

Reference: A. Theus et al., Generalized linear mode connectivity for transformers, 2025, arXiv
2506.22712.
"""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

import toroids as td

SWEEPS = 30
READERS = ("attention.query", "attention.key", "attention.value", "units.gate", "units.up")
WRITERS = ("attention.out", "units.down")


def without_gains(params: td.Params, depth: int) -> dict[str, Tensor]:
    """The same network of `td.models.decoder` with all gains one."""
    moved = dict(params)
    for part in (f"layers.{i}." for i in range(depth)):
        for name in READERS:
            norm = "norm1" if name.startswith("attention") else "norm2"
            weight = f"{part}{name}.weight"
            moved[weight] = params[weight] * params[f"{part}{norm}.weight"]
        for norm in ("norm1", "norm2"):
            moved[f"{part}{norm}.weight"] = torch.ones_like(params[f"{part}{norm}.weight"])
    moved["head.weight"] = params["head.weight"] * params["norm.weight"]
    moved["norm.weight"] = torch.ones_like(params["norm.weight"])
    return moved


def matched(
    a: td.Params, b: td.Params, depth: int, heads: int, rotate: bool = True
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Two networks of `td.models.decoder` without gains, the second moved onto the first.

    Args:
        a: the network that stays; as many heads of keys as of queries.
        b: the one that moves.
        depth: of the networks.
        heads: of each attention.
        rotate: whether the stream is rotated and heads are turned inside, or all only permuted.

    Returns:
        Both networks.
    """
    a, b = (without_gains(x, depth) for x in (a, b))
    best = _procrustes if rotate else _permutation
    _turn(b, best(a["embedding.weight"].T @ b["embedding.weight"]), depth)
    for _ in range(SWEEPS):
        before = dict(b)
        for part in (f"layers.{i}." for i in range(depth)):
            _match_heads(a, b, part, heads, rotate)
            _match_units(a, b, part)
        _turn(b, best(_stream(a, depth).T @ _stream(b, depth)), depth)
        if all(torch.allclose(x, b[name], atol=1e-5) for name, x in before.items()):
            break
    return a, b


def _legs(depth: int) -> list[tuple[str, int]]:
    """Names of weights, and their axis along the stream."""
    found = [("embedding.weight", 1), ("head.weight", 1)]
    for part in (f"layers.{i}." for i in range(depth)):
        found += [(f"{part}{name}.weight", 1) for name in READERS]
        found += [(f"{part}{name}.weight", 0) for name in WRITERS]
    return found


def _stream(params: td.Params, depth: int) -> Tensor:
    """All weights of the stream, one row each: (weights, entries of the stream)."""
    return torch.cat([params[name].T if axis == 0 else params[name] for name, axis in _legs(depth)])


def _turn(params: dict[str, Tensor], matrix: Tensor, depth: int) -> None:
    for name, axis in _legs(depth):
        params[name] = matrix @ params[name] if axis == 0 else params[name] @ matrix.T


def _procrustes(table: Tensor) -> Tensor:
    u, _, vh = torch.linalg.svd(table)
    nearest: Tensor = u @ vh
    return nearest


def _permutation(table: Tensor) -> Tensor:
    _, columns = linear_sum_assignment(-table.numpy())
    return torch.eye(len(table))[torch.from_numpy(columns)]


def _match_units(a: td.Params, b: dict[str, Tensor], part: str) -> None:
    gate, up, down = (f"{part}units.{name}.weight" for name in ("gate", "up", "down"))
    table = a[gate] @ b[gate].T + a[up] @ b[up].T + a[down].T @ b[down]
    order = _permutation(table).argmax(dim=1)
    b[gate], b[up], b[down] = b[gate][order], b[up][order], b[down][:, order]


def _match_heads(a: td.Params, b: dict[str, Tensor], part: str, heads: int, rotate: bool) -> None:
    names = [f"{part}attention.{name}.weight" for name in ("query", "key", "value", "out")]
    ours, theirs = (
        [*(x[name].view(heads, -1, x[name].shape[1]) for name in names[:3]),
         x[names[3]].T.reshape(heads, -1, x[names[3]].shape[0])]
        for x in (a, b)
    )  # fmt: skip
    tries = [[_fitted(ours, theirs, i, j, rotate) for j in range(heads)] for i in range(heads)]
    _, order = linear_sum_assignment([[-value for value, _ in row] for row in tries])
    moved = [tries[i][j][1] for i, j in enumerate(order)]
    for place, name in enumerate(names):
        joined = torch.cat([head[place] for head in moved])
        b[name] = joined.T if place == 3 else joined


def _fitted(
    ours: list[Tensor], theirs: list[Tensor], i: int, j: int, rotate: bool
) -> tuple[float, list[Tensor]]:
    """What a head reaches in the place of another, and how it is turned there."""
    mine, other = [x[i] for x in ours], [x[j] for x in theirs]
    if rotate:
        inner = _procrustes(mine[2] @ other[2].T + mine[3] @ other[3].T)
        pairs = zip(mine[:2], other[:2], strict=True)
        products = torch.cat([_complex(x).conj() * _complex(y) for x, y in pairs], dim=1)
        phase = torch.polar(torch.ones(len(products)), -products.sum(dim=1).angle())
        turned = [_real(phase[:, None] * _complex(y)) for y in other[:2]]
        other = [*turned, inner @ other[2], inner @ other[3]]
    value = sum(float((x * y).sum()) for x, y in zip(mine, other, strict=True))
    return value, other


def _complex(rows: Tensor) -> Tensor:
    """Pairs of entries (i, i + size / 2) of a head."""
    first, second = rows.chunk(2)
    return torch.complex(first, second)


def _real(pairs: Tensor) -> Tensor:
    return torch.cat([pairs.real, pairs.imag])
