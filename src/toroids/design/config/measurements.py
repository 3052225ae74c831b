"""What a study measures: `[alignment]`, `[flatness]`, `[profiles]`, `[bends]`, `[sections]`, ..."""

from typing import Annotated, TypeAlias

import pydantic
from pydantic import Field, ValidationInfo

from toroids.align.alignment import METHODS, METHODS_ON_DATA
from toroids.design.config.fields import Limit, Table, one_of
from toroids.landscape.flatness import SIGMAS
from toroids.settings import Count, Fraction, NonNegative

Drawn: TypeAlias = Annotated[int, Field(ge=0, le=1_000_000)]  # how many are drawn, if any
ALIGNMENTS = tuple(name for name in METHODS if name not in METHODS_ON_DATA)


class AlignmentConfig(Table):
    """How two networks are aligned: by a method of `align` that needs no data."""

    method: Annotated[str, one_of(ALIGNMENTS)] = "descent"


class FlatnessConfig(Table):
    """Local energy: `samples` draws at each of `sigmas`; headlines quote it at `reference`.

    Of binary networks `sigmas` are the fractions of the weights that are flipped.
    """

    sigmas: Annotated[tuple[NonNegative, ...], Field(min_length=1)] = SIGMAS
    samples: Annotated[int, Field(ge=2, le=1_000_000)] = 32
    reference: NonNegative = 0.5

    @pydantic.field_validator("reference")
    @classmethod
    def _measured(cls, reference: float, info: ValidationInfo) -> float:
        if reference not in info.data.get("sigmas", (reference,)):
            raise ValueError(f"reference {reference} is not one of the sigmas; choose one")
        return reference


class ProfilesConfig(Table):
    """Barriers: `points` per path, for `within` pairs of every solver and `across` of every two.

    Between binary networks there are `orders` of flips, random ones and greedy ones of `blocks`.
    `parts` pairs of real networks within every solver are also aligned within parts of their group:
    by permutations only, with scales, with matrices of heads; and within all of it by the loss.
    """

    points: Annotated[int, Field(ge=2, le=100_000)] = 25
    within: Limit = "all"
    across: Limit = 6
    orders: Count = 4
    blocks: Annotated[int, Field(ge=2, le=1_000_000)] = 100
    parts: Drawn = 0


class BendsConfig(Table):
    """Bends are trained by `steps` mini-batches for `count` pairs within every solver."""

    count: Drawn = 0
    steps: Count = 2000


class SectionsConfig(Table):
    """Sections of `resolution` points a side through `count` triples within every solver.

    And along the trainings of the first `trajectories` seeds of every solver, which are done again
    for it: the plane of the principal axes of at most `checkpoints` of their epochs.
    """

    count: Drawn = 0
    resolution: Annotated[int, Field(ge=2, le=10_000)] = 25
    trajectories: Drawn = 0
    checkpoints: Annotated[int, Field(ge=3, le=1_000)] = 20


class ClaimsConfig(Table):
    """What claims are judged by, as differences of the train error.

    A barrier of at most `tolerance` counts as none, one of at most `small` as small. A network
    whose train error exceeds `trained` is no minimum, and is left out.
    """

    tolerance: Fraction = 0.01
    small: Fraction = 0.02
    trained: Fraction = 0.05
