"""Scores of kinship that others have published, written from their descriptions.

Each takes two networks as they are; the larger the result, the more alike they are.
"""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

import toroids as td


def raw(group: td.SymmetryGroup, a: td.Params, b: td.Params) -> float:
    """The Euclidean distance of all weights, relative to their norms, negative."""
    left, right = (torch.cat([x[n].double().flatten() for n in group.parameters]) for x in (a, b))
    return -float((left - right).norm() / (left.norm() + right.norm()))


def kernels(group: td.SymmetryGroup, a: td.Params, b: td.Params) -> float:
    """Unbiased kernel alignment of weight matrices after one assignment.

    The units that the first matrix writes (the stream, for a language model) are matched by the
    cosines of what is written, up to sign. Then of every matrix that reads or writes these units
    the kernel over them is compared, which no orthogonal matrix on the other axis changes.

    Returns:
        The mean over matrices, at most 1.
    """
    first = next(name for name in group.parameters if len(group.shapes[name]) > 1)
    space = next(s for s in group.spaces if any(leg.tensor == first for leg in s.legs))
    legs = [x for x in space.legs if len(group.shapes[x.tensor]) > 1 and x.positions is None]
    axis = next(leg.axis for leg in legs if leg.tensor == first)
    left, right = (_units(x[first], axis) for x in (a, b))
    cosines = torch.nn.functional.normalize(left) @ torch.nn.functional.normalize(right).T
    rows, places = linear_sum_assignment(-cosines.abs().numpy())
    signs = cosines[rows, places].sign()
    found = []
    for leg in legs:
        x, y = (_units(p[leg.tensor], leg.axis) for p in (a, b))
        if leg.tensor != first and len(x) == len(places) and len(y) == len(places):
            found.append(_unbiased(x, y[torch.from_numpy(places)] * signs[:, None]))
    return sum(found) / len(found)


def _units(tensor: Tensor, axis: int) -> Tensor:
    return tensor.double().movedim(axis, 0).flatten(1)


def _unbiased(x: Tensor, y: Tensor) -> float:
    """The unbiased estimate of centred kernel alignment (Song et al., 2012), linear kernels."""
    k, m = x @ x.T, y @ y.T
    return float(_product(k, m) / (_product(k, k) * _product(m, m)).abs().sqrt())


def _product(k: Tensor, m: Tensor) -> Tensor:
    n = len(k)
    k, m = k - k.diag().diag(), m - m.diag().diag()
    total = (k * m).sum() + k.sum() * m.sum() / ((n - 1) * (n - 2))
    return total - 2 / (n - 2) * (k.sum(0) @ m.sum(0))


def products(group: td.SymmetryGroup, a: td.Params, b: td.Params) -> float | None:
    """Products of attention matrices between embedded tokens, which permutations leave alone.

    The tables are E W_q' W_k E' and E W_v' W_o' E' of every layer, with E the embedding.

    Returns:
        Their mean cosine; None for networks without attention.
    """
    if "embedding.weight" not in group.shapes:
        return None
    found = []
    for name in (n for n in group.parameters if n.endswith("attention.q.weight")):
        start = name.removesuffix("q.weight")
        for one, two, turned in (("q", "k", False), ("v", "o", True)):
            tables = []
            for x in (a, b):
                left, right = (x[f"{start}{m}.weight"].double() for m in (one, two))
                product = left.T @ (right.T if turned else right)
                embedding = x["embedding.weight"].double()
                tables.append((embedding @ product @ embedding.T).flatten())
            a_table, b_table = tables
            found.append(float(a_table @ b_table / (a_table.norm() * b_table.norm())))
    return sum(found) / len(found)


PEERS = {
    "raw distance": raw,
    "weight kernels after one assignment": kernels,
    "products of attention matrices": products,
}
