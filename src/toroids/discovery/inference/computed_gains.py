"""Gains that a linear map or a convolution computes and that are read plus a number: 1 + W c + b.

A forward that adds a number to some results of a linear map wherever it reads them has the
symmetries of one whose bias is larger by it. So the sum is treated as the result, and the bias's
legs say what is added, as those of a gain 1 + w do (`offsets`).
"""

from collections.abc import Iterator
from dataclasses import replace
from operator import getitem

import numpy as np
from numpy.typing import NDArray
from torch import fx

from toroids.discovery.inference.absorption.run import ARRANGING, KEEPING, Rule, Run, RunOfSome
from toroids.discovery.inference.absorption.terms import (
    NOTHING,
    Added,
    Term,
    Untold,
    expanded,
    is_bias_like,
)
from toroids.discovery.tracing.operators import operator_name
from toroids.discovery.tracing.program import Program
from toroids.discovery.tracing.sizes import Sizes

BIAS = {"aten::linear": 2, "aten::addmm": 0} | {f"aten::conv{n}d": 2 for n in (1, 2, 3)}
Numbers = NDArray[np.float64]


def computed_gains(program: Program) -> tuple[dict[str, Numbers], dict[fx.Node, str]]:
    """Finds biases to whose sums with a linear map numbers are added wherever they are read.

    Args:
        program: a traced module.

    Returns:
        For every such bias what is added to each of its entries; and the operators that add.
    """
    names = frozenset(_candidates(program))
    if not names:
        return {}, {}
    run = _Run(program, names)
    try:
        run.whole()
    except Untold:
        return {}, {}
    kept = {name: np.nan_to_num(x) for name, x in run.numbers.items() if name not in run.unlike}
    kept = {name: x for name, x in kept.items() if x.any()}
    return kept, {node: name for node, name in run.sums.items() if name in kept}


def _candidates(program: Program) -> Iterator[str]:
    """Biases of linear maps to whose results a number is added."""
    for node in program.graph.graph.nodes:
        if node.op == "call_function" and _number(node) is not None and _multiplies(node):
            linear = _origin(node.args[0])
            at = BIAS[operator_name(linear)] if linear is not None else 0
            bias = linear.args[at] if linear is not None and len(linear.args) > at else None
            source = program.sources.get(bias.name) if isinstance(bias, fx.Node) else None
            if source is not None and source.kind == "parameter" and is_bias_like(source.value):
                if source.name not in program.aliases and source.name not in program.mutated:
                    yield source.name


def _multiplies(node: fx.Node) -> bool:
    """Whether all that is done with a value is to multiply something else by it."""
    for user in node.users:
        name = operator_name(user) if user.op == "call_function" else ""
        passes = name in ARRANGING | KEEPING or user.target is getitem
        if not (name == "aten::mul" and len(user.all_input_nodes) == 2):
            if not passes or not _multiplies(user):
                return False
    return bool(node.users)


def _number(node: fx.Node) -> float | None:
    """The number that an operator adds to what it is given first."""
    name = operator_name(node)
    if name not in ("aten::add", "aten::sub") or node.kwargs or len(node.args) != 2:
        return None
    number = node.args[1]
    if not isinstance(node.args[0], fx.Node) or not isinstance(number, int | float):
        return None
    return float(number) if name == "aten::add" else -float(number)


def _origin(node: object) -> fx.Node | None:
    """The linear map of whose results a value is a part."""
    while isinstance(node, fx.Node) and node.op == "call_function":
        name = operator_name(node)
        if name in BIAS:
            return node
        if name not in ARRANGING | KEEPING and node.target is not getitem:
            return None
        node = node.args[0]
    return None


class _Run(RunOfSome):
    """A pass that notes what is added to the entries of biases.

    Attributes:
        numbers: for every entry of a bias the number; NaN where nothing reads it.
        sums: the operators that add, and to which bias.
        unlike: biases of which an entry is read in several ways.
    """

    def __init__(self, program: Program, names: frozenset[str]) -> None:
        super().__init__(RULES, program, Sizes(program), names)
        sizes = {s.name: s.value.numel() for s in program.sources.values() if s.name in names}
        self.numbers = {name: np.full(size, np.nan) for name, size in sizes.items()}
        self.sums: dict[fx.Node, str] = {}
        self.unlike: set[str] = set()

    def vanish(self, node: fx.Node) -> None:
        """Notes that something reads a value as it is."""
        for value in self._leaves([node]):
            for term in value.terms:
                self.note(term, 0.0)
        super().vanish(node)

    def note(self, term: Term, number: float) -> None:
        """Notes that a number is added to some entries."""
        entries = np.unique(term.index.numpy())
        known = self.numbers[term.source]
        entries = entries[entries >= 0]
        if (~np.isnan(known[entries]) & (known[entries] != number)).any():
            self.unlike.add(term.source)
        known[entries] = number


def _biased(run: Run, node: fx.Node) -> Added | None:
    """A linear map: its bias is handed on."""
    at = BIAS[operator_name(node)]
    bias = node.args[at] if len(node.args) > at else None
    for given in node.all_input_nodes:
        if given is not bias:
            run.vanish(given)
    if not isinstance(bias, fx.Node) or bias.op != "placeholder" or node.kwargs:
        return None
    terms, shape = run.values[bias].terms, run.shape(node)
    if "conv" in operator_name(node):  # whose channels come before its pixels
        behind = [1] * int(operator_name(node)[-2])
        terms = tuple(replace(term, index=term.index.view(-1, *behind)) for term in terms)
    return Added(expanded(terms, shape)) if terms else None


def _sum(run: Run, node: fx.Node) -> Added | None:
    number = _number(node)
    value = run.values[node.args[0]] if number is not None else NOTHING  # type: ignore[index]
    if not isinstance(run, _Run) or number is None or len(value.terms) != 1:
        return None
    if not _multiplies(node):
        return None
    (term,) = value.terms
    run.note(term, number)
    run.sums[node] = term.source
    return NOTHING


RULES: dict[str, Rule] = {
    **dict.fromkeys(BIAS, _biased),
    **dict.fromkeys(("aten::add", "aten::sub"), _sum),
}
