"""Discovery: the symmetry group of a module that nobody described by hand.

The module is traced to a graph of tensor operators (`trace`); every operator states what it demands
of the places and exponents of its values (`infer`, `rules`); the facts are solved for spaces
(`orbits`) and for what acts on them (`exponents`), and put together (`assemble`); random elements
confirm the result (`verify`). Rules grant, numbers confirm: a group that fails is never handed out.
"""

from dataclasses import replace

from torch import nn

from toroids.discovery.assemble import Assembly
from toroids.discovery.infer import infer
from toroids.discovery.orbits import orbits
from toroids.discovery.output import output_of
from toroids.discovery.program import Program
from toroids.discovery.trace import Inputs, trace
from toroids.discovery.verify import NARROW_TOLERANCE, TOLERANCE, is_wide, violations
from toroids.errors import ToroidsError
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import OutputMode


def discover(
    model: nn.Module,
    inputs: Inputs,
    output: OutputMode = "values",
    *,
    output_key: str | int | None = None,
    verify: bool = True,
    pin_violations: bool = False,
) -> SymmetryGroup:
    """Finds all permutations, rescalings, flips, shifts and mixes that leave a module's function.

    The module itself is not touched: neither its weights, nor its mode, nor its device.

    Args:
        model: any module that `torch.export` can trace with these inputs.
        inputs: an example: a tensor, a tuple of positional or a dict of keyword arguments.
        output: what the reader of the outputs cannot see: "values" (nothing), "logits" (a common
            shift) or "classifier" (a common shift and one positive scale).
        output_key: the entry of a structured output that must be preserved, as "logits"; all
            tensors of it when None (caches never count).
        verify: whether to prove the group on random elements before it is handed out.
        pin_violations: whether a space that fails the proof is left out with a note, instead of
            raising.

    Returns:
        The group; its notes say what was kept in place and why.

    Raises:
        ToroidsError: the module cannot be traced, or a space failed the proof (a defect of a rule;
            the space is named).
        DataError: there are no outputs on these inputs, or they are NaN.

    Example:
        >>> import torch, toroids as td
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 5))
        >>> group = td.discover(model, torch.randn(1, 3, 5, 5))
        >>> [(space.name, space.size, sorted(space.actions)) for space in group.spaces]
        [('0', 8, ['permute', 'rescale'])]
    """
    program = trace(model, inputs, output_key)
    group = group_of(program, output)
    if not verify:
        return replace(group, notes=(*group.notes, "not verified: verify=False was asked for"))
    if not is_wide(model):
        note = (
            f"proven to {NARROW_TOLERANCE:g} in the network's own precision: float64 does not fit"
        )
        group = replace(group, notes=(*group.notes, note))
    while bad := violations(group, program, model):
        names = ", ".join(f"`{name}`" for name in bad)
        if not pin_violations:
            raise ToroidsError(
                f"the spaces {names} failed the proof that they preserve the outputs of "
                f"`{type(model).__name__}` to {TOLERANCE:g}; report the module, or pass "
                "pin_violations=True to leave them out."
            )
        kept = tuple(space for space in group.spaces if space.name not in bad)
        note = f"left out: {names} failed the proof; report the module"
        group = replace(group, spaces=kept, notes=(*group.notes, note))
    return group


def group_of(program: Program, output: OutputMode = "values") -> SymmetryGroup:
    """Infers the group of a traced module, unverified.

    Args:
        program: the traced module.
        output: what the reader of the outputs cannot see.

    Returns:
        The group that the rules grant.
    """
    inference = infer(program)
    found = orbits(inference.constraints)
    assembly = Assembly(program, inference, found)
    spaces = assembly.spaces()
    result, output_notes = output_of(program, output)
    return SymmetryGroup(
        spaces=tuple(spaces),
        shapes=program.shapes,
        output=result,
        buffers=frozenset(program.shapes) - program.parameters,
        notes=(*program.notes, *output_notes, *assembly.notes()),
        tied={name: names[0] for names in program.aliases.values() for name in names[1:]},
        binary=frozenset(
            alias
            for name in inference.constraints.binary
            for alias in program.aliases.get(name, (name,))
        ),
    )
