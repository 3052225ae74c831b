"""What scores mean: those of networks that were trained apart, measured and kept with the package.

A permutation of units gives no p-value for a statistic that no permutation changes, so that the
scale is empirical: pairs of small networks of several architectures, trained from starts of their
own on the same data, which makes strangers as alike as they get. `benchmarks/compare.py --scale`
measures them again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files

from scipy.stats import beta

from toroids.compare.score import Score

FILE = "strangers.json"
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Strangers:
    """Pairs of networks of one architecture that were trained apart.

    Attributes:
        name: of the architecture.
        networks: how many were trained.
        parameters: of each.
        scores: one per pair, of the networks as they are.
        beyond: one per pair, what of it is beyond chance.
    """

    name: str
    networks: int
    parameters: int
    scores: Sequence[Score]
    beyond: Sequence[Score]

    def values(self, which: str, above: bool) -> list[float]:
        """The "mean" or "peak" of every pair, as it is, or what of it is `above` chance."""
        return [getattr(score, which) for score in (self.beyond if above else self.scores)]


@dataclass(frozen=True)
class FalseAlarms:
    """How often networks trained apart reach a score.

    Attributes:
        count: the pairs that reach it.
        pairs: of how many.
        networks: that the pairs were made of.
        rate: the share.
        upper: what the rate is below with 95 % confidence, were the pairs independent (Clopper and
            Pearson, one-sided); pairs that share a network are not quite.
    """

    count: int
    pairs: int
    networks: int

    @property
    def rate(self) -> float:
        """The share of pairs that reach it."""
        return self.count / self.pairs

    @property
    def upper(self) -> float:
        """What the rate is below with 95 % confidence, were the pairs independent."""
        if self.count == self.pairs:
            return 1.0
        return float(beta.ppf(CONFIDENCE, self.count + 1, self.pairs - self.count))

    def __str__(self) -> str:
        return (
            f"{self.count} of {self.pairs} pairs trained apart score as high "
            f"(false alarms below {100 * self.upper:.1f} % with 95 % confidence)"
        )


@dataclass(frozen=True)
class Limit:
    """Where strangers end in one number, and where relatives begin.

    Attributes:
        strangers: the highest of all pairs that were trained apart.
        related: as far above it as it lies above the mean of the architecture that it is of.
    """

    strangers: float
    related: float


@dataclass(frozen=True)
class Scale:
    """The scores of strangers, and what follows from them.

    Attributes:
        made: the command that measured them.
        families: one per architecture.
    """

    made: str
    families: Sequence[Strangers]

    def limit(self, which: str, above: bool) -> Limit:
        """Where strangers end and relatives begin, in "mean" or "peak"; see `Strangers.values`."""
        highest = max((family.values(which, above) for family in self.families), key=max)
        top, mean = max(highest), sum(highest) / len(highest)
        return Limit(top, top + (top - mean))

    @cached_property
    def pairs(self) -> int:
        """How many pairs there are."""
        return sum(len(family.scores) for family in self.families)

    @cached_property
    def networks(self) -> int:
        """How many networks there are."""
        return sum(family.networks for family in self.families)

    def false_alarms(self, which: str, found: Score, above: bool) -> FalseAlarms:
        """Counts the pairs of strangers that reach a score.

        Args:
            which: "mean" or "peak".
            found: the score of a pair.
            above: whether it is what is above chance.

        Returns:
            The count, of all pairs.
        """
        level = getattr(found, which)
        values = (x for family in self.families for x in family.values(which, above))
        return FalseAlarms(sum(x >= level for x in values), self.pairs, self.networks)


@cache
def shipped() -> Scale:
    """The scale that comes with the package."""
    return parsed(files("toroids.compare").joinpath(FILE).read_text("utf-8"))


def parsed(text: str) -> Scale:
    """Reads a scale as `written` writes it."""
    data = json.loads(text)
    families = [
        Strangers(
            each["name"], each["networks"], each["parameters"],
            [Score(*row[:2]) for row in each["pairs"]], [Score(*row[2:]) for row in each["pairs"]],
        )
        for each in data["families"]
    ]  # fmt: skip
    return Scale(data["made"], families)


def written(scale: Scale) -> str:
    """Writes a scale as JSON text, one line per architecture.

    Args:
        scale: the scores of strangers.

    Returns:
        The text; a pair is a row of four, mean and peak as they are and beyond chance.
    """
    families = [
        {
            "name": f.name,
            "networks": f.networks,
            "parameters": f.parameters,
            "pairs": [
                [round(x, 6) for x in (s.mean, s.peak, b.mean, b.peak)]
                for s, b in zip(f.scores, f.beyond, strict=True)
            ],
        }
        for f in scale.families
    ]
    lines = ",\n".join(json.dumps(family) for family in families)
    return f'{{"made": {json.dumps(scale.made)}, "families": [\n{lines}\n]}}\n'
