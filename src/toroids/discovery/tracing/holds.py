"""For which inputs a group holds, as its notes say."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from toroids.discovery.tracing.asked import Question
from toroids.discovery.tracing.example import Axis, Example, parameters_of
from toroids.discovery.tracing.program import Program
from toroids.discovery.tracing.sizes import holds_at

SHOWN = 3  # names, or conditions, in a sentence
INTERVALS = 6  # of lengths, in a sentence


@dataclass(frozen=True, eq=False)
class Point:
    """A place where a module was looked at, and the program that computes the same there."""

    program: Program
    example: Example


class Sizes:
    """What is known of the sizes of a module's inputs once it was looked at."""

    def __init__(self, example: Example, points: Sequence[Point]) -> None:
        """Takes the example and where the module was looked at, inputs of other structure too."""
        self.example = example
        kinds = [x.dtype for x in example.tensors]
        alike = [
            p.example.is_like(example) and [x.dtype for x in p.example.tensors] == kinds
            for p in points
        ]
        self.points = [p for p, same in zip(points, alike, strict=True) if same]
        self.others = [p for p, same in zip(points, alike, strict=True) if not same]
        programs = [p.program.origin or p.program for p in self.points]
        # the example may be read off the one with a twin, or be where that was traced
        self.programs = sorted(dict.fromkeys(programs), key=lambda p: p.twin is None)

    def is_paired(self, axis: Axis) -> bool:
        """Whether one program gives what the module gives at several lengths of an axis."""
        # where it has other numbers in a twin, at a third length, too, with those that both tell
        main = self.programs[0]
        twin = None if main.twin is None else main.twin.program
        sizes = [(p.example.size(axis), p.program) for p in self.points]
        read = {size for size, program in sizes if main in (program, program.origin)}
        traced = {main.example.size(axis), *(size for size, program in sizes if program is twin)}
        one = all(program is twin or main in (program, program.origin) for _, program in sizes)
        return one and axis not in main.lengths and not read <= traced

    def notes(self, open_questions: Sequence[Question] = ()) -> Iterator[str]:
        """For which sizes of the inputs the programs stand.

        Args:
            open_questions: what the forward asked that was answered one way only.

        Yields:
            One note for all sizes, one for every setting, one for what was asked.
        """
        shown, symbolic = [], []
        for i, (name, tensor) in enumerate(
            zip(self.example.names, self.example.tensors, strict=True)
        ):
            sizes = ", ".join(self._size((i, axis)) for axis in range(tensor.ndim))
            shown.append(f"`{name}` ({sizes})")
            free = [axis for axis in range(tensor.ndim) if self._is_open((i, axis))]
            if free:
                symbolic.append(f"{_axes(free)} of `{name}`")
        said = f"; symbolic: {', '.join(symbolic)}" if symbolic else ""
        if any(self.is_paired(axis) for axis in self.example.axes):
            looked = dict.fromkeys(point.example.sizes for point in self.points)
            said += f"; looked at {' and '.join(looked)}"
        if self.others:
            looked = dict.fromkeys(map(_form, (point.example for point in self.others)))
            said += f"; also for inputs as {' and '.join(looked)}"
        yield f"holds for inputs of the sizes {', '.join(shown)}{said}"
        for name, value in self.example.settings:
            yield f"holds for `{name}` = {value!r}, as in the example"
        asked = [q for q in open_questions if any(map(self._is_open_to(q), q.condition.axes))]
        if asked:
            where = _listed([str(q) for q in asked])
            yield (
                f"holds where {where}: the forward asks for it, and no sizes were looked at where "
                "it is otherwise"
            )

    def _size(self, axis: Axis) -> str:
        seen = sorted({point.example.size(axis) for point in self.points})
        if self.is_paired(axis):
            return "any"
        ranges = [range_of(program, axis) for program in self.programs if axis in program.lengths]
        joined: list[tuple[int, float]] = []
        for low, high in sorted(
            (n, m or math.inf) for n, m in (*ranges, *zip(seen, seen, strict=True))
        ):
            if joined and low <= joined[-1][1] + 1:
                low, before = joined.pop()
                high = max(high, before)
            joined.append((low, high))
        words = [_interval(ends) for ends in joined]
        if len(words) > INTERVALS:
            words[INTERVALS - 1 : -1] = [f"{len(words) - INTERVALS} more"]
        return " or ".join(words)

    def _is_open_to(self, question: Question) -> Callable[[Axis], bool]:
        """Whether the answer may be another one there; of what is inside, traces know better."""
        return self.is_paired if question.condition.is_inside else self._is_open

    def _is_open(self, axis: Axis) -> bool:
        return self.is_paired(axis) or any(axis in p.lengths for p in self.programs)


def left_out(model: nn.Module, example: Example) -> Iterator[str]:
    """Says which arguments of a forward the example does not give."""
    named = parameters_of(model)
    args, kwargs = example.arguments(example.tensors)
    passed = {p.name: x for p, x in zip(named, args, strict=False)} | kwargs
    given = {name for name, value in passed.items() if value is not None}
    omitted = [p.name for p in named if p.name not in given and p.default is not p.empty]
    if omitted:
        are = "is" if len(omitted) == 1 else "are"
        shown = _listed([f"`{name}`" for name in omitted])
        yield f"holds where {shown} {are} left out, as in the example"


def _interval(ends: tuple[int, float]) -> str:
    low, high = ends
    if high == math.inf:
        return "any" if low == 1 else f"{low} or more"
    return str(low) if low == high else f"{low} to {high}"


def _listed(words: Sequence[str]) -> str:
    """The first of some words, and how many more there are."""
    rest = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + rest


def range_of(program: Program, axis: Axis) -> tuple[int, int | None]:
    """The lengths that a program allows along an axis."""
    size = program.example.size(axis)
    if axis not in program.lengths:
        return size, size
    low, high = program.ranges.get(str(program.lengths[axis]), (size, size))
    far = size + FAR
    if high is None and not holds_at(program, axis, far):  # as one of pieces, which are counted
        high = next(n for n in range(size, far) if not holds_at(program, axis, n + 1))
        low = next(n for n in range(size, 0, -1) if n == low or not holds_at(program, axis, n - 1))
    return low, high


# A trace that is not limited where an axis is so much longer is taken to be limited nowhere; a
# multiple of many numbers, of pieces as large as these.
FAR = 10_080


def _form(example: Example) -> str:
    kinds = dict.fromkeys(str(x.dtype).removeprefix("torch.") for x in example.tensors)
    return f"{example.sizes} of {' and '.join(kinds)}"


def _axes(numbers: Sequence[int]) -> str:
    """One axis or several, as a sentence has it: axis 0; axes 0, 2 and 3."""
    *most, last = map(str, numbers)
    return f"axes {', '.join(most)} and {last}" if most else f"axis {last}"
