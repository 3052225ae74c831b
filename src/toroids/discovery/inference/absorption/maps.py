"""What linear maps, alone or in the steps of recurrent layers, make of what is added to biases."""

import itertools
import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx

from toroids.discovery.inference.absorption.run import ARRANGING, KEEPING, Rule, Run
from toroids.discovery.inference.absorption.terms import (
    NOTHING,
    Added,
    Reader,
    Term,
    constant_along,
    equations_among,
    expanded,
    merged,
)
from toroids.discovery.tracing.operators import operator_name

LAYERS = ("lstm", "gru", "rnn_tanh", "rnn_relu")


def with_bias(run: Run, found: Added, bias: Any, shape: tuple[int, ...]) -> Added:
    """What a map that read something adds, and its bias, to a value of a shape."""
    if not isinstance(bias, fx.Node):
        return found
    return Added(merged([*found.terms, *expanded(run.values[bias].terms, shape)]))


def read(run: Run, x: Any, weight: Any, shape: tuple[int, ...], transposed: bool) -> Added:
    """What a matrix makes of what is added to the last axis of x."""
    run.vanish_hidden([x])
    run.vanish(weight)
    value: Added = run.values[x]
    tables = [term for term in value.terms if term.width]
    if tables:  # what matrices make of rows of tables is not followed
        run.equations += equations_among(tables)
        value = replace(value, terms=tuple(term for term in value.terms if not term.width))
        run.values[x] = value
    matrix = _matrix_of(run, weight) if value.terms else None
    if not value.terms:
        return NOTHING
    if matrix is None:
        run.vanish(x)
        return NOTHING
    name, rows, columns = matrix
    if not transposed:
        rows, columns = rows.T, columns.T
    terms: list[Term] = []
    for term in value.terms:
        found = _read_term(term, name, rows, columns, run.shape(x), shape)
        if found is None:
            run.vanish(x)
            return NOTHING
        terms += found
    return Added(merged(terms))


def _read_term(
    term: Term, name: str, rows: Tensor, columns: Tensor, before: Sequence[int],
    shape: tuple[int, ...],
) -> list[Term] | None:  # fmt: skip
    """One term for every way in which the entries of a vector meet a matrix."""
    if not len(rows) or not rows.shape[1]:
        return None
    if constant_along(rows, [1]) and constant_along(columns, [0]):
        axis, out, inner, outer = 1, 0, columns[0], rows[:, 0]
    elif constant_along(columns, [1]) and constant_along(rows, [0]):
        axis, out, inner, outer = 0, 1, rows[0], columns[:, 0]
    else:
        return None
    index = term.index.expand(tuple(before))
    for other in range(index.ndim - 1):
        if constant_along(index, [other]):
            index = index.narrow(other, 0, 1)
    flat = index.reshape(-1, index.shape[-1])
    kinds, which = torch.unique(flat, dim=0, return_inverse=True)
    terms = []
    for number, kind in enumerate(kinds):
        if not bool((kind >= 0).any()):
            continue
        routing = torch.full((int(inner.max()) + 1,), -1, dtype=torch.long)
        routing[inner.long()] = kind.long()
        reader = Reader(name, axis, out, tuple(routing.tolist()))
        here = (which == number).view(*index.shape[:-1], 1)
        read = torch.where(here, outer.to(torch.int32), -1).expand(shape)
        terms.append(Term(term.source, (*term.word, reader), term.factor, read))
    return terms


def _matrix_of(run: Run, node: Any) -> tuple[str, Tensor, Tensor] | None:
    """The parameter that a matrix is, or a part of, and the row and column of every entry."""
    chain: list[fx.Node] = []
    while isinstance(node, fx.Node) and node.op == "call_function" and node not in run.written:
        chain.append(node)
        node = node.args[0]
    if not isinstance(node, fx.Node) or node.op != "placeholder" or node in run.written:
        return None
    source = run.program.sources[node.name]
    if source.kind != "parameter" or source.value.ndim != 2:
        return None
    places = [torch.arange(size) for size in source.value.shape]
    found: Any = torch.meshgrid(*places, indexing="ij")
    for step in reversed(chain):
        name, target = operator_name(step), step.target
        if step.target is operator.getitem:
            position: Any = step.args[1]
            found = [x[position] for x in found]
        elif name in ARRANGING and len(step.all_input_nodes) == 1:
            rest, named = run.number(step.args[1:]), dict(step.kwargs)
            found = [target(x, *rest, **named) for x in found]  # type: ignore[operator]
        elif name not in KEEPING:
            return None
    rows, columns = found
    return (source.name, rows, columns) if rows.ndim == 2 else None


def _recurrent(run: Run, node: fx.Node) -> Added | None:
    """A recurrent layer: of its cells those of the first layer read the input."""
    if node.target._overloadname != "input":  # type: ignore[union-attr]
        return None  # packed sequences
    arguments: Any = node.args
    x, states, params, biased, layers, _, _, both_ways, _ = arguments
    first = 2 if both_ways else 1
    size = len(params) // (first * layers)
    cells = [params[at : at + size] for at in range(0, len(params), size)]
    for cell in cells[:first]:
        _gates(run, x, cell, 2 if biased else None)
    for other in (*_listed(states), *itertools.chain(*cells[first:])):
        run.vanish(other)
    return NOTHING


def _cell(run: Run, node: fx.Node) -> Added:
    """One step of a recurrent layer."""
    arguments: Any = node.args
    x, states, *cell = arguments
    _gates(run, x, cell, 2 if len(cell) > 2 else None)
    for state in _listed(states):
        run.vanish(state)
    return NOTHING


def _listed(states: Any) -> list[fx.Node]:
    return list(states) if isinstance(states, list | tuple) else [states]


def _gates(run: Run, x: Any, cell: Sequence[Any], bias: int | None) -> None:
    """States that the gates of a cell see what W x + b adds up to, and all else that is added."""
    for at, other in enumerate(cell):
        if at not in (0, bias) and isinstance(other, fx.Node):
            run.vanish(other)
    shape = (*run.shape(x)[:-1], run.shape(cell[0])[0])
    found = read(run, x, cell[0], shape, transposed=True)
    found = with_bias(run, found, None if bias is None else cell[bias], shape)
    run.equations += run.met(x, found.terms) if found.terms else []


RECURRENT: dict[str, Rule] = {
    **dict.fromkeys((f"aten::{name}" for name in LAYERS), _recurrent),
    **dict.fromkeys((f"aten::{name}_cell" for name in LAYERS), _cell),
}
