"""Times flips of binary weights, followed incrementally, beside the plain model run from scratch.

Run it with `python benchmarks/binary_flips.py`. CPU time on one thread, medians of runs in turn: a
784-501-501-10 network of random signs on 1000 random points. Every row is a path on which so many
flips happen between two evaluations. Both sides flip, and measure error and loss; the plain model
runs under no_grad. Bare products are those of its matrices, with no signs taken of weights or sums.
Candidates are single flips whose errors are asked for at once, and not kept.
"""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import torch
from harness.result import Result
from harness.script import main
from harness.timing import interleaved
from torch import Tensor, nn

import toroids as td
from toroids.binary.sign import sign
from toroids.landscape.flips import FlipEvaluator

WIDTHS, EXAMPLES = [784, 501, 501, 10], 1000
BLOCKS = (1, 10, 100, 1000, 10_000)
CANDIDATES = 500
# A flip is to be five times as fast as the plain model.
GOAL = 0.2


class Flips:
    """The network, and what is timed."""

    def __init__(self) -> None:
        """Draws the network and the points."""
        self.generator = torch.Generator().manual_seed(0)
        self.model = td.models.binary_fully_connected(WIDTHS, threshold=0.5).eval()
        params = {name: sign(latent.detach()) for name, latent in self.model.state_dict().items()}
        self.model.load_state_dict(params)
        self.inputs = torch.rand(EXAMPLES, WIDTHS[0], generator=self.generator)
        self.labels = torch.randint(WIDTHS[-1], (EXAMPLES,), generator=self.generator)
        self.network = FlipEvaluator(self.model, params, (self.inputs, self.labels))
        names, sizes = self.network.weights.names, self.network.weights.sizes
        self.sizes = dict(zip(names, sizes, strict=True))
        own = dict(self.model.named_parameters())
        self.plain = {name: own[name].data.view(-1) for name in names}
        self.layers = [(torch.rand(EXAMPLES, i), torch.rand(o, i).T) for i, o in pairwise(WIDTHS)]

    def _draw(self, size: int, count: int) -> Tensor:
        return torch.randint(size, (count,), generator=self.generator)

    def ours(self, name: str | None, count: int) -> None:
        """Flips so many weights, of one tensor or of all, and evaluates."""
        if name is None:
            self.network.flip_at(self._draw(self.network.weights.entries, count))
        else:
            self.network.flip(name, self._draw(self.sizes[name], count))
        self.network.evaluation()

    def candidates(self, name: str) -> None:
        """The errors after single flips."""
        self.network.errors_if(name, self._draw(self.sizes[name], CANDIDATES))

    def scratch(self, name: str | None, count: int) -> None:
        """Flips weights of the plain model and runs it."""
        name = name or "hidden1.weight"
        self.plain[name][self._draw(self.sizes[name], count)] *= -1
        with torch.no_grad():
            logits = self.model(self.inputs)
            (logits.argmax(dim=1) != self.labels).double().mean().item()
            nn.functional.cross_entropy(logits, self.labels).item()

    def products(self) -> None:
        """The bare matrix products."""
        for x, weight in self.layers:
            x @ weight


def rows(quick: bool) -> Iterator[Result]:
    """Milliseconds of every kind of path beside the plain model, and of blocks beside products."""
    torch.set_num_threads(1)
    flips, repeats = Flips(), 3 if quick else 7
    kinds: list[tuple[str, str | None, int]] = [
        (f"flips, {count} between evaluations", None, count) for count in BLOCKS
    ]
    kinds += [(f"flips, 1 of {name}", name, 1) for name in flips.sizes]
    for what, name, count in kinds:
        calls = {1: 100, 10: 30, 100: 10}.get(count, 4)
        times = interleaved(
            {
                "ours": partial(flips.ours, name, count),
                "scratch": partial(flips.scratch, name, count),
                "products": flips.products,
            },
            repeats,
            calls={"ours": calls, "scratch": 3, "products": 3},
        )
        ours, scratch, products = (milliseconds(found) for found in times.values())
        goal = GOAL if count == 1 else None
        yield Result(what, "CPU ms", ours, "plain model", scratch, goal=goal)
        if name is None:
            yield Result(what, "CPU ms", ours, "bare products", products)
    for name in flips.sizes:
        times = interleaved(
            {
                "ours": partial(flips.candidates, name),
                "scratch": partial(flips.scratch, name, 1),
            },
            repeats,
            calls={"scratch": 3},
        )
        ours = [value / CANDIDATES for value in milliseconds(times["ours"])]
        scratch = milliseconds(times["scratch"])
        what = f"flips, a candidate of {name}"
        yield Result(what, "CPU ms", ours, "plain model", scratch, goal=GOAL)
    expected = td.evaluate(flips.model, flips.network.params, (flips.inputs, flips.labels)).error
    what = "error after all flips"
    yield Result(what, "error", [flips.network.error], "evaluated anew", [expected])
    if flips.network.error != expected:
        raise ArithmeticError("the error after all flips is not the one evaluated anew")


def milliseconds(seconds: list[float]) -> list[float]:
    """The same in milliseconds."""
    return [1e3 * value for value in seconds]


if __name__ == "__main__":
    main(rows)
