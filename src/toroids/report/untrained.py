"""What the top of a report says of a study whose networks did not train.

The rule is the one by which claims leave networks out: a train error above `claims.trained`. What
to change is read off the history of the training: an error that still fell at its end wants more
epochs; one that never fell below most of what guessing gives wants another learning rate; one that
stands still above the threshold wants a wider network, or a threshold that fits the data.
"""

from collections.abc import Sequence
from statistics import median

from toroids.report.study import Architecture, Study
from toroids.report.text import label
from toroids.statistics.measured import Network

LATE = 0.75  # share of the epochs after which an error may be said to fall still
FALLS = 0.9  # of the error there; below it, the training was not at its end
GUESSES = 0.8  # of the first error that was seen; above it, nothing was learned


def untrained(study: Study) -> list[str]:
    """Says of which solvers most networks did not train, and what to change.

    Args:
        study: its rows.

    Returns:
        One sentence for every architecture and solver of which at least half of the networks do
        not count, the most networks first; empty where nearly all trained.
    """
    found = []
    for architecture in study.architectures:
        for solver in dict.fromkeys(row.solver for row in architecture.networks):
            own = [row for row in architecture.networks if row.solver == solver]
            left_out = [row for row in own if not architecture.counts(row)]
            if left_out and 2 * len(left_out) >= len(own):
                found.append((len(left_out), _sentence(architecture, own, left_out)))
    return [text for _, text in sorted(found, key=lambda pair: -pair[0])]


def _sentence(
    architecture: Architecture, own: Sequence[Network], left_out: Sequence[Network]
) -> str:
    solver, error = own[0].solver, median(row.train_error or 0.0 for row in left_out)
    return (
        f"{label(architecture.name)}, {label(solver)}: {len(left_out)} of {len(own)} networks, "
        f"with a median train error of {error:.1%}; {_advice(solver, left_out)}."
    )


def _advice(solver: str, left_out: Sequence[Network]) -> str:
    """What to change, as most of their histories say."""
    if any(row.ended == "given" for row in left_out):
        return "they were trained elsewhere: train them longer, or raise claims.trained"
    if all(row.ended == "time" for row in left_out):
        return f"their time was up: raise solvers.{solver}.seconds"
    kinds = [_kind(_errors(row)) for row in left_out]
    most = max(dict.fromkeys(kinds), key=kinds.count)
    return {
        "falls": f"the error still fell at the end: raise solvers.{solver}.budget",
        "guesses": f"it hardly fell at all: change solvers.{solver}.lr",
        "stands": "it stood still: make the network wider, change "
        f"solvers.{solver}.lr, or raise claims.trained",
    }[most]


def _errors(row: Network) -> list[float | None]:
    """Train errors, epoch by epoch; those on random labels, of an adversarial start, left out."""
    return [epoch.error for epoch in row.history if epoch.phase == "train"]


def _kind(errors: Sequence[float | None]) -> str:
    """Whether a train error falls at its end, never fell, or stands still."""
    known = [error for error in errors if error is not None]
    if len(known) < 2:
        return "falls"  # one epoch is no training
    late, last = known[min(int(LATE * len(known)), len(known) - 2)], known[-1]
    if last < FALLS * late or len(known) < 4:
        return "falls"
    return "guesses" if last > GUESSES * known[0] else "stands"
