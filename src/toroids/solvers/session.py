"""The loop over epochs, and going on where a training was killed.

A checkpoint holds what the next epoch depends on, the states of all generators included, so that a
killed training goes on to the same weights, bit for bit on a CPU. It is written after an epoch,
where it is due.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from toroids.errors import CheckpointError, DataError, ParamsError
from toroids.evaluation.batches import TensorPair
from toroids.evaluation.landscape import Landscape
from toroids.files.resume import Resume, fingerprint_of
from toroids.solvers.recipe import Recipe
from toroids.solvers.training import Epoch, Method, Phase, minibatches

# Called after every epoch with its phase, its number (0: before the first) and the network.
Watch = Callable[[str, int, Mapping[str, Tensor]], None]
_WATCH: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Shows the networks of the trainings in the block, epoch by epoch.

    Args:
        watch: called with the phase, the number of the epoch (0: before the first) and parameters.

    Yields:
        Nothing.
    """
    token = _WATCH.set(watch)
    try:
        yield
    finally:
        _WATCH.reset(token)


class Session:
    """One training, of one or more phases, that can go on from a checkpoint."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        data: TensorPair,
        checkpoint: str | Path | None,
    ) -> None:
        """Looks for a checkpoint of the same training.

        Args:
            settings: everything besides the data and the initialised networks that decides the
                result, as numbers, texts and groups.
            data: inputs and labels.
            checkpoint: a file to go on from, where there is one, and to write; None for neither.

        Raises:
            CheckpointError: the checkpoint is of another training, or is not whole.
        """

        def fingerprint() -> str:
            text = json.dumps(settings, sort_keys=True, default=lambda group: group.to_json())
            return fingerprint_of(text, *data)

        self._path = checkpoint
        self._resume = Resume(checkpoint, fingerprint, "a training")
        self._saved = self._resume.state
        self._done: list[dict[str, Any]] = self._saved.get("done", [])

    def run(
        self,
        method: Method,
        model: nn.Module,
        data: TensorPair,
        recipe: Recipe,
        seeds: Sequence[int],
        phase: str = "train",
    ) -> Phase:
        """Trains until the budget is used, the error stayed zero, or the loss is not finite.

        Args:
            method: the networks, on the device of the data.
            model: gives the architecture on which the train error is measured.
            data: of this phase.
            recipe: of this phase.
            seeds: of every stream of mini-batches.
            phase: its name in the history.

        Returns:
            What happened; `params` holds the network.
        """
        found = Phase()
        earlier = [done for done in self._saved.get("done", []) if done["phase"] == phase]
        if earlier:  # this phase was over when the checkpoint was written
            return _phase(earlier[0])
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        devices = [data[0].device] if data[0].device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):  # dropout draws from the global state
            torch.manual_seed(seeds[0])
            current = self._saved.get("current")
            if current is not None and current["phase"] == phase:
                found = _phase(current)
                try:
                    method.load(current["method"])
                except (RuntimeError, ValueError, KeyError) as error:
                    raise CheckpointError(
                        f"`{self._path}` is the checkpoint of another network; name another file, "
                        "or delete it."
                    ) from error
                for generator, state in zip(generators, current["generators"], strict=True):
                    generator.set_state(state)
                torch.random.set_rng_state(current["rng"])
                self._saved = self._resume.state = {}  # it is in use now
            _Loop(self, method, model, data, recipe, generators, phase, found).run()
        self._done.append({"phase": phase, **_plain(found)})
        return found

    @property
    def seconds(self) -> float:
        """Wall time spent on this training, that before a kill included."""
        return self._resume.seconds

    def save(
        self,
        method: Method,
        generators: list[torch.Generator],
        phase: str,
        found: Phase,
        last: bool = False,
    ) -> None:
        """Writes a checkpoint, where one is wanted and due; after the last epoch in any case."""

        def state() -> dict[str, Any]:
            current = {
                "phase": phase,
                **_plain(found),
                "params": found.params,
                "method": method.state(),
                "generators": [generator.get_state() for generator in generators],
                "rng": torch.random.get_rng_state(),
            }
            return {"done": self._done, "current": current}

        self._resume.save(state, last)


def _plain(found: Phase) -> dict[str, Any]:
    return {
        "history": [asdict(epoch) for epoch in found.history],
        "ended": found.ended,
        "steps": found.steps,
        "note": found.note,
    }


def _phase(saved: Mapping[str, Any]) -> Phase:
    history = [Epoch(**epoch) for epoch in saved["history"]]
    return Phase(history, saved["ended"], saved["steps"], saved["note"], saved.get("params", {}))


class _Loop:
    """The epochs of one phase."""

    def __init__(
        self,
        session: Session,
        method: Method,
        model: nn.Module,
        data: TensorPair,
        recipe: Recipe,
        generators: list[torch.Generator],
        phase: str,
        found: Phase,
    ) -> None:
        self._session, self._method, self._model = session, method, model
        self._data, self._recipe, self._generators = data, recipe, generators
        self._phase, self._found = phase, found
        self._landscape = Landscape(model, data)

    def run(self) -> None:
        """Goes through the epochs that are left."""
        found, recipe = self._found, self._recipe
        if not found.params:
            found.params = self._method.params()
            self._show(0)
        if found.history and self._is_over():  # gone on from a checkpoint, with no time left
            found.ended = "time"
            return
        for epoch in range(len(found.history), recipe.budget):
            lr = recipe.rate(epoch)
            coupling = self._method.begin(epoch, lr)
            bad = self._train()
            if bad is not None or not self._measure(epoch, lr, coupling):
                where = f"from step {bad} of it on" if bad is not None else "at its end"
                found.ended = "diverged"
                found.note = (
                    f"the loss is NaN or infinite in epoch {epoch + 1} of phase {self._phase!r}, "
                    f"{where}, at learning rate {lr:.3g}; lower the learning rate"
                )
                return
            held = [line.error for line in found.history[-recipe.hold :]]
            if len(held) == recipe.hold and not any(held):
                found.ended = "zero error"
                return
            last = epoch + 1 == recipe.budget
            self._session.save(self._method, self._generators, self._phase, found, last)
            if self._is_over():
                found.ended = "time"
                return

    def _is_over(self) -> bool:
        limit = self._recipe.seconds
        return limit is not None and self._session.seconds >= limit

    def _train(self) -> int | None:
        """One epoch; the number of the first step whose loss is not finite, counted from 1."""
        size = self._recipe.batch_size
        streams = [minibatches(self._data, size, generator) for generator in self._generators]
        losses = [self._method.step(batches) for batches in zip(*streams, strict=True)]
        self._found.steps += len(losses) * self._recipe.gradients
        bad = (~torch.isfinite(torch.stack(losses))).nonzero()
        return int(bad[0]) + 1 if len(bad) else None

    def _measure(self, epoch: int, lr: float, coupling: float) -> bool:
        try:
            params = self._method.params()
            evaluation = self._landscape.measure(params)
        except (DataError, ParamsError):  # the data were evaluated without fault before training
            return False
        self._found.params = params
        line = Epoch(self._phase, epoch + 1, lr, evaluation.error, evaluation.loss, coupling)
        self._found.history.append(line)
        self._show(epoch + 1)
        return True

    def _show(self, epoch: int) -> None:
        watch = _WATCH.get()
        if watch is not None:
            watch(self._phase, epoch, self._found.params)
