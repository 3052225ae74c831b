"""Answers to the page's questions: checked, one computed at a time, and remembered."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from toroids.errors import ToroidsError
from toroids.explore.measure import Measurer
from toroids.explore.networks import networks
from toroids.explore.queue import Full, Queue
from toroids.statistics.row import Plain, plain
from toroids.study.opened import OpenRun

Query = Mapping[str, Sequence[str]]
# What is measured, of which networks, at how many points.
Question = tuple[str, tuple[str, ...], int]
# Lines of a grid and points of a path: more only makes one wait, and a page must not hang a server.
MOST = {"points": 401, "resolution": 101}
# Networks of a family tree, every pair of which is aligned.
MOST_NETWORKS = 24
# Answers kept; a section of 101 lines takes some megabytes.
KEPT = 64
# Questions that may wait for their turn; a person asks one at a time.
MOST_WAITING = 32


class Refused(ToroidsError):
    """A question that has no answer, with the status by which HTTP says why."""

    def __init__(self, status: int, sentence: str) -> None:
        """Keeps the status beside the sentence."""
        super().__init__(sentence)
        self.status = status


class Answers:
    """Answers about one run; safe to be asked by several threads."""

    def __init__(self, run: OpenRun) -> None:
        """Reads what the page knows from the start.

        Args:
            run: what is asked about.

        Raises:
            ToroidsError: the run has no network yet.
        """
        self._run = run
        self.networks: Plain = plain(networks(run))
        # by name: its architecture, and its place in the order in which pairs are measured
        self._known: dict[str, tuple[str, int]] = {}
        for architecture in self.networks["architectures"]:
            for network in architecture["networks"]:
                self._known[network["name"]] = (architecture["name"], len(self._known))
        if not self._known:
            raise ToroidsError("the run has no trained network yet; wait for the first.")
        self._queue = Queue(MOST_WAITING)
        self._measurers: dict[str, Measurer] = {}
        self._cache: OrderedDict[Question, Plain] = OrderedDict()

    def profile(self, query: Query, gone: Callable[[], bool] = lambda: False) -> Plain:
        """Measures the paths between the networks `a` and `b` of a query.

        Args:
            query: values by name: `a`, `b`, and optionally `points`.
            gone: tells whether the answer is not waited for any more.

        Returns:
            What `Measurer.between` gives, as plain data. As in the study the network that comes
            first in it stays, whichever is called `a`.

        Raises:
            Refused: the query names no two networks of one architecture, or no number of points.
            ToroidsError: the measurement failed.
            Gone: as `gone` says.
        """
        names = self._names(query, ("a", "b"), "a profile is between two networks, a and b")
        return self._answer("profile", names, self._count(query, "points"), gone)

    def section(self, query: Query, gone: Callable[[], bool] = lambda: False) -> Plain:
        """Measures the section through the networks `a`, `b` and `c` of a query.

        Args:
            query: values by name: `a`, `b`, `c`, and optionally `resolution`.
            gone: tells whether the answer is not waited for any more.

        Returns:
            What `Measurer.through` gives, as plain data, of the networks in the study's order.

        Raises:
            Refused: the query names no three networks of one architecture, or no resolution.
            ToroidsError: the measurement failed.
            Gone: as `gone` says.
        """
        wanted = "a section goes through three networks, a, b and c"
        names = self._names(query, ("a", "b", "c"), wanted)
        return self._answer("section", names, self._count(query, "resolution"), gone)

    def family(self, query: Query, gone: Callable[[], bool] = lambda: False) -> str:
        """Compares all networks of an architecture in pairs.

        Args:
            query: values by name: `architecture`.
            gone: tells whether the answer is not waited for any more.

        Returns:
            The page of their family tree, as `toroids compare` writes it.

        Raises:
            Refused: the query names no architecture of the run with two networks of real weights or
                more, or one with too many.
            ToroidsError: the comparison failed.
            Gone: as `gone` says.
        """
        wanted = "a family tree is of the networks of one architecture"
        name = query["architecture"][0] if list(query) == ["architecture"] else None
        found = [one for one in self.networks["architectures"] if one["name"] == name]
        if not found:
            known = ", ".join(one["name"] for one in self.networks["architectures"])
            raise Refused(400, f"{wanted}; pass ?architecture= with one of {known}.")
        names = tuple(network["name"] for network in found[0]["networks"])
        if found[0]["binary"]:
            raise Refused(400, f"{wanted} with real weights; those of {name} are binary.")
        if not 2 <= len(names) <= MOST_NETWORKS:
            raise Refused(
                400,
                f"{wanted}, 2 to {MOST_NETWORKS} of them, and {name} has {len(names)}; compare "
                "some of them with `toroids compare`.",
            )
        page: str = self._answer("family", names, 0, gone)["page"]
        return page

    def finish(self, seconds: float) -> None:
        """Waits for a computation that is being given up, at most for some seconds."""
        self._queue.finish(seconds)

    def _names(self, query: Query, keys: Sequence[str], wanted: str) -> tuple[str, ...]:
        if set(query) - set(MOST) != set(keys) or any(len(query[key]) != 1 for key in query):
            given = ", ".join(sorted(query)) or "nothing"
            raise Refused(400, f"{wanted}, each named once; got {given}.")
        names = [query[key][0] for key in keys]
        for name in names:
            if name not in self._known:
                raise Refused(
                    404,
                    f"the run has no trained network {name!r}; choose from /networks.json.",
                )
        if len(set(names)) < len(names):
            raise Refused(400, f"{wanted}; got the same network twice, choose different ones.")
        architectures = sorted({self._known[name][0] for name in names})
        if len(architectures) > 1:
            raise Refused(
                400,
                f"the networks are of the architectures {' and '.join(architectures)}, which no "
                "path joins; choose networks of one.",
            )
        return tuple(sorted(names, key=lambda name: self._known[name][1]))

    def _count(self, query: Query, name: str) -> int:
        if name not in query:
            default: int = self.networks[name]
            return default
        text, most = query[name][0], MOST[name]
        # no int(): it takes "1_0", "+3" and digits of other scripts
        if not (text.isascii() and text.isdigit() and len(text) < 5 and 2 <= int(text) <= most):
            raise Refused(400, f"{name} is {text!r}; pass an integer from 2 to {most}.")
        return int(text)

    def _answer(
        self, kind: str, names: tuple[str, ...], size: int, gone: Callable[[], bool]
    ) -> Plain:
        question = (kind, names, size)
        if (known := self._remembered(question)) is not None:
            return known
        try:
            found: Plain = self._queue.do(question, lambda look: self._found(question, look), gone)
        except Full as error:
            raise Refused(
                503, f"{MOST_WAITING} questions wait already; ask again when some are answered."
            ) from error
        return found

    def _found(self, question: Question, look: Callable[[], None]) -> Plain:
        """Measures what was asked for; called in one thread only."""
        kind, names, size = question
        if (known := self._remembered(question)) is not None:  # while this one waited
            return known
        architecture, _ = self._known[names[0]]
        if architecture not in self._measurers:
            self._measurers[architecture] = Measurer(self._run, architecture)
        measurer = self._measurers[architecture]
        measures = {
            "profile": measurer.between,
            "section": measurer.through,
            "family": measurer.among,
        }
        found = measures[kind](names, size, lambda *_: look())
        self._cache[question] = plain({"architecture": architecture, **found})
        while len(self._cache) > KEPT:
            self._cache.popitem(last=False)
        return self._cache[question]

    def _remembered(self, question: Question) -> Plain | None:
        try:
            self._cache.move_to_end(question)
            return self._cache[question]
        except KeyError:  # also where another thread has just dropped it
            return None
