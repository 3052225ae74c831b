"""The facts about a module, as the passes over its programs state them."""

from dataclasses import dataclass, field
from typing import Any

from torch import fx

from toroids.discovery.axes import Value
from toroids.discovery.axes.constraints import Constraints
from toroids.discovery.inference.stacks import Stacks


@dataclass(frozen=True)
class Step:
    """One operator of a program, with its values as they were before and after it.

    Attributes:
        node: the operator.
        inputs: the nodes that it looks at, and their values.
        results: the values that it gives.
    """

    node: fx.Node
    inputs: tuple[tuple[fx.Node, Any], ...]
    results: tuple[Value, ...]


@dataclass
class Inference:
    """The facts about a module.

    Attributes:
        constraints: all statements.
        parameters: the parameters and buffers that were used, by first name.
        outputs: the values that the first program returns.
        inputs: the values that the first program takes.
        steps: for every program its operators in order, blocks opened.
        untied: signs that never meet a zero, and what that takes for granted.
        stacks: parameters that stack others, of which axes have joint places.
    """

    constraints: Constraints
    parameters: dict[str, Value] = field(default_factory=dict)
    outputs: list[Any] = field(default_factory=list)
    inputs: list[Value] = field(default_factory=list)
    steps: list[list[Step]] = field(default_factory=list)
    untied: dict[fx.Node, frozenset[str]] = field(default_factory=dict)
    stacks: Stacks = field(default_factory=dict)
