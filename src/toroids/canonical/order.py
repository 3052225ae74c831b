"""The order of steps: each comes after all others that move what it looks at."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from toroids.canonical.steps import Scale, Sign
from toroids.symmetry.space import Leg, overlap

S = TypeVar("S", Scale, Sign)


def ordered(steps: Sequence[S], shapes: Mapping[str, Sequence[int]]) -> list[list[S]]:
    """Sorts steps so that each comes after all others that move what it looks at."""
    looks: dict[str, list[tuple[int, Leg]]] = {}
    for number, step in enumerate(steps):
        for leg in step.legs:
            looks.setdefault(leg.tensor, []).append((number, leg))
    edges = {
        (mover, looker)
        for mover, step in enumerate(steps)
        for moved in step.moves
        for looker, leg in looks.get(moved.tensor, ())
        if looker != mover and overlap(moved, leg, shapes)
    }
    return [[steps[i] for i in circle] for circle in _circles(len(steps), edges)]


def _circles(count: int, edges: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Strongly connected parts of a graph, sources first, otherwise in order."""
    edges = list(edges)
    heads = ([a for a, _ in edges], [b for _, b in edges])
    graph = coo_matrix((np.ones(len(edges)), heads), shape=(count, count))
    _, part = connected_components(graph, directed=True, connection="strong")
    members: dict[int, list[int]] = {}
    for step in range(count):
        members.setdefault(int(part[step]), []).append(step)
    waits = {p: {int(part[a]) for a, b in edges if part[b] == p} - {p} for p in members}
    order: list[list[int]] = []
    done: set[int] = set()
    while len(order) < len(members):
        ready = next(p for p in members if p not in done and waits[p] <= done)
        done.add(ready)
        order.append(members[ready])
    return order
