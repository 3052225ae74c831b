"""Where a module was looked at, and the program of every place: looking is calling it there.

Where a call gives something else than the programs that are there, the module is traced again.
"""

import contextlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from toroids.discovery.tracing.calls import Caller
from toroids.discovery.tracing.draws import (
    KEPT,
    MATRIX,
    drawn_inputs,
    drawn_params,
    entries,
    in_own_precision,
    redrawn,
)
from toroids.discovery.tracing.eager import frozen
from toroids.discovery.tracing.example import Axis, Example
from toroids.discovery.tracing.holds import Point, range_of
from toroids.discovery.tracing.operators import short_name
from toroids.discovery.tracing.program import Program, Twin, twin_of
from toroids.discovery.tracing.resized import resized
from toroids.discovery.tracing.sizes import relates
from toroids.discovery.tracing.trace import ALL_PRESENT, alias_names, trace
from toroids.discovery.tracing.weightless import anew
from toroids.errors import DataError, ToroidsError

# A trace with open lengths takes several times as long as one without, minutes for some networks
# on images and sounds, of which strides divide the lengths. So larger graphs, and inputs of more
# axes, which are images or films, are traced at two sizes instead: what differs between them
# depends on the size. Graphs of text, of whole numbers, may be larger, for a proof at fewer sizes
# saves more; but not where it is padded: every operator behind that asks what the length leaves.
SEQUENCE, SMALL, TEXT = 3, 250, 1500
PADDING = {"pad", "constant_pad_nd"}
# The entries of inputs that small networks are given, and how many more than in the example ones of
# much work are.
ENTRIES, LARGER = 2**20, 32
# Numbers of the inputs times those of the weights, about the work of a call, up to which any other
# size is looked at: some seconds; of large networks, which are called more often, a tenth of one.
WORK, LESS = 2**34, 2**29
# Numbers of the inputs times the longest length, about the work of attention.
PAIRS = 2**24
# Traces of lengths that another trace took for numbers.
CLOSED = 4
# How often other whole numbers are tried where a trace fails.
REDRAWN = 3


class Looks:
    """The programs of a module, and where each of them was seen to hold.

    Attributes:
        model: the module.
        example: the inputs that the user gave.
        key: the entry of a structured output that counts.
        weights: how many numbers its parameters and buffers have.
        call: calls it.
        plain: whether a trace says that nothing is compiled.
        programs: the traces, the first one the main one.
        points: where which of them holds.
        tried: the sizes at which it was called, by axis.
    """

    def __init__(self, model: nn.Module, example: Example, key: str | int | None) -> None:
        """Calls nothing yet."""
        self.model, self.example, self.key = model, example, key
        lent = _lent(model)
        self.weights = entries(lent)
        self.call = Caller(model, lent, key, anew(model, lent))
        self.plain = False
        self.programs: list[Program] = []
        self.points: list[Point] = []
        self.tried: dict[Axis, set[int]] = {}

    def first(self) -> list[Tensor]:
        """Calls the module on the example; in its own precision where that of the inputs fails."""
        found = self.call.accepts(self.example)
        if found is None:
            other = self.example.in_precision_of(self.model)
            found = self.call.accepts(other)
            if found is None:
                return self.call.first(self.example)  # says what is wrong
            self.example = other
        if not found:
            raise DataError(
                "the model returns no tensors on these inputs; expected a tensor, or a tuple, "
                "dict or dataclass that holds some."
            )
        if not any(output.numel() for output in found):
            raise DataError(
                "the model gives no outputs on these inputs; pass at least one example."
            )
        return found

    def traced(self, example: Example) -> Program:
        """Traces at an example, with open lengths where that takes no minutes."""
        asks = bool(self.programs) and ALL_PRESENT in self.programs[0].notes
        axes = [
            (i, axis)
            for i, axis in example.axes
            if example.size((i, axis)) > 1 and example.tensors[i].ndim <= SEQUENCE
        ]
        program = self.programs[0] if self.programs else self._trace(example)
        if axes and len(program.graph.graph.nodes) <= self._most(program):
            # not where a forward counts its inputs in Python
            with contextlib.suppress(ToroidsError):
                asks = asks or ALL_PRESENT in program.notes
                return self._trace(example, axes, asks)
        return self._trace(example, present=asks) if self.programs else program

    def _most(self, program: Program) -> int:
        """How many operators a trace with open lengths may have."""
        padded = any(short_name(node) in PADDING for node in program.graph.graph.nodes)
        is_text = not any(x.is_floating_point() for x in self.example.tensors)
        return TEXT if is_text and not padded else SMALL

    def _trace(
        self, example: Example, free: Collection[Axis] = (), present: bool = False
    ) -> Program:
        try:
            return trace(self.model, example, self.key, free, present, self.plain)
        except ToroidsError:
            if self.plain or free:
                raise
            # the forward may leave out what it needs where it is compiled
            with contextlib.suppress(ToroidsError):
                program = trace(self.model, example, self.key, free, present, plain=True)
                self.plain = True
                return program
            raise

    def accepts(self, sizes: Mapping[Axis, int], of: Example | None = None) -> bool:
        """Whether the module gives something at other sizes of an example."""
        found = self.call.accepts((of or self.example).resized(sizes), listen=False)
        return found is not None and any(x.numel() for x in found)

    def look(
        self, example: Example, given: Sequence[Tensor] | None = None, keep: bool = True
    ) -> bool:
        """Finds, or traces, the program that computes what the module gives at an example.

        Args:
            example: where to look.
            given: what the module gives there, where it is known.
            keep: whether the proof looks there, too, when a program does that there is; if not,
                a large network is not traced where it calls the same operators as elsewhere.

        Returns:
            Whether the module takes the example.
        """
        expected = self.call.accepts(example) if given is None else given
        if expected is None:
            return False
        like = example.is_like(self.example)
        for axis in example.axes if like else ():
            self.tried.setdefault(axis, set()).add(example.size(axis))
        if given is None and _are_nan(expected):  # as deviations of one position: they say nothing
            return True
        if not keep and self.is_large() and self.went(example):
            return True
        closed = False
        for program in self.programs:
            if program.example.is_like(example) and self.call.agrees(program, example, expected):
                closed = self._was_closed(program, example)
                if keep or program not in [point.program for point in self.points]:
                    self.points.append(Point(program, example))
                if not closed:
                    return True
                break
        if like and not closed and self._is_resized(example, expected, keep):
            return True
        try:
            program, agrees = self._traced_like(example, expected)
        except ToroidsError:
            if given is None and self._is_taken_by_chance(example):
                return False
            raise
        if not agrees:
            if given is None and self._is_taken_by_chance(example):
                return False
            self.check_stateless(example)
            # the forward may ask whether it is compiled
            self.plain = True
            with contextlib.suppress(ToroidsError):
                program = self._trace(example)
            seen = [point.program for point in self.points]
            self.programs = [p for p in self.programs if any(p is other for other in seen)]
            agrees = self.call.agrees(program, example, expected)
        if not agrees:
            raise ToroidsError(
                f"`{type(self.model).__name__}` gives something else than its trace at the same "
                f"inputs and weights: its forward pass {self._reads(example, expected)}, which a "
                "trace keeps as they are; change it, or pass a group written by hand."
            )
        self.points.append(Point(program, example))
        if not self.programs:
            self.programs.append(program)
            return True
        main = self.programs[0]
        if main.twin is not None or main.lengths or not self._gets_twin(program):
            self.programs.append(program)
        return True

    def _traced_like(self, example: Example, expected: Sequence[Tensor]) -> tuple[Program, bool]:
        """Traces at an example; tells whether that gives what the module does."""
        program = self.traced(example)
        agrees = self.call.agrees(program, example, expected)
        if program.lengths and not agrees:
            program = self._trace(example)  # as where a length becomes a text
            agrees = self.call.agrees(program, example, expected)
        return program, agrees

    def _is_taken_by_chance(self, example: Example) -> bool:
        """Whether the module fails at these sizes on other numbers, as a mask of ones and zeros."""
        generator = torch.Generator().manual_seed(3)
        drawn = (example.with_tensors(redrawn(example.tensors, generator)) for _ in range(REDRAWN))
        return any(self.call.accepts(other, listen=False) is None for other in drawn)

    def _is_resized(self, example: Example, expected: Sequence[Tensor], keep: bool) -> bool:
        """Whether the first program does what the module does, with the lengths of an example."""
        program = resized(self.programs[0], example) if self.programs else None
        if program is None or not self.call.agrees(program, example, expected):
            return False
        if self._was_closed(self.programs[0], example):
            return False
        if keep:
            self.points.append(Point(program, example))
        return True

    def _reads(self, example: Example, expected: Sequence[Tensor]) -> str:
        """What a forward may read that no trace holds."""
        with frozen(self.model), contextlib.suppress(ToroidsError):
            program = self._trace(example)
            if self.call.agrees(program, example, expected):
                return "asks which parameters need gradients (`requires_grad`), and gets answers"
        return (
            "reads numbers in Python (as through NumPy, tolist or a cache of values computed from "
            "other weights)"
        )

    def _gets_twin(self, program: Program) -> bool:
        """Makes another trace the twin of the first, if they differ in numbers only."""
        main = self.programs[0]
        twin = twin_of(main, program)
        if twin is None:
            return False
        self.programs[0] = new = replace(main, twin=twin)
        self.points = [replace(p, program=_in_place(p.program, main, new)) for p in self.points]
        return True

    def _was_closed(self, program: Program, example: Example) -> bool:
        """Whether a trace took for granted of the lengths what is otherwise here.

        A trace with open lengths takes one for a number where two lengths of the example are equal
        by chance, or one is the larger. Any trace shows nothing of parts that are empty in it.

        Returns:
            Whether to trace again at this example.
        """
        if len(self.programs) > CLOSED:
            return False
        if not program.lengths:
            return program.has_empty and not self.went(example)
        closed = any(_is_closed(program, axis, example.size(axis)) for axis in example.axes)
        return closed or not relates(program, example)

    def tell_sizes_from_numbers(self) -> None:
        """Gives the first program a twin that differs in every size at which the program holds.

        A trace has numbers for the sizes of images, and rules take for a number what has no other
        one in a twin: a window as large as its image is none at other sizes.
        """
        main = self.programs[0]
        own = [point.example for point in self.points if point.program is main]
        other = max(own, key=lambda e: _count_differing(e, main.example), default=main.example)
        known = main.example if main.twin is None else main.twin.program.example
        count = _count_differing(other, main.example)
        if main.lengths or count <= _count_differing(known, main.example):
            return
        with contextlib.suppress(ToroidsError):
            program = self._trace(other)
            if not self._gets_twin(program):  # an axis is cut into more pieces, say
                self.programs.append(program)
            elif main.twin is not None:
                self._keep_twin(main.twin)

    def _keep_twin(self, before: Twin) -> None:
        """Keeps what was the first program's twin, if it says of more numbers that they differ."""
        main = self.programs[0]
        if main.twin is not None and not before.differing <= main.twin.differing:
            old = replace(before.program, twin=twin_of(before.program, main))
            self.programs.append(old)
            self.points = [
                replace(p, program=old) if p.program is before.program else p for p in self.points
            ]

    def check_stateless(self, example: Example) -> None:
        """Calls the module at an example and at other numbers of the same sizes."""
        drawn = drawn_inputs(example.tensors, torch.Generator().manual_seed(2))
        like = [x.to(y.device) for x, y in zip(drawn, example.tensors, strict=True)]
        expected = self.call.first(example)
        self.call.check_stateless(example, expected, example.with_tensors(like))

    def is_large(self) -> bool:
        """Whether a trace takes long."""
        return len(self.programs[0].graph.graph.nodes) > SMALL

    def went(self, example: Example) -> bool:
        """Whether a call took the same path through the code as one where a program stands."""
        path = self.call.paths.get(example.sizes)
        looked = [p.example for p in self.programs] + [p.example for p in self.points]
        known = [self.call.paths.get(example.sizes) for example in looked]
        return path is not None and path in known

    def is_too_large(self, example: Example) -> bool:
        """Whether a call there may take long."""
        most = ENTRIES if self._works_little(example) else LARGER * self.example.entries
        return example.entries > max(most, self.example.entries)

    def is_quick(self, example: Example) -> bool:
        """Whether a call there takes no longer than one may that is hardly needed."""
        return self._works_little(example) and not self.is_too_large(example)

    def _works_little(self, example: Example) -> bool:
        lengths = [example.size(axis) for axis in example.axes if axis[1]]  # not of examples
        pairs = example.entries * max(lengths, default=1)
        work = example.entries * self.weights
        return work <= (LESS if self.is_large() else WORK) and pairs <= PAIRS

    def is_image(self, axis: Axis) -> bool:
        """Whether an axis is one of the pixels of an image."""
        return axis[1] > 0 and self.example.tensors[axis[0]].ndim > SEQUENCE

    def own(self) -> list[Program]:
        """The programs for inputs of the example's structure."""
        return [p for p in self.programs if p.example.is_like(self.example)]

    def covered(self, axis: Axis, size: int) -> bool:
        """Whether a size was tried, or is one that a trace is for."""
        if size in self.tried.get(axis, set()):
            return True
        return any(
            low <= size and (high is None or size <= high)
            for program in self.own()
            for low, high in [range_of(program, axis)]
        )


def _lent(model: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers with which a module is called; a large one keeps its matrices."""
    state = {name: x.detach() for name, x in model.state_dict().items()}
    most = MATRIX if entries(state) > KEPT else math.inf
    some = {name: x for name, x in state.items() if x.numel() <= most}
    names, _ = alias_names(model)
    parameters = {n for n, _ in model.named_parameters(remove_duplicate=False)}
    keep = [name for name, x in some.items() if not x.is_floating_point()]
    generator = torch.Generator().manual_seed(1)
    drawn = drawn_params(some, names, parameters, generator, wide=False, keep=keep)
    return {**state, **in_own_precision(drawn, some)}


def _is_closed(program: Program, axis: Axis, size: int) -> bool:
    """Whether a trace is for other lengths than this one, where it gives the same nevertheless."""
    if axis not in program.lengths:
        return program.example.size(axis) not in (1, size)
    most = range_of(program, axis)[1]
    return most is not None and size > most + 1  # at the first one nothing has changed yet


def _count_differing(one: Example, other: Example) -> int:
    """In how many sizes two examples of the same structure differ."""
    return sum(one.size(axis) != other.size(axis) for axis in one.axes)


def _are_nan(outputs: Sequence[Tensor]) -> bool:
    """Whether there are no numbers in any output."""
    return all(bool(x.isnan().all()) for x in outputs)


def _in_place(program: Program, old: Program, new: Program) -> Program:
    """The new program where the old one stands, or what was read off it."""
    if program.origin is old:
        return replace(program, origin=new)
    return new if program is old else program
