"""A task: a piece of a study that is done once, named by the hash of what determines its result."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from toroids.params import Params
from toroids.statistics.row import Plain


@dataclass(frozen=True)
class Task:
    """One piece of work of a study.

    Attributes:
        kind: what is done: "symmetry", "train", "measure", "pair", "bend", "section" or
            "trajectory".
        label: what a person reads; it does not determine the result.
        settings: all that determines the result besides the inputs, as canonical JSON.
        inputs: names of the tasks whose results it takes, in order.
    """

    kind: str
    label: str
    settings: str
    inputs: tuple[str, ...] = ()

    @cached_property
    def id(self) -> str:
        """The task's name: its kind, and a hash of what determines its result."""
        text = json.dumps([self.kind, self.settings, self.inputs])
        return f"{self.kind}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"


@dataclass(frozen=True)
class Outcome:
    """What a task leaves.

    Attributes:
        row: plain JSON data; what is not finite is None.
        params: the network that was trained.
    """

    row: Plain
    params: Params | None = None


def canonical_json(value: Any) -> str:
    """Writes plain data so that equal data give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
