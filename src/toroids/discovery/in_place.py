"""Parameters that no space touches, and the operators that keep them where they are."""

from collections.abc import Collection, Sequence

import numpy as np

from toroids.discovery.constraints import Constraints, Ids
from toroids.discovery.infer import Inference
from toroids.discovery.orbits import Orbits
from toroids.discovery.program import Program

# What these read or write stays in place wherever it meets an input, an output or a position:
# nobody expects it to move.
EXPECTED = (
    "linear", "matmul", "mm", "bmm", "mv", "dot", "addmm", "addmv", "baddbmm", "einsum", "bilinear",
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "convolution", "embedding", "embedding_bag", "lstm", "gru", "rnn_tanh", "rnn_relu",
)  # fmt: skip
SHOWN = 3


def kept_in_place(
    program: Program, inference: Inference, found: Orbits, known: Collection[str]
) -> list[str]:
    """Names what keeps parameters that no space touches in place, beyond what is expected.

    Args:
        program: the traced module.
        inference: its facts.
        found: the solved facts.
        known: reasons that are given already.

    Returns:
        Notes, each with the number of entries that it costs.
    """
    causes = _causes(inference.constraints, found)
    lost: dict[str, dict[str, int]] = {}
    for name, value in inference.parameters.items():
        places = [b.places.ravel() for b in value.bundles if b.places.size > 1]
        if name not in program.parameters or not places:
            continue
        units = found.unit[np.concatenate(places)]
        if (found.cell[units] >= 0).any():
            continue
        size = int(np.prod(value.shape, dtype=np.int64))
        for cause in {causes.get(int(unit), "") for unit in units}:
            if cause and not _expected(cause) and not any(k.startswith(cause) for k in known):
                lost.setdefault(cause, {})[name] = size
    return [
        f"in place: {cause} meets what does not move; this keeps {_named(list(sizes))} "
        f"({sum(sizes.values())} parameters) where they are"
        for cause, sizes in lost.items()
    ]


def _causes(c: Constraints, found: Orbits) -> dict[int, str]:
    """For every unit that does not move, the first operator that says so."""
    causes: dict[int, str] = {}
    for (a, b), cause in zip(c.sames, c.stated_by, strict=True):
        for moving, still in ((a, b), (b, a)):
            pinned: Ids = moving[(moving >= 0) & (still < 0)]
            for unit in np.unique(found.unit[pinned]).tolist():
                causes.setdefault(unit, cause)
    return causes


def _expected(cause: str) -> bool:
    name = cause.partition("`")[2].partition("`")[0].removeprefix("aten::")
    return not cause.startswith("operator") or name in EXPECTED


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"`{name}`" for name in names[:SHOWN]) + more
