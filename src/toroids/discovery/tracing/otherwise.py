"""Looks where a forward's questions in Python are answered the other way.

So does a cut of an axis ask, too: behind a number that the code names, nothing may be left.
"""

from collections import Counter
from itertools import islice

from toroids.discovery.tracing.asked import Question
from toroids.discovery.tracing.example import Axis, Example
from toroids.discovery.tracing.looks import Looks

# Questions about lengths that are answered the other way, and at how many sizes each is tried.
ASKED, GUESSED, TRIES = 48, 16, 6
# What a look counts for where it takes a trace that is for one length only.
APART = 6


class Otherwise:
    """The questions of one module.

    Attributes:
        looks: where it was looked at.
        answered: whether it takes an example, by its sizes.
        reach: how many entries the inputs have that answer a question otherwise.
        settled: questions that no input answers otherwise, and forms of such.
        done: questions that were looked at.
    """

    def __init__(self, looks: Looks) -> None:
        """Asks nothing yet."""
        self.looks = looks
        self.answered: dict[str, bool] = {}
        self.reach: dict[object, int] = {}
        self.settled: set[object] = set()
        self.done: set[object] = set()

    @property
    def _example(self) -> Example:
        return self.looks.example

    def is_open(self, question: Question) -> bool:
        """Whether some input may answer it otherwise."""
        if {question.key, question.form} & self.settled or not self.counts(question):
            return False
        return not (question.cuts and self.looks.call.asked.follows_cuts(question))

    def behind_cuts(self, grown: Example) -> Example:
        """An example so long that something is behind every cut of an axis that is not open.

        Returns:
            It, or the same: a trace shows nothing of what becomes of a part that is empty in it.
        """
        if not any(q.cuts and self.counts(q) for q in self.looks.call.asked.questions.values()):
            return grown
        self.one_longer(grown)  # which tells which lengths in the middle of the module follow it
        sizes = self._needed(grown)
        accepted = sizes and self.looks.call.accepts(grown.resized(sizes)) is not None
        return grown.resized(sizes) if accepted else grown

    def one_longer(self, example: Example) -> Example:
        """An example with one more position along every axis that allows it alone."""
        axes = [axis for axis in example.axes if not self.looks.is_image(axis)]
        more = {axis: example.size(axis) + 1 for axis in axes}
        found = {axis: n for axis, n in more.items() if self.looks.accepts({axis: n}, example)}
        return example.resized(found if self.looks.accepts(found, example) else {})

    def _needed(self, grown: Example) -> dict[Axis, int]:
        """Lengths at which there is something behind what was cut, as far as these are known."""
        longer: dict[Axis, int] = {}
        asked = [q for q in self.looks.call.asked.questions.values() if q.cuts and self.counts(q)]
        for question in asked:
            example = next(question.otherwise(), grown)
            for axis in [] if self.looks.is_too_large(example) else example.axes:
                if example.size(axis) > max(grown.size(axis), longer.get(axis, 0)):
                    longer[axis] = example.size(axis)
        return longer

    def look(self) -> None:
        """Looks where the forward's questions in Python are answered the other way."""
        asked, looks = self.looks.call.asked, Counter[object]()
        for guessed, most in ((False, ASKED), (True, GUESSED)):
            left = most // 4 if self.looks.is_large() else most
            while left > 0 and (
                open_ := [
                    q
                    for q in asked.unanswered()
                    if q.guessed is guessed
                    and q.key not in self.done
                    and self._may_vary(q)
                    and self.is_open(q)
                ]
            ):
                question = min(open_, key=lambda q: (looks[q.place], self._nearness(q)))
                self.done.add(question.key)
                known = len(self.looks.programs)
                looked = self._look_for_other_answer(question)
                looks[question.place] += looked
                axes, new = question.condition.axes, self.looks.programs[known:]
                apart = [p for p in new if any(axis not in p.lengths for axis in axes)]
                left -= APART * len(apart) or looked

    def counts(self, question: Question) -> bool:
        """Whether it is no cut of an axis that is open, whose trace tells what is behind."""
        lengths = self.looks.programs[0].lengths if self.looks.programs else ()
        axes = question.condition.axes
        return not question.cuts or not (question.answer or all(axis in lengths for axis in axes))

    def _may_vary(self, question: Question) -> bool:
        """Whether it is no guess about lengths that were never seen to vary."""
        axes = question.condition.axes
        return not question.guessed or all(len(self.looks.tried[axis]) > 1 for axis in axes)

    def _nearness(self, question: Question) -> int:
        """How near the other answer is: far away, a large network answers more at once."""
        if not self.looks.is_large():
            return 0
        if question.key not in self.reach:
            example = next(question.otherwise(), self._example)
            self.reach[question.key] = 0 if self.looks.is_too_large(example) else example.entries
        return -self.reach[question.key]

    def _look_for_other_answer(self, question: Question) -> bool:
        """Looks near by until a question is answered the other way, or the module takes nothing.

        Returns:
            Whether it was called anywhere.
        """
        others = [*islice(question.otherwise(), TRIES)]
        taken = called = follows = False
        for example in others:
            if self.looks.is_too_large(example):
                return called
            if example.sizes not in self.answered:
                called = True
                self.answered[example.sizes] = self.looks.look(example, keep=False)
            taken |= self.answered[example.sizes]
            follows |= self.looks.call.asked.follows(question, example)
            if taken and (question.guessed or question not in self.looks.call.asked.unanswered()):
                return called
        if question.needs_entries() if not others else not taken:
            self.settled.add(question.key)
        if follows:
            self.settled.add(question.form)
        return called
