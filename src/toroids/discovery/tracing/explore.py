"""Looks at a module beyond its example: for which sizes of the inputs is it what program?

What is found on one example must hold on every input that the module accepts. Lengths stay open in
the trace where they can. Where they cannot, and beyond what the trace allows, the module is called
at other sizes; where it gives something else than the trace that is there, it is traced again.
"""

import contextlib
import copy
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice

import torch
from torch import Tensor, nn

from toroids.discovery.tracing.asked import Question
from toroids.discovery.tracing.assumed import excluded
from toroids.discovery.tracing.calls import Caller, check_operators
from toroids.discovery.tracing.draws import (
    MATRIX,
    STREAMED,
    drawn_inputs,
    drawn_params,
    entries,
    in_own_precision,
)
from toroids.discovery.tracing.eager import frozen
from toroids.discovery.tracing.example import Axis, Example, Inputs, example_of
from toroids.discovery.tracing.holds import Point, Sizes, left_out, range_of
from toroids.discovery.tracing.nearby import around
from toroids.discovery.tracing.program import Program, Twin, relates, twin_of
from toroids.discovery.tracing.resized import resized
from toroids.discovery.tracing.supported import check_supported, unknown_numbers
from toroids.discovery.tracing.trace import ALL_PRESENT, CHECKED, alias_names, trace
from toroids.discovery.tracing.variants import laid_out_otherwise, of_other_lists, of_other_rank
from toroids.discovery.tracing.weightless import anew, unknown_in, with_weights
from toroids.errors import DataError, ToroidsError
from toroids.evaluation.running import check_module

UNRECORDED = (
    "holds where no gradients are recorded, as in evaluation: with them the forward does something "
    "else"
)
# A trace with open lengths takes several times as long as one without, minutes for some networks
# on images. So larger graphs, and inputs of more axes, which are images or films, are traced at two
# sizes instead: what differs between them depends on the size.
SEQUENCE, SMALL = 3, 250
# Sizes up to which it is tried whether a module accepts more than its trace allows, and how often.
LONGEST, BEYOND = 600, 3
# How often every place is looked at again where a trace takes everything for present.
DRAWS = 3
# Questions about lengths that are answered the other way, and at how many sizes each is tried.
ASKED, GUESSED, TRIES = 48, 16, 6
# How many more programs are looked for all around; the entries of inputs that small networks are
# given, and how many more than in the example ones of much work are.
MORE, ENTRIES, LARGER = 2, 2**20, 32
# Numbers of the inputs times those of the weights, about the work of a call, up to which any other
# size is looked at: some seconds; of large networks, which are called more often, a tenth of one.
WORK, LESS = 2**34, 2**29
# Traces whose guards are looked at.
ROUNDS = 6
# Lengths of the first and of other axes at which loops are looked at, and operators at most there.
FAR, LONG = (17, 33), 2000
# Networks of more entries are not looked at in another precision.
LARGE = 2**24
# Traces of lengths that another trace took for numbers.
CLOSED = 4
# Images of at most twice as many pixels are looked at larger, too; films have one axis more.
IMAGE, FILM = 64, 16
# Lengths of open axes when the module is looked at again: small, unlike, even and odd.
SHORT = (3, 5, 4, 6, 7, 9)


@dataclass(frozen=True, eq=False)
class Explored:
    """A module as its programs.

    Attributes:
        model: the module, or a copy with numbers where it has none.
        programs: the first is that of the example.
        points: where the module gave what a program gives, the example first.
        notes: what the programs leave out, and for what the whole holds.
    """

    model: nn.Module
    programs: tuple[Program, ...]
    points: tuple[Point, ...]
    notes: tuple[str, ...]

    @property
    def main(self) -> Program:
        """The program of the example."""
        return self.programs[0]


def explore(
    model: nn.Module,
    inputs: Inputs,
    output_key: str | int | None = None,
    also: Sequence[Inputs] = (),
) -> Explored:
    """Traces a module at as many sizes of its inputs as it needs.

    Args:
        model: left as it was.
        inputs: a tensor, a tuple of positional or a mapping of keyword arguments.
        output_key: the entry of a structured output that counts; all when None.
        also: further inputs to look at, of the same structure.

    Returns:
        Its programs.

    Raises:
        ParamsError: `model` is no module.
        DataError: it fails on these inputs; says how.
        ToroidsError: it cannot be traced, or is no function of its inputs; says why.
    """
    check_module(model)
    check_supported(model)
    model = with_weights(model)
    example = example_of(model, inputs)
    if not isinstance(also, list | tuple):
        raise ToroidsError(
            f"also is a {type(also).__name__}; pass a list of further inputs, each like the first."
        )
    further = [example_of(model, other) for other in also]
    if any(e.spec != example.spec or len(e.axes) != len(example.axes) for e in further):
        raise ToroidsError(
            "further inputs are of another structure than the example; pass tensors of as many "
            "axes, under the same names."
        )
    with torch.random.fork_rng():  # a forward may draw; the user's sequence goes on as it would
        explored = _Explorer(model, example, output_key).explored(further)
    _check_known(explored, unknown_in(model))
    return explored


def _check_known(explored: Explored, unknown: Collection[str]) -> None:
    """Raises where a forward reads whole numbers that the module does not hold."""
    for program in explored.programs if unknown else ():
        for node in program.graph.graph.nodes:
            source = program.sources.get(node.name) if node.op == "placeholder" else None
            if source is not None and source.name in unknown and node.users:
                raise ToroidsError(unknown_numbers(source.name))


class _Explorer:
    def __init__(self, model: nn.Module, example: Example, key: str | int | None) -> None:
        self.model, self.example, self.key = model, example, key
        lent = _lent(model)
        self.weights = entries(lent)
        self.call = Caller(model, lent, key, anew(model, lent))
        self.plain = False  # whether a trace says that nothing is compiled
        self.programs: list[Program] = []
        self.points: list[Point] = []
        self.tried: dict[Axis, set[int]] = {}
        self.answered: dict[str, bool] = {}
        self.reach: dict[object, int] = {}  # entries of the inputs that answer questions otherwise
        self.settled: set[object] = set()  # questions that no input answers otherwise

    def explored(self, also: Sequence[Example]) -> Explored:
        """Looks at the example, at others, and wherever that leaves something open."""
        first = self._first()
        grown = self._grown()
        self.programs.append(self._traced(grown))
        longer = self._behind_cuts(grown)
        if longer is not grown:
            self.programs = [self._traced(longer)]
        check_operators(self.model, self.programs[0])
        if longer is not self.example:
            self._look(longer)
        if longer is not grown:  # where all parts are there, too, for a twin
            self._look(self._one_longer(longer))
        self._look(self.example, first)
        self.points.reverse()
        for other in also:
            self._look(other, self.call.first(other))
        self._look_further()
        if {ALL_PRESENT, CHECKED} & {*self.programs[0].notes}:
            self._look_at_other_numbers()
        self._tell_sizes_from_numbers()
        asked = self.call.asked
        open_ = [q for q in asked.unanswered() if q.key not in self.settled and self._counts(q)]
        open_ = [q for q in open_ if not (q.guessed or q.is_fixed or asked.is_answered_there(q))]
        notes = [
            *Sizes(self.example, self.points).notes(open_),
            *left_out(self.model, self.example),
            *([UNRECORDED] if self.call.records else []),
            *(note for program in self.programs for note in program.notes),
        ]
        return Explored(
            self.model, tuple(self.programs), tuple(self.points), tuple(dict.fromkeys(notes))
        )

    def _first(self) -> list[Tensor]:
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

    def _traced(self, example: Example) -> Program:
        """Traces at an example, with open lengths where that takes no minutes."""
        asks = bool(self.programs) and ALL_PRESENT in self.programs[0].notes
        axes = [
            (i, axis)
            for i, axis in example.axes
            if example.size((i, axis)) > 1 and example.tensors[i].ndim <= SEQUENCE
        ]
        program = self.programs[0] if self.programs else self._trace(example)
        if axes and len(program.graph.graph.nodes) <= SMALL:
            # not where a forward counts its inputs in Python
            with contextlib.suppress(ToroidsError):
                asks = asks or ALL_PRESENT in program.notes
                return self._trace(example, axes, asks)
        return self._trace(example, present=asks) if self.programs else program

    def _trace(
        self, example: Example, free: Collection[Axis] = (), present: bool = False
    ) -> Program:
        return trace(self.model, example, self.key, free, present, self.plain)

    def _grown(self) -> Example:
        """The example with more than one position along every axis that allows it."""
        single = [
            axis
            for axis in self.example.axes
            if self.example.size(axis) == 1 and self.example.tensors[axis[0]].ndim <= SEQUENCE
        ]
        grown: dict[Axis, int] = {}
        whole = {axis: 2 + axis[1] for axis in single}
        if single and self._accepted(whole):
            return self.example.resized(whole)
        for position, group in groupby(sorted(single, key=_position), key=_position):
            more = {axis: 2 + position for axis in group}
            for some in (more, *({axis: n} for axis, n in more.items())):
                if not some.keys() & grown.keys() and self._accepted({**grown, **some}):
                    grown |= some
        return self.example.resized(grown) if grown else self.example

    def _behind_cuts(self, grown: Example) -> Example:
        """An example so long that something is behind every cut of an axis that is not open.

        Returns:
            It, or the same: a trace shows nothing of what becomes of a part that is empty in it.
        """
        if not any(q.cuts and self._counts(q) for q in self.call.asked.questions.values()):
            return grown
        self._one_longer(grown)  # which tells which lengths in the middle of the module follow it
        sizes = self._needed(grown)
        accepted = sizes and self.call.accepts(grown.resized(sizes)) is not None
        return grown.resized(sizes) if accepted else grown

    def _one_longer(self, example: Example) -> Example:
        """An example with one more position along every axis that allows it alone."""
        axes = [axis for axis in example.axes if not self._is_image(axis)]
        more = {axis: example.size(axis) + 1 for axis in axes}
        found = {axis: n for axis, n in more.items() if self._accepted({axis: n}, example)}
        return example.resized(found if self._accepted(found, example) else {})

    def _needed(self, grown: Example) -> dict[Axis, int]:
        """Lengths at which there is something behind what was cut, as far as these are known."""
        longer: dict[Axis, int] = {}
        asked = [q for q in self.call.asked.questions.values() if q.cuts and self._counts(q)]
        for question in asked:
            example = next(question.otherwise(), grown)
            for axis in [] if self._is_too_large(example) else example.axes:
                if example.size(axis) > max(grown.size(axis), longer.get(axis, 0)):
                    longer[axis] = example.size(axis)
        return longer

    def _accepted(self, sizes: Mapping[Axis, int], of: Example | None = None) -> bool:
        found = self.call.accepts((of or self.example).resized(sizes), listen=False)
        return found is not None and any(x.numel() for x in found)

    def _look(
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
        if not keep and self._is_large() and self._went(example):
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
        program = self._traced(example)
        if program.lengths and not self.call.agrees(program, example, expected):
            program = self._trace(example)  # as where a length becomes a text
        if not self.call.agrees(program, example, expected):
            self._check_stateless(example)
            # the forward may ask whether it is compiled
            self.plain = True
            with contextlib.suppress(ToroidsError):
                program = self._trace(example)
            seen = [point.program for point in self.points]
            self.programs = [p for p in self.programs if any(p is other for other in seen)]
        if not self.call.agrees(program, example, expected):
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
            return program.has_empty and not self._went(example)
        closed = any(_is_closed(program, axis, example.size(axis)) for axis in example.axes)
        return closed or not relates(program, example)

    def _look_further(self) -> None:
        """Looks at other sizes: small ones, single ones, and those beyond what a trace allows."""
        other = self._small()
        self._check_stateless(min([self.example, other or self.example], key=_entries))
        if other is not None:
            self._look(other)
            self._look_at_other_counts(other)
        if self._is_large() and len(self.programs) == 1:
            self._tell_sizes_from_numbers()
        # a large network is traced no third time for it, but where its numbers are known
        looks = not self._is_large() or self.programs[0].twin is not None
        for example in filter(None, [self._single(), self._long()] if looks else []):
            self._look(example)
        self._look_larger()
        self._look_where_excluded()
        for _ in range(BEYOND):
            if not any([self._look(example) for example in list(self._beyond())]):
                break
        self._look_far()
        self._look_around(other or self.example)
        self._look_where_asked()
        self._look_at_variants()

    def _look_at_other_counts(self, other: Example) -> None:
        """Looks at as many images as in `other`, of the example's size: a trace has one number."""
        size, axes = self.example.size, self.example.axes
        sizes = {axis: other.size(axis) for axis in axes if other.size(axis) != size(axis)}
        counts = {axis: n for axis, n in sizes.items() if not axis[1]}
        if not self.programs[0].lengths and counts and counts != sizes:
            self._look(self.example.resized(counts))

    def _is_large(self) -> bool:
        return len(self.programs[0].graph.graph.nodes) > SMALL

    def _went(self, example: Example) -> bool:
        """Whether a call took the same path through the code as one where a program stands."""
        path = self.call.paths.get(example.sizes)
        looked = [p.example for p in self.programs] + [p.example for p in self.points]
        known = [self.call.paths.get(example.sizes) for example in looked]
        return path is not None and path in known

    def _look_far(self) -> None:
        """Looks at a long input where traces are as long as theirs: a loop may end, or change."""
        for axis in self.example.axes:
            if Sizes(self.example, self.points).is_paired(axis):
                continue
            size, long = self.example.size(axis), FAR[min(axis[1], 1)]
            ranges = [range_of(p, axis) for p in self._own()]
            closed = all(high is not None for _, high in ranges) and len(self.tried[axis]) > 1
            steps = len(self.programs[0].graph.graph.nodes) * long / max(size, 1)
            if closed and not self._is_image(axis) and size < long and steps < LONG:
                self._look(self.example.resized({axis: long}), keep=False)

    def _look_at_variants(self) -> None:
        """Looks at the example in other forms, if the forward tells them apart."""
        asked, found = self.call.asked, [*of_other_lists(self.model, self.example)]
        if asked.layout:
            found += laid_out_otherwise(self.example)
        if asked.rank and not self._is_large():
            found += of_other_rank(self.example)
        for example in found:
            self._look(example, keep=False)
        if asked.kind:
            self._look_wide()

    def _look_wide(self) -> None:
        """Looks at the module in float64, if it asks for types."""
        if sum(x.numel() for x in self.call.params.values()) > LARGE:
            return
        try:
            wide = copy.deepcopy(self.model).double()
        except Exception:  # of a module that cannot be copied
            return
        params = {
            n: x.double() if x.is_floating_point() else x for n, x in self.call.params.items()
        }
        example = self.programs[0].example.in_precision_of(wide)
        call = Caller(wide, params, self.key)
        expected = call.accepts(example)
        if expected is None or any(call.agrees(p, example, expected, True) for p in self._own()):
            return
        program = trace(wide, example, self.key, plain=self.plain)
        if call.agrees(program, example, expected, True):
            self.programs.append(program)
            self.points.append(Point(program, example))

    def _look_around(self, small: Example) -> None:
        """Looks at odd sizes, wide and tall ones, while they are taken for sizes like others."""
        most = _entries(self.example) if self._is_large() else ENTRIES
        known = Sizes(self.example, self.points)
        paired = {axis: small.size(axis) for axis in self.example.axes if known.is_paired(axis)}
        count = len(self.programs)
        for alternatives in around(paired) if paired else ():
            for example in map(small.resized, alternatives):
                if len(self.programs) > count + MORE or _entries(example) > most:
                    continue
                if self._look(example, keep=False):
                    break

    def _look_where_asked(self) -> None:
        """Looks where the forward's questions in Python are answered the other way."""
        asked, done, looks = self.call.asked, set[object](), Counter[object]()
        for guessed, most in ((False, ASKED), (True, GUESSED)):
            left = most // 4 if self._is_large() else most
            while left and (
                open_ := [
                    q
                    for q in asked.unanswered()
                    if q.guessed is guessed
                    and q.key not in done
                    and self._may_vary(q)
                    and self._counts(q)
                ]
            ):
                question = min(open_, key=lambda q: (looks[q.place], self._nearness(q)))
                done.add(question.key)
                looked = self._look_for_other_answer(question)
                looks[question.place] += looked
                left -= looked

    def _is_too_large(self, example: Example) -> bool:
        works = _entries(example) * self.weights > (LESS if self._is_large() else WORK)
        most = LARGER * _entries(self.example) if works else ENTRIES
        return _entries(example) > max(most, _entries(self.example))

    def _counts(self, question: Question) -> bool:
        """Whether it is no cut of an axis that is open, whose trace tells what is behind."""
        lengths = self.programs[0].lengths if self.programs else ()
        axes = question.condition.axes
        return not question.cuts or not (question.answer or all(axis in lengths for axis in axes))

    def _may_vary(self, question: Question) -> bool:
        """Whether it is no guess about lengths that were never seen to vary."""
        axes = question.condition.axes
        return not question.guessed or all(len(self.tried[axis]) > 1 for axis in axes)

    def _nearness(self, question: Question) -> int:
        """How near the other answer is: far away, a large network answers more at once."""
        if not self._is_large():
            return 0
        if question.key not in self.reach:
            example = next(question.otherwise(), self.example)
            self.reach[question.key] = 0 if self._is_too_large(example) else _entries(example)
        return -self.reach[question.key]

    def _look_for_other_answer(self, question: Question) -> bool:
        """Looks near by until a question is answered the other way, or the module takes nothing.

        Returns:
            Whether it was called anywhere.
        """
        others = [*islice(question.otherwise(), TRIES)]
        taken = called = False
        for example in others:
            if self._is_too_large(example):
                return called
            if example.sizes not in self.answered:
                called = True
                self.answered[example.sizes] = self._look(example, keep=False)
            taken |= self.answered[example.sizes]
            if taken and (question.guessed or question not in self.call.asked.unanswered()):
                return called
        if question.needs_entries() if not others else not taken:
            self.settled.add(question.key)
        return called

    def _look_at_other_numbers(self) -> None:
        """Looks at inputs of few entries, of which data leave much out, and at many."""
        for seed, point in enumerate([*self.points] * DRAWS):
            drawn = drawn_inputs(point.example.tensors, torch.Generator().manual_seed(10 + seed))
            self._look(point.example.with_tensors(drawn))

    def _tell_sizes_from_numbers(self) -> None:
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

    def _check_stateless(self, example: Example) -> None:
        """Calls the module at an example and at other numbers of the same sizes."""
        drawn = drawn_inputs(example.tensors, torch.Generator().manual_seed(2))
        like = [x.to(y.device) for x, y in zip(drawn, example.tensors, strict=True)]
        expected = self.call.first(example)
        self.call.check_stateless(example, expected, example.with_tensors(like))

    def _small(self) -> Example | None:
        """The example at other lengths of all axes that have some."""
        main = self.programs[0]
        sizes: dict[Axis, int] = {}
        for axes, _ in self._open_groups(main):
            if len(self.tried[axes[0]]) < 2:
                lengths = [n for n in SHORT if n not in sizes.values()]
                sizes |= self._other([*lengths, *self._others(axes[0])], axes, sizes)
        for axes in self._closed_groups(main, sizes):
            if len(self.tried[axes[0]]) < 2 or self._is_image(axes[0]):
                sizes |= self._other(self._others(axes[0]), axes, sizes)
        return self.example.resized(sizes) if sizes else None

    def _look_where_excluded(self) -> None:
        """Looks at lengths that no trace allows, where the module takes them."""
        done, seen = list[Program](), {point.example.sizes for point in self.points}
        while new := [p for p in self._own() if p not in done and len(done) < ROUNDS]:
            for program in new:
                done.append(program)
                for example in self._excluded(program):
                    if example.sizes not in seen and not self._is_too_large(example):
                        self._look(example)
                    seen.add(example.sizes)

    def _excluded(self, program: Program) -> Iterator[Example]:
        """Lengths that a trace takes for impossible."""
        axes = {axis: x for axis, x in program.lengths.items() if x.is_Symbol}
        numbers = {x: program.example.size(axis) for axis, x in axes.items()}
        for choice in excluded(program.guards, numbers):
            sizes = {axis: choice[x] for axis, x in axes.items() if x in choice}
            yield program.example.resized(sizes)
        for axis, x in axes.items():  # lengths that were equal
            if any(other != axis and y == x for other, y in axes.items()):
                yield program.example.resized({axis: program.example.size(axis) + 1})

    def _look_larger(self) -> None:
        """Small images made larger: what sees one token of a small one sees several of these."""
        space = [axis for axis in self.example.axes if self._is_image(axis) and axis[1] > 1]
        size = self.example.size
        least = IMAGE if len(space) < 3 else FILM
        small = [axis for axis in space if size(axis) <= 2 * least]
        if not small:
            if len(space) > 1:
                self._look(self.example.resized({space[-1]: size(space[-1]) // 2}))
            return
        double = {axis: max(2 * size(axis), least) for axis in small}
        more = {axis: max(size(axis) * 3 // 2, least * 3 // 2) for axis in small}
        self._look(self.example.resized(double))
        if not self._look(self.example.resized({**more, small[-1]: double[small[-1]]})):
            self._look(self.example.resized(more))  # where images must be square

    def _other(
        self, lengths: Sequence[int], axes: Sequence[Axis], sizes: Mapping[Axis, int]
    ) -> dict[Axis, int]:
        """Another length of some axes, beside other sizes; nothing where there is none."""
        for n in lengths:
            more = dict.fromkeys(axes, n)
            if n != self.example.size(axes[0]) and self._accepted({**sizes, **more}):
                return more
        return {}

    def _others(self, axis: Axis) -> list[int]:
        """Other lengths to try, of unlike parity first; images are rather made smaller."""
        size = self.example.size(axis)
        smaller = [n for n in (size // 2, size - 1) if n >= 2]
        larger = [size + 1, 2 * size]
        if self._is_image(axis):
            return list(dict.fromkeys([*(n for n in (size // 4,) if n > 7), *smaller, *larger]))
        if self.example.tensors[axis[0]].ndim > SEQUENCE:
            return [n for n in (2, 3, 1) if n != size]
        short = [n for n in SHORT[axis[1] % 2 :] if n < size]  # unlike along unlike axes
        return list(dict.fromkeys([*short, *larger, *smaller]))

    def _is_image(self, axis: Axis) -> bool:
        return axis[1] > 0 and self.example.tensors[axis[0]].ndim > SEQUENCE

    def _open_groups(self, program: Program) -> Iterator[tuple[list[Axis], str]]:
        """Axes that the trace left open, those of one length together."""
        by_length: dict[str, list[Axis]] = {}
        for axis, length in program.lengths.items():
            if length.is_Symbol:
                by_length.setdefault(str(length), []).append(axis)
        yield from ((axes, name) for name, axes in by_length.items())

    def _closed_groups(self, program: Program, taken: Mapping[Axis, int]) -> Iterator[list[Axis]]:
        """Axes that the trace did not leave open: each alone, then those of one size together."""
        rest = [axis for axis in self.example.axes if axis not in program.lengths]
        yield from ([axis] for axis in rest)
        size = self.example.size
        for _, group in groupby(sorted(rest, key=size), key=size):
            axes = [axis for axis in group if axis not in taken]
            if len(axes) > 1:
                yield axes

    def _single(self) -> Example | None:
        """The example with a single position along every free axis that allows it."""
        sizes: dict[Axis, int] = {}
        main = self.programs[0]
        closed = [
            [a]
            for a in self.example.axes
            if a not in main.lengths and len(self.tried[a]) > 1 and not self._is_image(a)
        ]
        for axes in [*(axes for axes, _ in self._open_groups(main)), *closed]:
            if 1 not in self.tried[axes[0]] and self._accepted({**sizes, **dict.fromkeys(axes, 1)}):
                sizes |= dict.fromkeys(axes, 1)
        return self.example.resized(sizes) if sizes else None

    def _long(self) -> Example | None:
        """The example longer along axes for whose lengths the first program has numbers."""
        # not with more images, of which a single one tells as much for less
        main, size, tensors = self.programs[0], self.example.size, self.example.tensors
        if main.twin is None or main.lengths:
            return None
        some = (axis for axis in self.example.axes if tensors[axis[0]].ndim <= SEQUENCE)
        axes = [axis for axis in some if len(self.tried[axis]) > 1]
        sizes: dict[Axis, int] = {}
        for axis in axes:
            more = {axis: 2 * size(axis) + 1 + 2 * axis[1]}  # unlike along unlike axes
            if self._accepted({**sizes, **more}):
                sizes |= more
        return self.example.resized(sizes) if sizes else None

    def _beyond(self) -> Iterator[Example]:
        """Examples just below and above the lengths that the traces allow."""
        for program in self._own():
            for axes, name in self._open_groups(program):
                low, high = program.ranges[name]
                # at the first one a part may be empty, of which the second shows something
                more = () if high is None else (high + 1, high + 2)
                for n in (low - 1, low - 2, *more):
                    if n < 1 or n > LONGEST or self._covered(axes[0], n):
                        continue
                    self.tried.setdefault(axes[0], set()).add(n)
                    yield program.example.resized(dict.fromkeys(axes, n))

    def _own(self) -> list[Program]:
        """The programs for inputs of the example's structure."""
        return [p for p in self.programs if p.example.is_like(self.example)]

    def _covered(self, axis: Axis, size: int) -> bool:
        if size in self.tried.get(axis, set()):
            return True
        return any(
            low <= size and (high is None or size <= high)
            for program in self._own()
            for low, high in [range_of(program, axis)]
        )


def _lent(model: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers with which a module is called; a large one keeps its matrices."""
    state = {name: x.detach() for name, x in model.state_dict().items()}
    most = MATRIX if entries(state) > STREAMED else math.inf
    some = {name: x for name, x in state.items() if x.numel() <= most}
    names, _ = alias_names(model)
    parameters = {n for n, _ in model.named_parameters(remove_duplicate=False)}
    keep = [name for name, x in some.items() if not x.is_floating_point()]
    generator = torch.Generator().manual_seed(1)
    drawn = drawn_params(some, names, parameters, generator, wide=False, keep=keep)
    return {**state, **in_own_precision(drawn, some)}


def _entries(example: Example) -> int:
    return sum(tensor.numel() for tensor in example.tensors)


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


def _position(axis: Axis) -> int:
    return axis[1]
