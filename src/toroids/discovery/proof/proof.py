"""Numerical proof that the elements of a group leave a module's function as it is.

The module is run as traced graphs in which casts to narrow types are rewritten to float64: at every
size of the inputs that was looked at, on weights, buffers and inputs that are drawn, so that zero
biases, unit gains and masks of ones hide nothing. Every entry of every output counts on its own.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TypeAlias

import torch
from torch import Tensor

from toroids.computed import Computed
from toroids.discovery.tracing.draws import STREAMED, drawn_inputs, drawn_params, entries
from toroids.discovery.tracing.example import shown_sizes
from toroids.discovery.tracing.execution import Run, side_by_side
from toroids.discovery.tracing.explore import Explored
from toroids.discovery.tracing.holds import Point
from toroids.discovery.tracing.program import Program
from toroids.discovery.tracing.weightless import anew
from toroids.errors import DataError
from toroids.params import Params
from toroids.symmetry.choice import identity_choice, random_choice
from toroids.symmetry.element import PARTS, Element, SpaceElement
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.matrices import random_matrix, sparse_rotation
from toroids.symmetry.space import Action, Space

# Rounding in float64 leaves about 1e-14; a wrong symmetry of a trained network shows at 1e-4.
TOLERANCE = 1e-8
# Of streams wider than this a few units turn together in place of all, which is as telling.
WIDE = 512
# What rounds to zero is another number after any step of rounding. Entries that change when all
# weights change by so many of those are blurred; a moved network is that far off, times the digits
# that its scales cost.
STEPS, BLUR, NEAR = 4, 1e3, 4
# Sizes of entries that lie so far apart are judged apart: what a mask fills hides nothing else.
GAP = 1e4
SAMPLE = 100_000

Atom: TypeAlias = tuple[str, Action]  # one action of one space


@dataclass(frozen=True, eq=False)
class Case:
    """One place where the outputs must not change.

    Attributes:
        name: the sizes of the inputs, as text.
        run_on: begins their computation with parameters of these names (`side_by_side`).
        named: what the outputs are called.
        before: the outputs of the weights that were drawn.
    """

    name: str
    run_on: Callable[[Collection[str]], Run]
    named: tuple[str, ...]
    before: tuple[Tensor, ...] = ()


@dataclass(frozen=True, eq=False)
class Trial:
    """Weights and buffers, and the cases at which they are looked at.

    Attributes:
        params: what was drawn.
        cases: where the outputs must not change.
        parameters: names of the weights among them.
    """

    params: Params
    cases: tuple[Case, ...]
    parameters: frozenset[str]

    def moved(self, group: SymmetryGroup, element: Element) -> Params:
        """The weights and buffers moved; those of a large network as each is asked for."""
        if isinstance(self.params, Computed):
            return group.moved(element, self.params)
        return group.apply(element, self.params)

    @cached_property
    def blurs(self) -> list[list[Tensor]]:
        """By how much rounding may change every entry of the outputs of every case."""
        near = [Computed(self.params, partial(self._beside, number)) for number in range(NEAR)]
        found = [outputs_of(self.cases, params) for params in near]
        return [
            [
                BLUR * torch.stack([(a - b).abs().nan_to_num(0.0) for a in others]).amax(dim=0)
                for b, *others in zip(case.before, *nearby, strict=True)
            ]
            for case, *nearby in zip(self.cases, *found, strict=True)
        ]

    def _beside(self, number: int, name: str) -> Tensor:
        """A tensor near that of the trial, the same one whenever it is asked for."""
        x = self.params[name]
        if name not in self.parameters or not x.is_floating_point():
            return x
        generator = torch.Generator().manual_seed(len(name) + 1000 * number)
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        return x * (1 + STEPS * torch.finfo(x.dtype).eps * noise).to(x)


@dataclass(frozen=True, eq=False)
class Subject:
    """A module as a function of its parameters.

    Attributes:
        trials: drawn weights and inputs.
        logits: the position of the output that a classifier's reader sees.
    """

    trials: tuple[Trial, ...]
    logits: int = 0

    def __post_init__(self) -> None:
        """Raises a DataError where there is nothing to compare."""
        shown = {name for name, output in self._outputs if output.numel()}
        if shown and shown == set(self.blind):
            raise DataError(
                "the outputs on these inputs are NaN or infinite, so that nothing can be proven; "
                "pass finite inputs and weights."
            )

    @property
    def _outputs(self) -> Iterator[tuple[str, Tensor]]:
        for case in (case for trial in self.trials for case in trial.cases):
            yield from zip(case.named, case.before, strict=True)

    @cached_property
    def blind(self) -> tuple[str, ...]:
        """Names of outputs without an entry that is finite anywhere, of which nothing is proven."""
        finite: dict[str, bool] = {}
        for name, output in self._outputs:
            if output.numel():
                finite[name] = finite.get(name, False) or bool(torch.isfinite(output).any())
        return tuple(name for name, known in finite.items() if not known)


@dataclass(frozen=True, order=True)
class Deviation:
    """The largest deviation of an entry of an output, and where it is.

    Attributes:
        size: relative to the entry, or to others of its order of magnitude where it is small.
        where: the sizes of the inputs, the output and the entry, as text.
    """

    size: float = 0.0
    where: str = field(default="nowhere", compare=False)


def subject_of(
    explored: Explored,
    generator: torch.Generator,
    trials: int | None = None,
    keep: Collection[str] = (),
) -> Subject:
    """Draws weights, buffers and inputs for a proof.

    Args:
        explored: the module, its programs and where they were looked at.
        generator: on the CPU.
        trials: how many times to draw; by default twice, once where the network is large.
        keep: buffers that keep their values, on which the group depends.

    Returns:
        The subject.
    """
    model = explored.model
    state = anew(model, {name: tensor.detach() for name, tensor in model.state_dict().items()})
    size = entries(state, explored.main.aliases)
    if trials is None:
        # a second draw of a large network would take as long and show no more
        trials = 1 if size > STREAMED else 2
    made: list[Trial] = []
    for number in range(trials):
        # every point is looked at in one of the draws
        points = explored.points[number::trials] or explored.points[:1]
        made.append(_trial(points, explored.main, state, generator, keep))
    names = [name for name in explored.main.outputs if name is not None]
    logits = names.index("logits") if "logits" in names else 0
    return Subject(tuple(made), logits)


def _trial(
    points: Sequence[Point],
    main: Program,
    state: Params,
    generator: torch.Generator,
    keep: Collection[str],
) -> Trial:
    """Draws weights and buffers; fewer of these where that gives NaN, or does not fit."""
    buffers = [name for name in state if name not in main.parameters]
    masks = [name for name in buffers if not state[name].is_floating_point()]
    for kept in (keep, {*keep, *masks}, {*keep, *buffers}):
        params = drawn_params(state, main.aliases, main.parameters, generator, keep=kept)
        try:
            cases = _cases(points, params, generator)
        except DataError:
            if kept == {*keep, *buffers}:
                raise
            continue
        outputs = [output for case in cases for output in case.before]
        if not buffers or not any(bool(x.isnan().any()) for x in outputs):
            break
    return Trial(params, cases, frozenset(main.parameters))


def _cases(points: Sequence[Point], params: Params, generator: torch.Generator) -> tuple[Case, ...]:
    """Points at inputs that are drawn, or at their own where the drawn ones give NaN."""
    inputs: list[Sequence[Tensor]] = [drawn_inputs(p.example.tensors, generator) for p in points]
    cases = [_case(point, given) for point, given in zip(points, inputs, strict=True)]
    try:
        before = outputs_of(cases, params)
    except DataError:  # as at a number that is no row of a table
        if len(points) > 1:
            return tuple(c for point in points for c in _cases([point], params, generator))
        before = [[torch.tensor(math.nan)]]
    bad = [k for k, found in enumerate(before) if any(bool(x.isnan().any()) for x in found)]
    for k in bad:
        cases[k] = _case(points[k], points[k].example.tensors)
    for k, found in zip(bad, outputs_of([cases[k] for k in bad], params), strict=True):
        before[k] = found
    return tuple(replace(c, before=tuple(x)) for c, x in zip(cases, before, strict=True))


def _case(point: Point, inputs: Sequence[Tensor]) -> Case:
    program = point.program
    names = tuple(name for name in program.outputs if name is not None)
    return Case(shown_sizes(inputs), partial(program.run_on, inputs=inputs), names)


def outputs_of(cases: Sequence[Case], params: Params) -> list[list[Tensor]]:
    """What a module gives in some cases; every weight is asked for once."""
    with torch.no_grad():
        return side_by_side([case.run_on(params) for case in cases], params)


def measure(group: SymmetryGroup, subject: Subject, generator: torch.Generator) -> Deviation:
    """Finds the worst deviation that a random element of `group` makes in every trial.

    Args:
        group: the group.
        subject: the module.
        generator: draws the elements.

    Returns:
        The deviation.

    """
    worst = Deviation()
    for trial in subject.trials:
        moved = trial.moved(group, restless(group, generator))
        worst = max(worst, _deviation_of(trial, moved))
    if group.output.mode != "values":
        worst = max(worst, _output_deviation(subject, group))
    return worst


def _deviation_of(trial: Trial, moved: Params) -> Deviation:
    worst = Deviation()
    for number, (case, found) in enumerate(
        zip(trial.cases, outputs_of(trial.cases, moved), strict=True)
    ):
        for k, (name, a, b) in enumerate(zip(case.named, found, case.before, strict=True)):
            size, entry = deviation(a, b)
            if TOLERANCE < size < torch.inf:
                size, entry = deviation(a, b, trial.blurs[number][k])
            where = f"`{name}`{list(entry)} on inputs of sizes {case.name}"
            worst = max(worst, Deviation(size, where))
    return worst


def deviation(
    found: Tensor, expected: Tensor, blur: Tensor | None = None
) -> tuple[float, tuple[int, ...]]:
    """The largest deviation of an entry, relative to its own size or that of others like it.

    Args:
        found: an output.
        expected: what it should be; NaN and infinities must stand at the same places.
        blur: by how much every entry may be off.

    Returns:
        The deviation and the entry.
    """
    if expected.numel() == 0:
        return 0.0, ()
    same = (found == expected) | (found.isnan() & expected.isnan())
    finite = torch.isfinite(expected)
    shares = (found - expected).abs() / _scales(expected, finite)
    if blur is not None:
        same |= _blurred(found, expected, blur)
    shares = torch.where(same, 0.0, torch.where(finite, shares, torch.inf)).nan_to_num(torch.inf)
    position = int(shares.argmax())
    entry = torch.unravel_index(torch.tensor(position), shares.shape)
    return float(shares.reshape(-1)[position]), tuple(int(i) for i in entry)


def _blurred(found: Tensor, expected: Tensor, blur: Tensor) -> Tensor:
    """Which entries differ by rounding; of those that are nothing else, the largest tells."""
    nothing = torch.where(expected.abs() <= blur, blur, 0.0).max()
    beside = torch.where(expected.abs() <= nothing, blur.clamp_min(nothing), blur)
    return (found - expected).abs() <= beside


def _scales(expected: Tensor, finite: Tensor) -> Tensor:
    """For every entry its size, or the median of entries of its order where it is smaller."""
    sizes = torch.where(finite, expected.abs(), 0.0)
    flat = sizes.reshape(-1)
    some = flat[:: max(len(flat) // SAMPLE, 1)]
    levels = torch.unique(some[some > 0])  # what a mask fills counts once
    if not len(levels):
        return torch.ones_like(sizes)
    cuts = (torch.nonzero(levels[1:] > GAP * levels[:-1]) + 1).reshape(-1).tolist()
    parts = [part for part in torch.tensor_split(levels, cuts) if len(part)]
    floor = sizes
    lower = torch.tensor(0.0, dtype=sizes.dtype)
    few = max(len(levels) // 100, 2)
    for part in parts:
        # a few small entries are zero but for rounding: they belong to the next larger ones
        if len(part) <= few and part is not parts[-1]:
            continue
        inside = (sizes >= lower) & (sizes <= part[-1])
        floor = torch.where(inside, floor.clamp_min(float(part.median())), floor)
        lower = part[-1]
    return floor


def restless(group: SymmetryGroup, generator: torch.Generator) -> Element:
    """A random element whose permutations are cycles of all units, so that none stays in place."""
    choices = {}
    for space in group.spaces:
        large = bool(space.of("rotate")) and space.size > WIDE
        choice = random_choice(
            space, generator, matrices=sparse_rotation if large else random_matrix
        )
        if "permute" in space.actions:
            order = choice.permutation
            cycle = torch.empty_like(order).scatter_(1, order, order.roll(1, dims=1))
            choice = replace(choice, permutation=cycle)
        choices[space.name] = choice
    return Element(choices)


def atoms_of(group: SymmetryGroup) -> list[Atom]:
    """All actions of all spaces."""
    return [(space.name, action) for space in group.spaces for action in sorted(space.actions)]


def _only(space: Space, choice: SpaceElement, actions: Collection[Action]) -> SpaceElement:
    """A choice of which only some actions act."""
    rest = identity_choice(space)
    others = {
        PARTS[action]: getattr(rest, PARTS[action])
        for action in space.actions
        if action not in actions
    }
    return replace(choice, **others)


def violations(
    group: SymmetryGroup, subject: Subject, generator: torch.Generator
) -> tuple[list[Atom], Deviation]:
    """Names the actions that change the outputs, found by bisection; none for a sound group.

    Args:
        group: the group to prove.
        subject: the module.
        generator: draws elements.

    Returns:
        Actions of spaces, ("output", ...) among them where what is said of the outputs does not
        hold; and the worst deviation.
    """
    worst = measure(group, subject, generator)
    if worst.size <= TOLERANCE:
        return [], worst

    def changes(atoms: Sequence[Atom]) -> bool:
        for trial in subject.trials:
            drawn = restless(group, generator).choices
            element = Element(
                {
                    space.name: _only(
                        space, drawn[space.name], [a for name, a in atoms if name == space.name]
                    )
                    for space in group.spaces
                }
            )
            moved = trial.moved(group, element)
            if not _deviation_of(trial, moved).size <= TOLERANCE:
                return True
        return False

    def suspects(atoms: list[Atom]) -> list[Atom]:
        if not atoms or not changes(atoms):
            return []
        if len(atoms) == 1:
            return atoms
        half = len(atoms) // 2
        # two halves that are innocent alone are guilty together
        return suspects(atoms[:half]) + suspects(atoms[half:]) or atoms

    found = suspects(atoms_of(group))
    return found or [("output", "shift")], worst


def without_atoms(group: SymmetryGroup, bad: Collection[Atom]) -> SymmetryGroup:
    """The group without some actions; what they acted on stays in place.

    Args:
        group: a group.
        bad: actions of its spaces, or what is said of the outputs.

    Returns:
        The rest of it.
    """
    for name, action in bad:
        if any(space.name == name for space in group.spaces):
            group = group.without(name, action)
    output = type(group.output)() if any(name == "output" for name, _ in bad) else group.output
    return replace(group, output=output)


def _output_deviation(subject: Subject, group: SymmetryGroup) -> Deviation:
    """Shifts all classes up and down and, for a classifier, triples them: would a reader see it?"""
    trial = subject.trials[0]
    case = trial.cases[0]
    before = case.before[subject.logits]
    size = 1 + before.abs().max()  # large enough for whatever clips outputs to do so
    worst = Deviation()
    for shift in (size, -size):
        scale = 1.0 if group.output.mode == "logits" else 3.0
        moved = _with_other_outputs(group, trial.params, scale, shift)
        after = outputs_of([case], moved)[0][subject.logits]
        if group.output.mode == "logits":
            seen, _ = deviation(after.softmax(dim=-1), before.softmax(dim=-1))
        else:
            seen = float((after.argmax(dim=-1) != before.argmax(dim=-1)).double().mean())
        where = f"the outputs' {group.output.mode} on inputs of sizes {case.name}"
        worst = max(worst, Deviation(seen, where))
    return worst


def _with_other_outputs(
    group: SymmetryGroup, params: Params, scale: float, shift: Tensor
) -> Params:
    """Scales the legs that write the outputs and adds the same number to every class."""
    written = {leg.tensor for leg in group.output.legs}
    return Computed(
        params, lambda name: scale * params[name] + shift if name in written else params[name]
    )
