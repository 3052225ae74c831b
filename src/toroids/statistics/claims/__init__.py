"""The published claims R1 to R8, tested on the rows of a study: one file per claim."""

from toroids.statistics.claims.make import make_claims

__all__ = ["make_claims"]
