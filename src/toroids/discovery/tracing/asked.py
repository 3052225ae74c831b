"""Questions of lengths that a forward asks in Python, and where they are answered otherwise."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import CodeType
from typing import Any

from toroids.discovery.tracing.example import Axis, Example
from toroids.discovery.tracing.lengths import NUMBER, Term
from toroids.discovery.tracing.middle import Middle
from toroids.discovery.tracing.nearby import choices, together

# Lengths at which it is tried whether an answer can be the other one.
FAR_AND_NEAR = (0, 1, 2, 3, 5, 17, 100, 1009, 10**6 + 3)
# At so many sizes a forward may cut elsewhere because it does something else there.
MOVING = 2
_VALUE = re.compile(r"value\d+")


@dataclass(frozen=True)
class Question:
    """What was asked of lengths.

    Attributes:
        place: the code that asked, and where in it.
        condition: what was asked.
        answer: of the condition.
        example: where it was asked.
        guessed: whether it is only one of those that the code may have asked.
        cuts: whether nobody asked it: an axis is cut there, behind which there may be more.
        before: conditions asked before it in the same call, and their answers.
    """

    place: tuple[CodeType, int]
    condition: Term
    answer: bool
    example: Example
    guessed: bool = False
    cuts: bool = False
    before: tuple[tuple[Term, bool], ...] = ()

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from others, whatever the answer."""
        return (*self.place, self.condition.text)

    @cached_property
    def like(self) -> tuple[Any, ...]:
        """What it has in common with those that the same code asks of other values, as layers."""
        return (*self.place, _VALUE.sub("value", self.condition.text))

    @cached_property
    def form(self) -> tuple[Any, ...]:
        """What it has in common with those like it in which other numbers stand."""
        return (*self.place, NUMBER.sub("number", self.like[-1]))

    @cached_property
    def numbers(self) -> Mapping[Axis, int]:
        """The lengths where it was asked."""
        return {axis: self.example.size(axis) for axis in self.example.axes}

    def otherwise(self) -> Iterator[Example]:
        """Examples near by at which the answer is the other one.

        Yields:
            Those where an axis has another length, or all axes of the same length have; of these
            where all that was asked before has the same answers, so that it is asked again.
        """
        numbers, named = self.numbers, self.condition.numbers
        found = [*self._choices(self._is_next, numbers, named)] if self.before else []
        for sizes in found or self._choices(self._is_otherwise, numbers, named):
            yield self.example.resized(sizes)
            alike = together(sizes, numbers)
            if alike != sizes:
                yield self.example.resized(alike)

    def _choices(
        self,
        fits: Callable[[Mapping[Axis, int]], bool],
        numbers: Mapping[Axis, int],
        named: Sequence[int],
    ) -> Iterator[dict[Axis, int]]:
        # where an answer changes, as that to t > 20, nothing else may change yet, as max(t, 21)
        return choices(self.condition.axes, numbers, fits, named, each=2)

    def _is_next(self, sizes: Mapping[Axis, int]) -> bool:
        return self._is_otherwise(sizes) and all(
            condition.is_true(sizes) is answer for condition, answer in self.before
        )

    def needs_entries(self) -> bool:
        """Whether only inputs without any entry could change the answer, near by."""
        return any(self._is_otherwise({**self.numbers, axis: 0}) for axis in self.condition.axes)

    @property
    def is_fixed(self) -> bool:
        """Whether no lengths change the answer, by what lengths in the middle seem to be."""
        numbers = self.numbers
        some = [*([axis] for axis in numbers), list(numbers)]
        tried = ({**numbers, **dict.fromkeys(axes, n)} for axes in some for n in FAR_AND_NEAR)
        return not any(map(self._is_otherwise, tried))

    def is_otherwise_at(self, sizes: Mapping[Axis, int]) -> bool:
        """Whether its answer would be the other one at lengths of somebody else's call."""
        return sizes.keys() >= set(self.condition.axes) and self._is_otherwise(sizes)

    def _is_otherwise(self, sizes: Mapping[Axis, int]) -> bool:
        return self.condition.is_true(sizes) is (not self.answer)

    def __str__(self) -> str:
        """The condition, as it was answered."""
        text = self.condition.text
        text = text[1:-1] if text.startswith("(") else text
        where = f" in `{self.place[0].co_qualname}`" if self.condition.is_inside else ""
        return f"`{text if self.answer else f'not {text}'}`{where}"


@dataclass
class Asked:
    """What calls have asked.

    Attributes:
        questions: of lengths.
        layout: whether it was asked how entries lie in memory.
        kind: whether it was asked which type an input or a value has.
        rank: whether it was asked how many axes there are.
        middles: lengths in the middle of the module, by the path there.
        told: lengths that the forward got, whatever became of them.
        path: what was called, in order, on what the module holds, on which values and numbers;
            lengths count alike unless they are zero.
    """

    questions: dict[Any, Question] = field(default_factory=dict)
    layout: bool = False
    kind: bool = False
    rank: bool = False
    middles: dict[Any, Middle] = field(default_factory=dict)
    told: set[Axis | Middle] = field(default_factory=set)
    path: int = 0

    @property
    def told_axes(self) -> list[Axis]:
        """The axes of inputs on whose lengths those depend that the forward got."""
        axes = (x.formula.axes if isinstance(x, Middle) else {x} for x in self.told)
        return sorted(set[Axis]().union(*axes))

    def add(self, other: "Asked") -> None:
        """Adds what another call has asked."""
        self.questions = other.questions | self.questions
        self.layout |= other.layout
        self.kind |= other.kind
        self.rank |= other.rank
        self.told |= other.told

    def is_answered(self, question: Question) -> bool:
        """Whether the other answer was heard, too."""
        return (question.place, question.condition.text, not question.answer) in self.questions

    def is_answered_there(self, question: Question) -> bool:
        """Whether the same code was heard to answer otherwise, of a value in the middle perhaps."""
        if not question.condition.is_inside:
            return self.is_answered(question)
        there = (
            q
            for q in self.questions.values()
            if q.place == question.place
            or (q.place[0] is question.place[0] and q.like[-1] == question.like[-1])
        )
        return any(q.answer is not question.answer for q in there)

    def follows(self, question: Question, example: Example) -> bool:
        """Whether other numbers stood in a question at an example: they follow from the lengths.

        Args:
            question: that would be answered otherwise at the example, if its numbers stayed.
            example: at which the module was called.

        Returns:
            Whether the same code asked for the same there, of other numbers only, and was answered
            as before: so it is if a module checks a length that it gave itself.
        """
        there = [
            q for q in self.questions.values()
            if q.form == question.form and q.example.sizes == example.sizes
        ]  # fmt: skip
        own = question.condition.numbers
        return bool(there) and all(
            q.answer is question.answer and q.condition.numbers != own for q in there
        )

    def follows_cuts(self, question: Question) -> bool:
        """Whether a loop cuts position by position, so that there is nothing behind at any length.

        Returns:
            Whether the same code was heard to cut elsewhere at some other sizes, without a rest.
        """
        ends = {
            q.example.sizes: q.condition.numbers
            for q in self.questions.values()
            if q.cuts and q.form == question.form and not q.answer
        }
        return len({*map(tuple, ends.values())}) > MOVING

    def unanswered(self) -> list[Question]:
        """Questions that were answered one way only, each as it was heard first.

        Returns:
            Those whose other answer was not heard, of another value by the same code either, where
            this one would be otherwise: values are others once a layer has done something else.
        """
        heard: dict[Any, dict[Any, Mapping[Axis, int]]] = {}  # at which lengths, by the answer
        for q in self.questions.values():
            heard.setdefault((q.like, q.answer), {})[tuple(q.numbers.items())] = q.numbers
        first: dict[Any, Question] = {}
        for q in reversed(self.questions.values()):
            others = heard.get((q.like, not q.answer), {})
            if not self.is_answered(q) and not any(map(q.is_otherwise_at, others.values())):
                first[q.key] = q
        return [*reversed(first.values())]
