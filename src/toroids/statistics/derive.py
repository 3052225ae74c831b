"""All rows that follow from measured rows: summaries, maps and claims."""

from collections.abc import Iterable, Sequence

from toroids.statistics.claims.evidence import Thresholds
from toroids.statistics.claims.make import make_claims
from toroids.statistics.map import make_maps
from toroids.statistics.row import Row
from toroids.statistics.summary import summarise


def derive(rows: Sequence[Row], architectures: Iterable[str], thresholds: Thresholds) -> list[Row]:
    """Computes what follows from the measurements of a study, finished or not.

    Args:
        rows: that were measured.
        architectures: of the study.
        thresholds: by which its claims are judged.

    Returns:
        Summaries, maps and claims; the same for the same rows.
    """
    claims = make_claims(rows, architectures, thresholds)
    return [*summarise(rows, thresholds.reference), *make_maps(rows), *claims]
