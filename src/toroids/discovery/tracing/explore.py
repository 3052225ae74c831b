"""Looks at a module beyond its example: for which sizes of the inputs is it what program?

What is found on one example must hold on every input that the module accepts. Lengths stay open in
the trace where they can. Where they cannot, and beyond what the trace allows, the module is called
at other sizes; where it gives something else than the trace that is there, it is traced again.
"""

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import torch
from torch import nn

from toroids.discovery.tracing.assumed import excluded
from toroids.discovery.tracing.calls import Caller, check_operators
from toroids.discovery.tracing.distant import look_at_loops, look_where_told
from toroids.discovery.tracing.draws import drawn_inputs
from toroids.discovery.tracing.example import Axis, Example, Inputs, example_of
from toroids.discovery.tracing.holds import Point, Sizes, left_out
from toroids.discovery.tracing.looks import ENTRIES, SEQUENCE, Looks
from toroids.discovery.tracing.nearby import around
from toroids.discovery.tracing.otherwise import Otherwise
from toroids.discovery.tracing.program import Program
from toroids.discovery.tracing.supported import check_supported, unknown_numbers
from toroids.discovery.tracing.trace import ALL_PRESENT, CHECKED, trace
from toroids.discovery.tracing.variants import laid_out_otherwise, of_other_lists, of_other_rank
from toroids.discovery.tracing.weightless import unknown_in, with_weights
from toroids.errors import ToroidsError
from toroids.evaluation.inside import heard_draws
from toroids.evaluation.running import check_module

UNRECORDED = (
    "holds where no gradients are recorded, as in evaluation: with them the forward does something "
    "else"
)
DRAWN = (
    "holds where the random numbers that the forward draws outside of PyTorch change nothing, as "
    "in all calls that were made"
)
# Sizes up to which it is tried whether a module accepts more than its trace allows, and how often.
LONGEST, BEYOND = 600, 3
# How often every place is looked at again where a trace takes everything for present.
DRAWS = 3
# How many more programs are looked for all around.
MORE = 2
# Traces whose guards are looked at, and how many others are taken for them.
ROUNDS, EXCLUDED = 6, 12
# Networks of more entries are not looked at in another precision.
LARGE = 2**24
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
    # a forward may draw; the user's sequence goes on as it would
    with torch.random.fork_rng(), heard_draws():
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
    """Decides where to look."""

    def __init__(self, model: nn.Module, example: Example, key: str | int | None) -> None:
        self.looks = Looks(model, example, key)
        self.otherwise = Otherwise(self.looks)

    @property
    def _example(self) -> Example:
        return self.looks.example

    def explored(self, also: Sequence[Example]) -> Explored:
        """Looks at the example, at others, and wherever that leaves something open."""
        first = self.looks.first()
        grown = self._grown()
        self.looks.programs.append(self.looks.traced(grown))
        longer = self.otherwise.behind_cuts(grown)
        if longer is not grown:
            self.looks.programs = [self.looks.traced(longer)]
        check_operators(self.looks.model, self.looks.programs[0])
        if longer is not self._example:
            self.looks.look(longer)
        if longer is not grown:  # where all parts are there, too, for a twin
            self.looks.look(self.otherwise.one_longer(longer))
        self.looks.look(self._example, first)
        self.looks.points.reverse()
        for other in also:
            self.looks.look(other, self.looks.call.first(other))
        self._look_further()
        if {ALL_PRESENT, CHECKED} & {*self.looks.programs[0].notes}:
            self._look_at_other_numbers()
        self.looks.tell_sizes_from_numbers()
        asked = self.looks.call.asked
        open_ = [q for q in asked.unanswered() if self.otherwise.is_open(q)]
        open_ = [q for q in open_ if not (q.guessed or q.is_fixed or asked.is_answered_there(q))]
        notes = [
            *Sizes(self._example, self.looks.points).notes(open_),
            *left_out(self.looks.model, self._example),
            *([UNRECORDED] if self.looks.call.records else []),
            *([DRAWN] if self.looks.call.draws else []),
            *(note for program in self.looks.programs for note in program.notes),
        ]
        return Explored(
            self.looks.model,
            tuple(self.looks.programs),
            tuple(self.looks.points),
            tuple(dict.fromkeys(notes)),
        )

    def _grown(self) -> Example:
        """The example with more than one position along every axis that allows it."""
        single = [
            axis
            for axis in self._example.axes
            if self._example.size(axis) == 1 and self._example.tensors[axis[0]].ndim <= SEQUENCE
        ]
        grown: dict[Axis, int] = {}
        whole = {axis: 2 + axis[1] for axis in single}
        if single and self.looks.accepts(whole):
            return self._example.resized(whole)
        for position, group in groupby(sorted(single, key=_position), key=_position):
            more = {axis: 2 + position for axis in group}
            for some in (more, *({axis: n} for axis, n in more.items())):
                if not some.keys() & grown.keys() and self.looks.accepts({**grown, **some}):
                    grown |= some
        return self._example.resized(grown) if grown else self._example

    def _look_further(self) -> None:
        """Looks at other sizes: small ones, single ones, and those beyond what a trace allows."""
        other = self._small()
        self.looks.check_stateless(
            min(self._example, other or self._example, key=attrgetter("entries"))
        )
        if other is not None:
            self.looks.look(other)
            self._look_at_other_counts(other)
        if self.looks.is_large() and len(self.looks.programs) == 1:
            self.looks.tell_sizes_from_numbers()
        # a large network is traced no third time for it, but where its numbers are known
        if not self.looks.is_large() or self.looks.programs[0].twin is not None:
            single = self._single()
            if single is not None:
                self.looks.look(single)
            self._look_longer()
        self._look_larger()
        self._look_where_excluded()
        for _ in range(BEYOND):
            if not any([self.looks.look(example) for example in list(self._beyond())]):
                break
        look_at_loops(self.looks)
        self._look_around(other or self._example)
        self.otherwise.look()
        if look_where_told(self.looks):
            self.otherwise.look()
        self._look_at_variants()

    def _look_at_other_counts(self, other: Example) -> None:
        """Looks at as many images as in `other`, of the example's size: a trace has one number."""
        size, axes = self._example.size, self._example.axes
        sizes = {axis: other.size(axis) for axis in axes if other.size(axis) != size(axis)}
        counts = {axis: n for axis, n in sizes.items() if not axis[1]}
        if not self.looks.programs[0].lengths and counts and counts != sizes:
            self.looks.look(self._example.resized(counts))

    def _look_at_variants(self) -> None:
        """Looks at the example in other forms, if the forward tells them apart."""
        asked, found = (
            self.looks.call.asked,
            [*of_other_lists(self.looks.model, self._example)],
        )
        if asked.layout:
            found += laid_out_otherwise(self._example)
        if asked.rank and not self.looks.is_large():
            found += of_other_rank(self._example)
        for example in found:
            self.looks.look(example, keep=False)
        if asked.kind:
            self._look_wide()

    def _look_wide(self) -> None:
        """Looks at the module in float64, if it asks for types."""
        if sum(x.numel() for x in self.looks.call.params.values()) > LARGE:
            return
        try:
            wide = copy.deepcopy(self.looks.model).double()
        except Exception:  # of a module that cannot be copied
            return
        params = {
            n: x.double() if x.is_floating_point() else x for n, x in self.looks.call.params.items()
        }
        example = self.looks.programs[0].example.in_precision_of(wide)
        call = Caller(wide, params, self.looks.key)
        expected = call.accepts(example)
        if expected is None or any(
            call.agrees(p, example, expected, True) for p in self.looks.own()
        ):
            return
        program = trace(wide, example, self.looks.key, plain=self.looks.plain)
        if call.agrees(program, example, expected, True):
            self.looks.programs.append(program)
            self.looks.points.append(Point(program, example))

    def _look_around(self, small: Example) -> None:
        """Looks at odd sizes, wide and tall ones, while they are taken for sizes like others."""
        most = self._example.entries if self.looks.is_large() else ENTRIES
        known = Sizes(self._example, self.looks.points)
        paired = {axis: small.size(axis) for axis in self._example.axes if known.is_paired(axis)}
        count = len(self.looks.programs)
        for alternatives in around(paired) if paired else ():
            for example in map(small.resized, alternatives):
                if len(self.looks.programs) > count + MORE or example.entries > most:
                    continue
                if self.looks.look(example, keep=False):
                    break

    def _look_at_other_numbers(self) -> None:
        """Looks at inputs of few entries, of which data leave much out, and at many."""
        for seed, point in enumerate([*self.looks.points] * DRAWS):
            drawn = drawn_inputs(point.example.tensors, torch.Generator().manual_seed(10 + seed))
            self.looks.look(point.example.with_tensors(drawn))

    def _small(self) -> Example | None:
        """The example at other lengths of all axes that have some."""
        main = self.looks.programs[0]
        sizes: dict[Axis, int] = {}
        for axes, _ in self._open_groups(main):
            if len(self.looks.tried[axes[0]]) < 2:
                lengths = [n for n in SHORT if n not in sizes.values()]
                sizes |= self._other([*lengths, *self._others(axes[0])], axes, sizes)
        for axes in self._closed_groups(main, sizes):
            if len(self.looks.tried[axes[0]]) < 2 or self.looks.is_image(axes[0]):
                sizes |= self._other(self._others(axes[0]), axes, sizes)
        return self._example.resized(sizes) if sizes else None

    def _look_where_excluded(self) -> None:
        """Looks at lengths that no trace allows, where the module takes them."""
        done, seen = list[Program](), {point.example.sizes for point in self.looks.points}
        known = len(self.looks.programs)
        while new := [p for p in self.looks.own() if p not in done and len(done) < ROUNDS]:
            for program in new:
                done.append(program)
                for example in self._excluded(program):
                    if len(self.looks.programs) - known == EXCLUDED:
                        return  # as where most lengths take a trace of their own
                    if example.sizes not in seen and not self.looks.is_too_large(example):
                        self.looks.look(example)
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
        space = [axis for axis in self._example.axes if self.looks.is_image(axis) and axis[1] > 1]
        size = self._example.size
        least = IMAGE if len(space) < 3 else FILM
        small = [axis for axis in space if size(axis) <= 2 * least]
        if not small:
            if len(space) > 1:
                self.looks.look(self._example.resized({space[-1]: size(space[-1]) // 2}))
            return
        double = {axis: max(2 * size(axis), least) for axis in small}
        more = {axis: max(size(axis) * 3 // 2, least * 3 // 2) for axis in small}
        self.looks.look(self._example.resized(double))
        if not self.looks.look(self._example.resized({**more, small[-1]: double[small[-1]]})):
            self.looks.look(self._example.resized(more))  # where images must be square

    def _other(
        self, lengths: Sequence[int], axes: Sequence[Axis], sizes: Mapping[Axis, int]
    ) -> dict[Axis, int]:
        """Another length of some axes, beside other sizes; nothing where there is none."""
        for n in lengths:
            more = dict.fromkeys(axes, n)
            if n != self._example.size(axes[0]) and self.looks.accepts({**sizes, **more}):
                return more
        return {}

    def _others(self, axis: Axis) -> list[int]:
        """Other lengths to try, of unlike parity first; images are rather made smaller."""
        size = self._example.size(axis)
        smaller = [n for n in (size // 2, size - 1) if n >= 2]
        larger = [size + 1, 2 * size]
        if self.looks.is_image(axis):
            return list(dict.fromkeys([*(n for n in (size // 4,) if n > 7), *smaller, *larger]))
        if self._example.tensors[axis[0]].ndim > SEQUENCE:
            return [n for n in (2, 3, 1) if n != size]
        short = [n for n in SHORT[axis[1] % 2 :] if n < size]  # unlike along unlike axes
        return list(dict.fromkeys([*short, *larger, *smaller]))

    def _open_groups(self, program: Program) -> Iterator[tuple[list[Axis], str]]:
        """Axes that the trace left open, those of one length together."""
        by_length: dict[str, list[Axis]] = {}
        for axis, length in program.lengths.items():
            if length.is_Symbol:
                by_length.setdefault(str(length), []).append(axis)
        yield from ((axes, name) for name, axes in by_length.items())

    def _closed_groups(self, program: Program, taken: Mapping[Axis, int]) -> Iterator[list[Axis]]:
        """Axes that the trace did not leave open: each alone, then those of one size together."""
        rest = [axis for axis in self._example.axes if axis not in program.lengths]
        yield from ([axis] for axis in rest)
        size = self._example.size
        for _, group in groupby(sorted(rest, key=size), key=size):
            axes = [axis for axis in group if axis not in taken]
            if len(axes) > 1:
                yield axes

    def _single(self) -> Example | None:
        """The example with a single position along every free axis that allows it."""
        sizes: dict[Axis, int] = {}
        main = self.looks.programs[0]
        closed = [
            [a]
            for a in self._example.axes
            if a not in main.lengths and len(self.looks.tried[a]) > 1 and not self.looks.is_image(a)
        ]
        for axes in [*(axes for axes, _ in self._open_groups(main)), *closed]:
            if 1 not in self.looks.tried[axes[0]] and self.looks.accepts(
                {**sizes, **dict.fromkeys(axes, 1)}
            ):
                sizes |= dict.fromkeys(axes, 1)
        return self._example.resized(sizes) if sizes else None

    def _look_longer(self) -> None:
        """Looks at a longer example along axes for whose lengths the first program has numbers."""
        # not with more images, of which a single one tells as much for less
        main, size, tensors = self.looks.programs[0], self._example.size, self._example.tensors
        if main.twin is None or main.lengths:
            return
        some = (axis for axis in self._example.axes if tensors[axis[0]].ndim <= SEQUENCE)
        axes = [axis for axis in some if len(self.looks.tried[axis]) > 1]
        # unlike along unlike axes; hardly more along the first of several, which holds examples
        few = len({position for _, position in axes}) > 1
        more = {
            (i, k): size((i, k)) + 2 if few and k == 0 else 2 * size((i, k)) + 1 + 2 * k
            for i, k in axes
        }
        if not more or self.looks.look(self._example.resized(more)):
            return
        sizes: dict[Axis, int] = {}
        for axis, n in more.items():
            if self.looks.accepts({**sizes, axis: n}):
                sizes[axis] = n
        if sizes:
            self.looks.look(self._example.resized(sizes))

    def _beyond(self) -> Iterator[Example]:
        """Examples just below and above the lengths that the traces allow."""
        for program in self.looks.own():
            for axes, name in self._open_groups(program):
                low, high = program.ranges[name]
                # at the first one a part may be empty, of which the second shows something
                more = () if high is None else (high + 1, high + 2)
                for n in (low - 1, low - 2, *more):
                    if n < 1 or n > LONGEST or self.looks.covered(axes[0], n):
                        continue
                    self.looks.tried.setdefault(axes[0], set()).add(n)
                    yield program.example.resized(dict.fromkeys(axes, n))


def _position(axis: Axis) -> int:
    return axis[1]
