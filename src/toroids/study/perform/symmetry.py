"""Finds and proves the symmetry group of an architecture."""

from toroids.discovery.discover import discover
from toroids.discovery.proof.verify import verify
from toroids.errors import ToroidsError
from toroids.statistics.measured import Symmetry
from toroids.study.perform.kind import Kind, Lines
from toroids.study.perform.setting import Setting

# A rounding of float64 stays below 1e-12 here; anything above this is a wrong symmetry.
DEVIATION = 1e-8
EXAMPLES = 64
COLUMNS = (
    "architecture", "binary", "parameters", "dimension", "log10_order", "deviation", "seconds"
)  # fmt: skip


def symmetry(setting: Setting) -> Symmetry:
    """Finds the group of an architecture, and proves it on training examples.

    Args:
        setting: data and architecture.

    Returns:
        The group as JSON and as a table, its size, and the proof's deviation.

    Raises:
        ToroidsError: random elements change the outputs.
    """
    model, examples = setting.model, setting.data.train[0][:EXAMPLES]
    # the last layer's weights of a binary network have no scale to remove
    group = discover(model, examples, output="values" if setting.binary else "classifier")
    deviation = verify(group, model, examples)
    if not deviation <= DEVIATION:
        raise ToroidsError(
            f"the symmetry group changes the network's outputs by {deviation:.1e}; expected at "
            f"most {DEVIATION:.0e}; use an architecture that the group describes."
        )
    return Symmetry(
        **setting.labels(),
        binary=bool(group.binary),
        deviation=deviation,
        log10_order=group.log10_order,
        dimension=group.dimension,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        table=str(group),
        group=group.to_json(),
    )


def _lines(row: Symmetry) -> Lines:
    yield row.columns(*COLUMNS)


KIND = Kind(
    "symmetry",
    "finding and verifying the symmetries",
    Symmetry,
    count=lambda asked: 1,
    plan=lambda architecture: iter((architecture.group,)),
    passes=lambda setting: None,
    tables={"symmetries": _lines},
)
