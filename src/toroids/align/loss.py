"""Alignment by the loss: the element under which what lies between two networks is good.

A larger similarity is not a lower barrier (benchmarks/align_quality.md). Here the element is chosen
for the loss between the networks. With A the network that stays and gB the moved one, every step
draws a mini-batch and a place t near the middle of the geodesic and moves g down the gradient of

    loss(geodesic from A to gB, at t)

by `walk`: orthogonal matrices and phases turn a little, units and signs are chosen anew. Steps get
shorter towards the end. Every few steps the loss at the middle is looked at on the same examples;
kept is the element of the lowest. Logits of canonical classifiers are so small that their loss
hardly has a slope: they are scaled by what is best at the first middle.

A checkpoint holds all that the next step depends on, so that a killed run goes on to the same
element, bit for bit on a CPU.

Reference: Ainsworth, Hayase and Srinivasa, Git Re-Basin: Merging Models modulo Permutation
Symmetries, 2023, arXiv 2209.04836 (the straight-through estimator); Theus et al., Generalized
linear mode connectivity for transformers, 2025, arXiv 2506.22712 (learned matching).
"""

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from toroids.align.activations import activations, probe_on
from toroids.align.best import best
from toroids.align.descent import descent
from toroids.align.position import Position
from toroids.align.problem import Found, Problem
from toroids.align.walk import Walk
from toroids.errors import ParamsError, ToroidsError
from toroids.evaluation.batches import Batch, map_inputs
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.running import check_params
from toroids.files.resume import Resume, fingerprint_of
from toroids.geometry.paths import Line
from toroids.geometry.toroid import Toroid
from toroids.params import Params
from toroids.symmetry.element import Element
from toroids.symmetry.group import SymmetryGroup

# By then the lowest loss has long been passed on networks of 8 to 128 units per layer.
STEPS = 400
# Of them, the first ones, in which steps grow: Adam does not know the sizes of gradients yet.
WARM = 10
# How far from the middle places are drawn, to both sides: farther out the loss says less, and at
# the middle alone a barrier grows beside it (benchmarks/language_models.md).
SPREAD = 0.1
# Labels, one per example or per token, that a step looks at, and that the middle is judged by.
LABELS = 1024
JUDGED = 8 * LABELS
# Judging takes no more than a tenth of the time then.
EVERY = 25


def loss(problem: Problem) -> Found:
    """Finds an element of low loss between two networks.

    Starts where `best` ends; where matrices or phases act, where `descent` or `activations` ends,
    whichever has the lower loss. Its loss at the middle, on the examples that it is judged by, is
    never above that of the start, its similarity can be.

    Args:
        problem: the two networks, with a landscape. Every step runs the network forwards and
            backwards on a mini-batch of about 1024 labels. With a deadline, steps are taken until
            then, and get shorter as it comes near; the time before a kill counts.

    Returns:
        An element of permutations, signs, orthogonal matrices and phases.

    Raises:
        ToroidsError: no landscape, or one of another architecture or without examples; or a
            checkpoint beside batches whose order nobody knows.
        CheckpointError: the checkpoint is of another alignment, or is not whole.
    """
    if problem.landscape is None:
        raise ToroidsError(
            "the method 'loss' looks at the loss between the networks; pass "
            "landscape=td.Landscape(model, (inputs, labels))."
        )
    between = _Between(problem, problem.landscape)
    resume = Resume(problem.checkpoint, between.fingerprint, "an alignment")
    effort = replace(problem.effort, deadline=problem.effort.deadline - resume.seconds)
    learner = _Learner(problem, between, resume.state)
    begun = resume.state.get("begun", resume.seconds)
    limited, end = math.isfinite(effort.deadline), resume.seconds + effort.left
    while (limited or learner.count < STEPS) and not effort.over:
        if learner.count % EVERY == 0:
            resume.save(lambda: {"begun": begun, **learner.state()})
        effort.tell("loss", learner.count, 0 if limited else STEPS)
        done = (resume.seconds - begun) / (end - begun) if limited else learner.count / STEPS
        learner.step(_cosine(done))
        if learner.count % EVERY == 0 or learner.count == STEPS or effort.over:
            learner.judge()
    resume.save(lambda: {"begun": begun, **learner.state()}, last=True)
    return Found(learner.best, learner.count, learner.count >= STEPS, "loss")


def _cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


class _Learner:
    """An element on its way, and the best on it.

    Attributes:
        best: the element of the lowest loss so far.
        count: of the steps.
    """

    def __init__(self, problem: Problem, between: "_Between", state: dict[str, Any]) -> None:
        """Begins where other methods end, or goes on from a state."""
        self._between, self._position = between, problem.position()
        if state:
            self.best, self._lowest = Element.of(state["best"]), state["lowest"]
            self._walk, self.count = Walk(problem, self._position), state["count"]
            self._walk.load(state["walk"])
            between.load(state["between"])
        else:
            self._position, self._lowest = between.start()
            self.best, self.count = self._position.element, 0
            self._walk = Walk(problem, self._position)

    def state(self) -> dict[str, Any]:
        """What the next step depends on."""
        parts = {"walk": self._walk.state(), "between": self._between.state()}
        best = {"best": self.best.tensors(), "lowest": self._lowest}
        return {"count": self.count, **best, **parts}

    def step(self, share: float) -> None:
        """Moves the element, by that share of a full step."""
        gradient = self._between.gradient(self._position)
        self._walk.step(gradient, min(1.0, (self.count + 1) / WARM) * share)
        self.count += 1

    def judge(self) -> None:
        """Keeps the element if its loss is the lowest."""
        reached = self._between.judged(self._position)
        if reached < self._lowest:
            self._lowest, self.best = reached, self._position.element


class _Between:
    """What lies between the network that stays and the one that moves."""

    def __init__(self, problem: Problem, landscape: Landscape) -> None:
        self._problem = problem
        self._toroid = Toroid(problem.stored or problem.group, problem.bias)
        self._reference = problem.as_stored(problem.reference)
        check_params(landscape.model, self._reference)
        self._generator = problem.effort.generator
        middle = self._at(problem.start, 0.5)
        first = next(landscape.ready(middle))
        count = max(1, LABELS * len(first[1]) // max(1, first[1].numel()))
        self._judge = _sample(landscape, first, count * (JUDGED // LABELS))
        self._landscape = landscape
        self._temperature = temperature_between(problem.group, self._judge, middle)
        self._count, self._middle, self._begun = count, middle, self._generator.get_state()
        self._draw_from(int(torch.randint(2**31, (), generator=self._generator)))

    def _draw_from(self, seed: int, skipped: int = 0) -> None:
        """Draws mini-batches, the first ones left out."""
        own = torch.Generator().manual_seed(seed)
        drawn = self._landscape.minibatches(self._middle, self._count, own)
        self._drawn: Iterator[Batch] = islice(drawn, skipped, None)
        self._seed, self._taken = seed, skipped

    def fingerprint(self) -> str:
        """What tells the networks, the group, the data and the draws from others."""
        landscape, problem = self._landscape, self._problem
        if not landscape.repeats:
            raise ToroidsError(
                "a checkpoint does not keep the order in which a loader gives its batches; pass a "
                "landscape of a pair of tensors or a list of batches, or no checkpoint."
            )
        held = [self._begun, *self._reference.values(), *problem.start.values()]
        for inputs, targets in landscape.ready(self._middle):
            map_inputs(held.append, inputs)
            held.append(targets)
        group = (problem.stored or problem.group).to_json()
        return fingerprint_of(f"{group} {problem.bias} {self._temperature}", *held)

    def state(self) -> dict[str, Any]:
        """What the next draws depend on."""
        generator = self._generator.get_state()
        return {"generator": generator, "seed": self._seed, "taken": self._taken}

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from a state."""
        self._generator.set_state(state["generator"])
        self._draw_from(state["seed"], state["taken"])

    def start(self) -> tuple[Position, float]:
        """Where other methods end, and the loss at the middle there."""
        problem = self._problem
        turning = any(space.matrix or space.of("phase") for space in problem.group.spaces)
        reached = [problem.position((descent if turning else best)(problem).element)]
        if turning and not problem.effort.over:
            with suppress(ToroidsError):  # a network that cannot be traced has no probe
                group = problem.stored or problem.group
                probe = problem.probe or probe_on(self._judge, group, self._reference)
                seen = replace(problem, probe=probe)
                reached.append(problem.position(activations(seen).element))
        losses = [self.judged(position) for position in reached]
        lowest = min(losses)
        return reached[losses.index(lowest)], lowest

    def judged(self, position: Position) -> float:
        """The loss at the middle, on the same examples every time."""
        middle = self._at(position.tensors, 0.5)
        return self._judge.measure(middle, self._temperature).loss

    def gradient(self, position: Position) -> dict[str, Tensor]:
        """The gradient of the loss of a mini-batch at a place near the middle."""
        names = self._problem.group.parameters
        leaves = {n: position.tensors[n].detach().clone().requires_grad_() for n in names}
        draw = torch.rand((), generator=self._generator).item()
        landscape = self._landscape
        with landscape.evaluation_mode(), torch.enable_grad():
            point = self._at({**position.tensors, **leaves}, 0.5 + SPREAD * (2 * draw - 1))
            value = landscape.batch_loss(point, next(self._drawn), self._temperature)
            self._taken += 1
            found = torch.autograd.grad(value, list(leaves.values()), materialize_grads=True)
        return dict(zip(leaves, found, strict=True))

    def _at(self, moved: Params, t: float) -> Params:
        a, b = self._reference, self._problem.as_stored(moved)
        try:
            return self._toroid.geodesic(a, b)(t)
        except ParamsError:  # antipodal units have no middle on their sphere: that of their chord
            return self._toroid.project(Line(a, b)(t))


def temperature_between(group: SymmetryGroup, landscape: Landscape, middle: Params) -> float:
    """By what outputs are divided where the loss between two networks is judged.

    Args:
        group: says whether the outputs of its networks have a scale.
        landscape: whose temperature counts, if it has one.
        middle: the network half way, before anything is moved.

    Returns:
        The landscape's; for classifiers the one that fits best in the middle where there is none.
    """
    word = landscape.temperature
    if word is None:
        word = "fit" if group.output.mode == "classifier" else 1.0
    return landscape.temperature_at(middle, word)


def _sample(landscape: Landscape, first: Batch, count: int) -> Landscape:
    """A landscape on so many of its examples, evenly spread; on all where they are no pair."""
    if not landscape.repeats:
        return landscape
    inputs, targets = first
    if len(targets) <= count:
        return landscape
    some = torch.linspace(0, len(targets) - 1, count, device=targets.device).round().long()
    return replace(landscape, data=(map_inputs(lambda x: x[some], inputs), targets[some]))
