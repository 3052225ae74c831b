"""How much work a study is, before it is done.

What the folder already holds tells how long tasks of a kind take. Where it holds none, the passes
through the network that a task makes are counted, as its `Kind` says, and two are timed: a step of
SGD on a mini-batch, and a pass without gradients over all training examples. Trainings end early
when they reach zero error, so that what is counted for them is the most they can take; alignments
are not counted.
"""

import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from toroids.arguments.checked import checked
from toroids.design.config import StudyConfig
from toroids.errors import ToroidsError
from toroids.evaluation.evaluate import evaluate
from toroids.evaluation.passes import Passes
from toroids.solvers import SGD
from toroids.solvers.sgd import Plain, nesterov
from toroids.study.engines.worker import unexpected
from toroids.study.perform.kinds import KINDS
from toroids.study.perform.setting import Setting
from toroids.study.plan import Part, make_plan
from toroids.study.store import Store


@dataclass(frozen=True)
class Work:
    """The tasks of one kind on one architecture.

    Attributes:
        architecture: its name in the study.
        kind: of the tasks.
        tasks: how many the study has.
        done: how many of them are done.
        seconds: that one takes, on one thread; None where nothing tells.
        basis: "measured" on tasks that are done, or "counted" from passes that were timed.

    See `estimate` for an example.
    """

    architecture: str
    kind: str
    tasks: int
    done: int
    seconds: float | None
    basis: str

    @property
    def left(self) -> float:
        """Seconds of work that are left, on one thread."""
        return (self.tasks - self.done) * (self.seconds or 0.0)


@checked
def estimate(config: StudyConfig, folder: str | Path) -> tuple[Work, ...]:
    """Lists the work of a study, and estimates how long it takes.

    Args:
        config: the study.
        folder: where its run is or would be; nothing is written there.

    Returns:
        By architecture and kind of task, in the order of the plan.

    Raises:
        ToroidsError: the folder holds a run of other versions, the data cannot be loaded, or a
            network cannot be run.

    Example:
        >>> from toroids.study import StudyConfig, estimate
        >>> solvers = {"sgd": {"method": "sgd", "budget": 1}}
        >>> text = {"name": "mine", "seeds": [0, 1], "solvers": solvers}
        >>> study = StudyConfig.model_validate(text)
        >>> [(work.kind, work.tasks) for work in estimate(study, "runs/that-is-not-there")]
        [('symmetry', 1), ('train', 2), ('measure', 2), ('pair', 1)]
    """
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise ToroidsError(f"`{folder}` is a file; name the folder of a run, or a new one.")
    store = Store(folder)
    store.check_version()
    parts = make_plan(config).parts
    passes: dict[str, _Passes] = {}
    works = []
    for part in parts:
        if part.architecture not in passes:
            first = next(part.make())
            passes[part.architecture] = _Passes(_settings(first.settings))
        works.append(_work(store, part, passes[part.architecture]))
    return tuple(works)


def _settings(text: str) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(text)
    return settings


def _work(store: Store, part: Part, passes: "_Passes") -> Work:
    done = [row.seconds for row in store.results(part.make())]
    work = Work(part.architecture, part.kind, part.count, len(done), None, "measured")
    if done:
        return replace(work, seconds=statistics.median(done))
    try:
        # tasks differ in their networks, and hardly in what they do with them
        numbers = Counter(task.settings for task in part.make())
        counted = [
            (seconds, number)
            for text, number in numbers.items()
            if (seconds := passes.seconds(part.kind, _settings(text))) is not None
        ]
    except ToroidsError:
        raise
    except (Exception, SystemExit) as error:  # of a network of the user's own
        raise ToroidsError(
            f"networks.{part.architecture} cannot be run to see how long it takes: "
            f"{unexpected(error)}."
        ) from error
    total = sum(seconds * number for seconds, number in counted)
    mean = total / sum(number for _, number in counted) if counted else None
    return replace(work, seconds=mean, basis="counted")


class _Passes:
    """How long passes through an architecture take."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.setting = Setting(settings)
        self.examples = len(self.setting.data.train[1])

    @cached_property
    def forward(self) -> float:
        """Seconds of a pass over all training examples, without gradients."""
        model, data = self.setting.model, self.setting.data.train
        part = min(self.examples, 500)
        few = data[0][:part], data[1][:part]
        seconds = _timed(lambda: evaluate(model, model.state_dict(), few), self.setting.device)
        return seconds * self.examples / part

    def step(self, batch_size: int) -> float:
        """Seconds of a step of SGD on a mini-batch."""
        model = self.setting.make_model(0).to(self.setting.device)
        inputs, labels = (tensor[:batch_size] for tensor in self.setting.data.train)
        method = Plain(model, nesterov(model, SGD()), None)
        return _timed(lambda: method.step(((inputs, labels),)), self.setting.device)

    def seconds(self, kind: str, settings: dict[str, Any]) -> float | None:
        """Seconds of a task, from the passes that it makes; None where that is not known."""
        counted = KINDS[kind].passes(Setting(settings))
        return None if counted is None else float(sum(self.of(passes) for passes in counted))

    def of(self, passes: Passes) -> float:
        """Seconds of some passes."""
        steps = passes.steps * self.step(passes.batch_size) if passes.steps else 0.0
        counted = steps + passes.forward * self.forward
        return counted if passes.limit is None else min(counted, passes.limit)


def _timed(work: Callable[[], object], device: str, repeats: int = 3) -> float:
    """The median time of a call on one thread, after one that is not counted."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    on_cpu = torch.device(device).type == "cpu"

    def now() -> float:
        if on_cpu:  # what else the machine does meanwhile would be counted thousands of times
            return time.thread_time()
        torch.cuda.synchronize(device)
        return time.perf_counter()

    try:
        work()
        times = []
        for _ in range(repeats):
            begun = now()
            work()
            times.append(now() - begun)
    finally:
        torch.set_num_threads(threads)
    return statistics.median(times)
