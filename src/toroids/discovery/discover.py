"""Discovery: the symmetry group of a module that nobody described by hand.

The module is traced to graphs of tensor operators, at as many sizes of its inputs as it needs
(`explore`); every operator states what it demands of the places and exponents of its values
(`infer`, `rules`); the facts are solved for spaces (`orbits`) and for what acts on them
(`exponents`), and put together (`assemble`); random elements confirm the result (`proof`). Rules
grant, numbers confirm: what fails is never handed out.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from toroids.arguments.checked import checked
from toroids.discovery.inference.absorption.absorbed import absorbed
from toroids.discovery.inference.absorption.forgotten import forgotten
from toroids.discovery.inference.assemble import Assembly
from toroids.discovery.inference.branches import branches
from toroids.discovery.inference.closed import keeps_shifts
from toroids.discovery.inference.examine import examine
from toroids.discovery.inference.infer import stacks_in
from toroids.discovery.inference.joined import joined
from toroids.discovery.inference.notes import notes_of
from toroids.discovery.inference.state import Inference
from toroids.discovery.inference.wholes import Wholes
from toroids.discovery.matrices.rotary import rotary_pairs
from toroids.discovery.matrices.rotations import rotations
from toroids.discovery.matrices.uniform import without_uniform
from toroids.discovery.output import output_of
from toroids.discovery.proof.proof import (
    TOLERANCE,
    Atom,
    Deviation,
    Subject,
    atoms_of,
    subject_of,
    violations,
    without_atoms,
)
from toroids.discovery.proof.verify import Verification
from toroids.discovery.tracing.equal_layers import Repeats, shortened
from toroids.discovery.tracing.example import Inputs
from toroids.discovery.tracing.explore import Explored, explore
from toroids.discovery.unfolding import unfolded
from toroids.errors import ProofWarning, ToroidsError
from toroids.symmetry.condition import Condition, digest_of
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import OutputMode, Space

# Modules of at most so many entries are proven whole, which takes a few minutes, also where most of
# their equal layers were left out before.
WHOLE = 2**31


@checked
def discover(
    model: nn.Module,
    inputs: Inputs,
    output: OutputMode = "values",
    *,
    output_key: str | int | None = None,
    also: Sequence[Inputs] = (),
    verify: bool = True,
) -> SymmetryGroup:
    """Finds all permutations, rescalings, flips, shifts and mixes that leave a module's function.

    What is found holds for every input that the module accepts, for every value of every parameter
    and buffer, in every call; the group's notes say for which sizes, and its conditions on which
    buffers it depends. The module itself is not touched: neither its weights, nor its mode, nor
    what it keeps.

    Args:
        model: any module that `torch.export` can trace with these inputs.
        inputs: an example: a tensor, a tuple of positional or a dict of keyword arguments. Lengths
            that the module does not fix may be any.
        output: what the reader of the outputs cannot see: "values" (nothing), "logits" (a common
            shift) or "classifier" (a common shift and one positive scale).
        output_key: the entry of a structured output that must be preserved, as "logits"; all
            tensors of it when None (caches never count).
        also: further examples, of other sizes or kinds, for which the group must hold.
        verify: whether to prove the group on random elements before it is handed out.

    Returns:
        The group; its notes say for what it holds, and what was kept in place and why. An action
        that fails the proof, a defect of a rule, is left out with a note and a `ProofWarning`.

    Raises:
        ToroidsError: the module cannot be traced, or is no function of its inputs and weights: it
            draws random numbers, or keeps something between calls; says which.
        DataError: there are no outputs on these inputs, or they are NaN.

    Example:
        >>> import torch, toroids as td
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 5))
        >>> group = td.discover(model, torch.randn(1, 3, 5, 5))
        >>> [(space.name, space.size, sorted(space.actions)) for space in group.spaces]
        [('0', 8, ['permute', 'rescale'])]
    """
    found = find(model, inputs, output, output_key, also)
    if verify:
        return found.proven()[0]
    group = found.group
    return replace(group, notes=(*group.notes, "not verified: verify=False was asked for"))


@dataclass(frozen=True, eq=False)
class Found:
    """What the rules grant, and what they were applied to.

    Attributes:
        group: of the whole module, unverified.
        explored: the traced module, perhaps without some of its equal layers.
        inferred: the group of that.
        repeats: which layers were left out, if any.
    """

    group: SymmetryGroup
    explored: Explored
    inferred: SymmetryGroup
    repeats: Repeats | None = None

    def proven(self) -> tuple[SymmetryGroup, Verification]:
        """Proves the group on random elements.

        Where equal layers were left out, the proof is of the others; and of the whole module on the
        example, too, where that takes minutes at most.

        Returns:
            The group without what fails the proof, which is warned of; and by how much the rest
            changes the outputs.
        """
        proof = _proof(self.explored, self.inferred)
        if self.repeats is None:
            return proof.group, Verification(proof.deviation, proof.subject)
        bad = self.repeats.likes(proof.bad, atoms_of(self.group))
        failures = proof.group.notes[len(self.inferred.notes) :]
        group = without_atoms(self.group, bad)
        trials, deviation = proof.subject.trials, proof.deviation
        proven = f"proven with {self.repeats.kept} of the layers in `{self.repeats.path}`"
        if sum(map(math.prod, group.shapes.values())) <= WHOLE:
            whole = _proof(self.repeats.whole, group)
            group, trials = whole.group, (*trials, *whole.subject.trials)
            deviation = max(deviation, whole.deviation)
            proven += ", and with all of them on the example"
        notes = dict.fromkeys((*group.notes, *failures, proven))  # both proofs may say the same
        return replace(group, notes=tuple(notes)), Verification(deviation, Subject(trials))


def find(
    model: nn.Module,
    inputs: Inputs,
    output: OutputMode = "values",
    output_key: str | int | None = None,
    also: Sequence[Inputs] = (),
) -> Found:
    """Finds the group of a module; of a large one by a few of its equal layers.

    Args:
        model: as in `discover`, as all else.
        inputs: an example.
        output: what the reader of the outputs cannot see.
        output_key: the entry of a structured output that must be preserved.
        also: further examples.

    Returns:
        The group, to be proven.
    """
    repeats = shortened(model, inputs, output_key)
    if repeats is not None:
        explored = explore(repeats.short, inputs, output_key, also)
        inferred = group_of(explored, output)
        group = unfolded(inferred, repeats)
        if group is not None:
            return Found(group, explored, inferred, repeats)
    explored = explore(model, inputs, output_key, also)
    group = group_of(explored, output)
    return Found(group, explored, group)


@dataclass(frozen=True, eq=False)
class _Proof:
    """What is left of a group, what failed, and how that was found."""

    group: SymmetryGroup
    bad: tuple[Atom, ...]
    deviation: Deviation
    subject: Subject


def _proof(explored: Explored, group: SymmetryGroup) -> _Proof:
    """Proves a group on random elements; what fails is left out and warned of."""
    generator = torch.Generator().manual_seed(0)
    keep = [condition.buffer for condition in group.conditions]
    subject = subject_of(explored, generator, keep=keep)
    unseen = [f"output `{x}` was nowhere finite: nothing is proven of it" for x in subject.blind]
    group = replace(group, notes=(*group.notes, *unseen))
    failed: tuple[Atom, ...] = ()
    while True:
        bad, deviation = violations(group, subject, generator)
        if not bad:
            return _Proof(group, failed, deviation, subject)
        failed += tuple(bad)
        note = _failure(bad, deviation)
        name = type(explored.model).__name__
        warnings.warn(f"`{name}`: {note}", ProofWarning, stacklevel=4)
        rest = without_atoms(group, bad)
        if rest == group:
            raise ToroidsError(
                f"`{name}` changes {deviation.where} by {deviation.size:.1g} of its size where "
                "nothing was moved; discovery needs outputs that depend on the inputs alone."
            )
        group = replace(rest, notes=(*group.notes, note))


def _failure(bad: Sequence[Atom], deviation: Deviation) -> str:
    named = ", ".join(f"{action} of `{space}`" for space, action in bad)
    return (
        f"left out, for it failed the proof: {named}; it changed {deviation.where} by "
        f"{deviation.size:.1g} of its size, not {TOLERANCE:g}. This is a defect of a rule: please "
        "report the module"
    )


def group_of(explored: Explored, output: OutputMode = "values") -> SymmetryGroup:
    """Infers the group of a traced module, unverified.

    Args:
        explored: the traced module.
        output: what the reader of the outputs cannot see.

    Returns:
        The group that the rules grant.
    """
    programs, shapes = explored.programs, explored.main.shapes
    assembly, spaces = examine(programs)
    inference = assembly.inference
    wholes = Wholes(assembly).spaces(spaces)
    group = _assembled(explored, assembly, spaces, wholes, output)
    # where entries move on their own in each of a stack, there is more
    for stacks in stacks_in(programs, inference, assembly.orbits, group.spaces):
        assembly, spaces = examine(programs, stacks)
        if any(stack.still for stack in stacks.values()):  # layers have wholes of their own
            wholes = Wholes(assembly).spaces(spaces)
        kept = [whole for whole in wholes if keeps_shifts(whole, spaces, shapes)]
        group = max(group, _assembled(explored, assembly, spaces, kept, output), key=_extent)
    return group


def _extent(group: SymmetryGroup) -> tuple[int, float]:
    """How large a group is; matrices hold the permutations and flips inside."""
    return group.dimension, group.log10_order


def _assembled(
    explored: Explored,
    assembly: Assembly,
    spaces: list[Space],
    wholes: Sequence[Space],
    output: OutputMode,
) -> SymmetryGroup:
    programs, main, inference = explored.programs, explored.main, assembly.inference
    spaces, rotation_notes = rotations(programs, inference, assembly.orbits, spaces, assembly.cells)
    pairs = rotary_pairs(explored, spaces)
    inference.constraints.conditions.update(pairs.conditions)
    spaces = [*pairs.spaces, *without_uniform(wholes, pairs.spaces, main.shapes)]
    spaces = joined(spaces, main.shapes)
    spaces, absorbed_notes = absorbed(programs, spaces, inference.constraints.conditions)
    spaces = forgotten(programs, spaces)
    result, output_notes = output_of(programs, output)
    conditions, condition_notes = _conditions(explored, inference)
    return SymmetryGroup(
        spaces=tuple(spaces),
        shapes=main.shapes,
        output=result,
        buffers=frozenset(main.shapes) - (main.parameters - main.whole),
        notes=(
            *explored.notes,
            *output_notes,
            *condition_notes,
            *rotation_notes,
            *absorbed_notes,
            *notes_of(assembly, spaces),
            *branches(main),
            *pairs.notes,
        ),
        tied={name: names[0] for names in main.aliases.values() for name in names[1:]},
        binary=frozenset(
            alias
            for name in inference.constraints.binary
            for alias in main.aliases.get(name, (name,))
        ),
        conditions=conditions,
    )


def _conditions(
    explored: Explored, inference: Inference
) -> tuple[tuple[Condition, ...], tuple[str, ...]]:
    """The buffers whose numbers were used, and what to say of those in no state dict."""
    names = sorted(inference.constraints.conditions)
    values = {s.name: s.value for p in explored.programs for s in p.sources.values()}
    kept = tuple(Condition(n, digest_of(values[n])) for n in names if n in explored.main.shapes)
    outside = [name for name in names if name not in explored.main.shapes]
    notes = [f"holds as long as the buffer `{c.buffer}` holds the same numbers" for c in kept]
    notes += [
        f"holds as long as `{name}`, which no state dict holds, holds the same numbers"
        for name in outside
    ]
    return kept, tuple(notes)
