"""Degenerate units: those whose scale cannot be fixed because there is nothing to scale."""

from toroids.canonical.spheres import hidden_spheres, output_sphere
from toroids.params import Params
from toroids.symmetry.group import SymmetryGroup


def degenerate_units(group: SymmetryGroup, params: Params, bias: bool) -> tuple[str, ...]:
    """Describes the hidden units, and the output, that have zero norm.

    Args:
        group: the architecture's group.
        params: canonical parameters.
        bias: whether the bias is a coordinate of the sphere.

    Returns:
        One sentence per space that has such units.
    """
    notes = []
    for family in hidden_spheres(group, bias):
        zero = (family.norms(params) == 0).nonzero().flatten().tolist()
        if zero:
            notes.append(
                f"space `{family.name}`: units {zero} have zero norm and are left as they are"
            )
    output = output_sphere(group)
    if output is not None and bool(output.norms(params) == 0):
        notes.append("output: all classes get the same logit; its scale is left as it is")
    return tuple(notes)
