"""All rows that follow from measured rows: summaries, maps and claims."""

from collections.abc import Mapping, Sequence
from typing import Any

from toroids.statistics.claims import make_claims
from toroids.statistics.map import make_maps
from toroids.statistics.row import Row
from toroids.statistics.summary import summarise


def derive(rows: Sequence[Row], config: Mapping[str, Any]) -> list[Row]:
    """Computes what follows from the measurements of a study, finished or not.

    Args:
        rows: measured rows; others are ignored.
        config: the study's configuration as plain data.

    Returns:
        Rows of kind "summary", "map" and "claim"; the same for the same rows.
    """
    summary = summarise(rows, config["flatness"]["reference"])
    return [*summary, *make_maps(rows), *make_claims(rows, config)]
