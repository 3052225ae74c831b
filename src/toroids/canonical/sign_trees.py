"""Signs of spaces that tell each other's: rows and columns of one matrix that both may flip.

No sum over a row has a sign that the flips of its columns leave, so that units cannot be looked at
one by one. Every entry says which flips change it. From the largest entry to the smallest, each is
made positive whose sign no earlier ones tell: of what is moved together, a spanning tree of the
largest entries. Sizes do not depend on signs, or on the order of units. Entries of one size, as
units with one incoming weight have on their spheres, come last, ordered by how large all is that
their units flip.
"""

import math
from collections.abc import Collection, Iterator, MutableMapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from toroids.canonical.fixing import element
from toroids.params import Params, precise, rounding_of
from toroids.symmetry.action import move_space
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Leg, Space, carried_twice
from toroids.symmetry.units import along

# Entries of all tensors that are looked at: with more, signs are left as they are.
MOST = 2**16
ALIKE = 64.0  # by how many roundings sizes may differ that are the same


@dataclass(frozen=True)
class Flip:
    """One generator of flips.

    Attributes:
        space: with the generator as its only one.
        first: the number of its first unit among those of all flips.
    """

    space: Space
    first: int

    @property
    def units(self) -> int:
        """How many it flips, each by itself."""
        return self.space.copies * self.space.size


class SignTrees:
    """All flips of some spaces that share weights with each other and with no other space.

    Attributes:
        spaces: names of the spaces.
        works: whether entries tell their signs: no matrix turns them, and they are not too many.
    """

    def __init__(self, group: SymmetryGroup, names: Collection[str]) -> None:
        """Gathers what moves the same weights as the spaces `names`, directly or not."""
        moved = {s.name: {leg.tensor for leg in _flipping(s)} for s in group.spaces}
        self.spaces, tensors = set(names), set[str]()
        while more := {x for name in self.spaces for x in moved[name]} - tensors:
            tensors |= more
            self.spaces |= {name for name, own in moved.items() if own & tensors}
        spaces = [space for space in group.spaces if space.name in self.spaces]
        out = (
            group.buffers | set(group.tied) | {x.tensor for s in spaces for x in s.legs if x.offset}
        )
        out |= {name for space in spaces for name in carried_twice(space, group.shapes)}
        self._tensors = sorted(tensors - out)
        turned = {x.tensor for s in group.spaces if s.matrix or s.of("phase") for x in s.legs}
        entries = sum(math.prod(group.shapes[name]) for name in self._tensors)
        self.works = entries <= MOST and not tensors & turned
        self._flips: list[Flip] = []
        self._number = 0
        for space, generator in ((s, g) for s in spaces for g in s.of("flip")):
            acting = replace(space, actions=frozenset({"flip"}), generators=(generator,))
            self._flips.append(Flip(acting, self._number))
            self._number += self._flips[-1].units

    def fix(self, params: MutableMapping[str, Tensor]) -> None:
        """Flips units until the entries that tell their signs are positive.

        Args:
            params: parameters with their scales fixed, of which tensors are replaced; gradients
                flow through.
        """
        solved: dict[int, int] = {}  # by its highest unit: what flips one entry
        for row in self._rows(params):
            rest = row
            while rest > 1 and (known := solved.get(rest.bit_length())):
                rest ^= known
            if rest > 1:
                solved[rest.bit_length()] = rest
        flipped = 1  # the lowest bit goes with the sign that an entry has
        for length in sorted(solved):
            if (solved[length] & flipped).bit_count() % 2:
                flipped |= 1 << (length - 1)
        for flip in self._flips:
            bits = [flipped >> (flip.first + unit + 1) & 1 for unit in range(flip.units)]
            if any(bits):
                device = params[flip.space.legs[0].tensor].device
                signs = 1.0 - 2.0 * torch.tensor(bits, dtype=torch.float64, device=device)
                move_space(flip.space, element(flip.space, signs=signs), params)

    def _rows(self, params: Params) -> Iterator[int]:
        """What flips every entry, as bits, from the largest entry; the lowest says if it is < 0."""
        read = {name: precise(params[name].detach()).cpu() for name in self._tensors}
        units = {name: [*self._units(name, tensor)] for name, tensor in read.items()}
        norms = torch.zeros(self._number, dtype=torch.float64)  # of what every unit flips
        for name, tensor in read.items():
            for own in units[name]:
                held = own >= 0
                norms.index_add_(0, own[held], tensor.flatten()[held].double().square())
        found: list[tuple[bool, float, int]] = []
        for name, tensor in read.items():
            sizes, rows = tensor.abs().flatten(), [int(x < 0) for x in tensor.flatten().tolist()]
            alike = _have_equals(sizes, ALIKE * rounding_of([params[name]]))
            total = torch.zeros(len(sizes), dtype=torch.float64)
            for own in units[name]:
                total += torch.where(own >= 0, norms[own], 0.0)
                for at, unit in enumerate(own.tolist()):
                    rows[at] ^= 1 << (unit + 1) if unit >= 0 else 0
            keys = torch.where(alike, total, sizes.double())
            entries = zip(alike.tolist(), keys.tolist(), rows, sizes.tolist(), strict=True)
            found += [(equal, -key, row) for equal, key, row, size in entries if size]
        return (row for *_, row in sorted(found, key=lambda entry: entry[:2]))

    def _units(self, name: str, tensor: Tensor) -> Iterator[Tensor]:
        """For every leg that flips a tensor the unit that changes each entry, or -1."""
        for flip in self._flips:
            units = torch.arange(flip.units) + flip.first
            for leg in _flipping(flip.space):
                if leg.tensor == name:
                    yield along(units, tensor, leg, -1).expand(tensor.shape).flatten()


def _have_equals(sizes: Tensor, rounding: float) -> Tensor:
    """Which of some numbers are the same as another of them, but for rounding."""
    ordered, order = sizes.sort()
    equal = ordered.diff() <= rounding * ordered[1:]
    either = torch.zeros(len(sizes), dtype=torch.bool)
    either[:-1] |= equal
    either[1:] |= equal
    return torch.zeros_like(either).scatter(0, order, either)


def _flipping(space: Space) -> list[Leg]:
    """The legs on which some generator flips."""
    signs = space.of("flip")
    return [leg for n, leg in enumerate(space.legs) if any(g.exponents[n] % 2 for g in signs)]
