"""An effect: one number behind a claim, with its interval and what the claim expects of it."""

from dataclasses import dataclass
from typing import Literal

from toroids.statistics.resampling import Interval
from toroids.statistics.row import Flag, Measured, Part, Whole

Expected = Literal["positive", "negative", "below"]
Unit = Literal["fraction", "radians", "ratio", "correlation", "networks"]
BOOTSTRAP = "node bootstrap"


@dataclass(frozen=True, kw_only=True)
class Effect(Part):
    """One number behind a claim.

    Attributes:
        name: what it is, in words.
        estimate: the number, None where there is none.
        low: lower end of its 95 % interval, None where there are too few networks.
        high: upper end.
        unit: of the three numbers.
        networks: how many networks are behind it.
        pairs: how many pairs, None for measurements of networks.
        expected: what the claim says of it.
        bound: what it should be below.
        required: whether the verdict hangs on it.
        p: two-sided p-value against no effect, None where no test is exact.
        method: where interval and p come from.
    """

    name: str
    estimate: Measured
    low: Measured
    high: Measured
    unit: Unit
    networks: Whole
    pairs: Whole | None
    expected: Expected
    bound: Measured
    required: Flag
    p: Measured
    method: str

    @property
    def supports(self) -> bool:
        """Whether the whole interval is where the claim expects it."""
        if self.low is None or self.high is None:
            return False
        if self.expected == "below":
            return self.bound is not None and self.high <= self.bound
        return self.low > 0 if self.expected == "positive" else self.high < 0

    @property
    def contradicts(self) -> bool:
        """Whether the whole interval is where the claim excludes it."""
        if self.low is None or self.high is None:
            return False
        if self.expected == "below":
            return self.bound is not None and self.low > self.bound
        return self.high < 0 if self.expected == "positive" else self.low > 0

    @property
    def expectation(self) -> str:
        """What the claim says of it, in words."""
        if self.expected == "below" and self.bound is not None:
            return f"at most {number(self.bound, self.unit)}"
        return self.expected

    def __str__(self) -> str:
        value = number(self.estimate, self.unit)
        if self.low is None or self.high is None:
            return f"{self.name} is {value}, without an interval"
        ends = f"{number(self.low, self.unit)}, {number(self.high, self.unit)}"
        return f"{self.name} is {value} [{ends}]"


def effect(
    name: str,
    interval: Interval,
    unit: Unit,
    expected: Expected,
    *,
    of_pairs: bool = False,
    bound: float | None = None,
    required: bool = True,
    p: float | None = None,
) -> Effect:
    """Makes an effect of an interval; arguments are the fields of `Effect`."""
    return Effect(
        name=name,
        estimate=interval.estimate,
        low=interval.low,
        high=interval.high,
        unit=unit,
        networks=interval.networks,
        pairs=interval.values if of_pairs else None,
        expected=expected,
        bound=bound,
        required=required,
        p=p,
        method=BOOTSTRAP if p is None else f"{BOOTSTRAP}, permutation",
    )


def number(value: float | None, unit: str) -> str:
    """Writes a number as a reader sees it: fractions in percent."""
    if value is None:
        return "undefined"
    return f"{_short(100 * value)} %" if unit == "fraction" else _short(value)


def _short(value: float) -> str:
    # two digits, and no 1e+02
    return f"{value:.0f}" if abs(value) >= 9.95 else f"{value:.2g}"
