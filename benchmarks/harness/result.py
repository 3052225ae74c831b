"""What a benchmark yields: one `Result` per row of the table."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

LIMIT = "limit"


@dataclass(frozen=True)
class Result:
    """What was measured, and what was measured beside it in the same run.

    Attributes:
        name: what is measured, with its size.
        unit: of both figures.
        ours: one value per run, or per network, pair or set, as `note` says; none if it could not
            be measured.
        peer_name: what stands beside it: a package, the least possible work, or a limit.
        peer: its values; none if there is no such thing, or where `absent` says why.
        absent: why a peer that has a name has no values.
        goal: what the ratio ours / peer should be at most, or at least.
        at_least: the ratio should be at least `goal`.
        note: what else the reader must know.
    """

    name: str
    unit: str
    ours: Sequence[float]
    peer_name: str = ""
    peer: Sequence[float] = ()
    absent: str = ""
    goal: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The ratio of the medians, ours to the peer's; None where there is none."""
        if not self.ours or not self.peer or statistics.median(self.peer) == 0:
            return None
        ratio = statistics.median(self.ours) / statistics.median(self.peer)
        return ratio if math.isfinite(ratio) else None

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without a goal or a ratio."""
        if self.goal is None or self.ratio is None:
            return None
        return self.ratio >= self.goal if self.at_least else self.ratio <= self.goal


@dataclass(frozen=True)
class Outcome:
    """What one benchmark left.

    Attributes:
        benchmark: the name of its file, without the ending.
        results: its rows, those before a failure included.
        failure: why it ended early, in one sentence; empty if it did not.
        seconds: how long it took.
    """

    benchmark: str
    results: Sequence[Result]
    failure: str = ""
    seconds: float = 0.0


def why_absent(error: Exception) -> str:
    """Says in a row why a peer was not measured."""
    if isinstance(error, ImportError):
        return "not installed" if error.name is None else f"{error.name} is not installed"
    return described(error)


def described(error: BaseException) -> str:
    """An error in one line."""
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0]}"
