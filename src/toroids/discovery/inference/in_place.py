"""Parameters that no space touches, and the operators that keep them where they are."""

from collections.abc import Collection, Sequence

import numpy as np

from toroids.discovery.axes import Bundle
from toroids.discovery.axes.constraints import Constraints, Ids
from toroids.discovery.inference.orbits import Orbits
from toroids.discovery.inference.run import BY_CONSTANTS
from toroids.discovery.inference.state import Inference
from toroids.discovery.tracing.program import Program

# What these read or write stays in place wherever it meets an input, an output or a position:
# nobody expects it to move.
EXPECTED = (
    "linear", "matmul", "mm", "bmm", "mv", "dot", "addmm", "addmv", "baddbmm", "einsum", "bilinear",
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "convolution", "embedding", "embedding_bag", "lstm", "gru", "rnn_tanh", "rnn_relu",
)  # fmt: skip
SHOWN = 3


def kept_in_place(
    program: Program,
    inference: Inference,
    found: Orbits,
    known: Collection[str],
    turned: Collection[tuple[str, int]],
) -> list[str]:
    """Names what keeps parameters that no space touches in place, beyond what is expected.

    Args:
        program: the traced module.
        inference: its facts.
        found: the solved facts.
        known: reasons that are given already.
        turned: parameters and their axes along which phases turn pairs of entries.

    Returns:
        Notes, each with the number of entries that it costs.
    """
    c = inference.constraints
    causes, alone = _causes(c, found), np.bincount(found.unit, minlength=len(found.cell)) == 1
    lost: dict[tuple[str, bool], dict[str, int]] = {}
    for name, value in inference.parameters.items():
        if name not in program.parameters:
            continue
        size = int(np.prod(value.shape, dtype=np.int64))
        kept = {b.dims: _kept(b, found) for b in value.bundles if b.places.size > 1}
        whole = bool(kept) and all(len(units) for units in kept.values())
        still = {d: u for d, u in kept.items() if (name, value.axis_of(d[0])) not in turned}
        whole = whole and still.keys() == kept.keys()
        for dims, units in still.items():
            numbers = np.unique(causes[units])
            for cause, forced in dict.fromkeys(
                (c.stated_by[k], c.forced[k]) for k in numbers[numbers >= 0]
            ):
                # a place of its own, as of a kernel, moves with nothing: nobody misses it
                met = forced and not alone[units].all()
                if not cause.startswith("operator") or (is_expected(cause) and not met):
                    continue
                if not any(k.startswith(cause) for k in known):
                    part = name if whole else f"axis {value.axis_of(dims[0])} of {name}"
                    scaled = bool((found.cell[units] >= 0).any())
                    lost.setdefault((cause, scaled), {})[part] = size
    return [
        f"in place: {cause} meets what does not move; this keeps {_named(list(sizes))} "
        f"({sum(sizes.values())} parameters) where they are" + ", but for scales or signs" * scaled
        for (cause, scaled), sizes in lost.items()
    ]


def _kept(bundle: Bundle, found: Orbits) -> Ids:
    """The units of some axes of a parameter; none where any of them moves."""
    units = np.unique(found.unit[bundle.places.ravel()])
    moving = units[(found.cell[units] >= 0) & ~np.isin(found.cell[units], [*found.still])]
    return units[:0] if len(moving) else units


def _causes(c: Constraints, found: Orbits) -> Ids:
    """For every unit the number of a statement that keeps it, a forced one first; -1 for none."""
    causes, by_force = np.full(len(found.cell), -1), np.zeros(len(found.cell), bool)
    for number, ((a, b), forced) in enumerate(zip(c.sames, c.forced, strict=True)):
        for moving, still in ((a, b), (b, a)):
            units = found.unit[moving[(moving >= 0) & (still < 0)]]
            new = units[(causes[units] < 0) | (forced & ~by_force[units])]
            causes[new], by_force[new] = number, forced
    return causes


def is_expected(cause: str) -> bool:
    """Whether nobody wonders that what an operator reads or writes stays in place."""
    if BY_CONSTANTS in cause:
        return False
    return cause.partition("`")[2].partition("`")[0].removeprefix("aten::") in EXPECTED


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(_quoted(name) for name in names[:SHOWN]) + more


def _quoted(part: str) -> str:
    axis, of, name = part.rpartition(" of ")
    return f"{axis}{of}`{name}`"
