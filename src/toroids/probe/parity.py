"""Linear algebra over GF(2) on a handful of rows: which products of signs give which."""

from collections.abc import Sequence

Row = Sequence[int]


class Span:
    """What rows generate; every row is a tuple of zeros and ones.

    Example:
        >>> span = Span()
        >>> span.add((1, 1, 0)), span.add((0, 1, 1)), span.add((1, 0, 1))
        (True, True, False)
        >>> span.combination((1, 0, 1))
        (1, 1, 0)
    """

    def __init__(self) -> None:
        """Starts with nothing."""
        self._count = 0
        self._reduced: list[tuple[int, int]] = []  # (row, the rows added to get it), as bits

    def add(self, row: Row) -> bool:
        """Takes a row; returns whether it is independent of those before."""
        rest, used = self._reduce(_bits(row))
        used |= 1 << self._count
        self._count += 1
        if rest:
            self._reduced.append((rest, used))
        return rest != 0

    def combination(self, row: Row) -> tuple[int, ...] | None:
        """Which of the rows taken so far add up to `row`; None where none do."""
        rest, used = self._reduce(_bits(row))
        return None if rest else tuple(used >> i & 1 for i in range(self._count))

    def _reduce(self, row: int) -> tuple[int, int]:
        used = 0
        for known, why in self._reduced:
            if row & (known & -known):  # the lowest bit of a reduced row is in no later one
                row, used = row ^ known, used ^ why
        return row, used


def _bits(row: Row) -> int:
    return sum(1 << position for position, value in enumerate(row) if value % 2)
