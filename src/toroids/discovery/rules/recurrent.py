"""Recurrent layers: one step of each, with its state equal to what it returns."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from toroids.discovery import axes
from toroids.discovery.axes import Value
from toroids.discovery.axes.constraints import Constraints
from toroids.discovery.rules.linear import linear
from toroids.discovery.rules.pointwise import HOMOGENEOUS, ODD, Law, pointwise
from toroids.discovery.rules.registry import rule

Step = Callable[[Constraints, Value, Value, Sequence[Value]], Value]


@rule("aten::lstm")
def lstm(c: Constraints, x: Value, state: Sequence[Value], weights: Any, *arguments: Any) -> Any:
    """i, f, g, o from x and h; c' = f c + i g; h' = o tanh(c')."""
    if not isinstance(state, list | tuple):
        return NotImplemented
    return _layers(c, x, state, weights, arguments, _lstm_step, states=2)


@rule("aten::gru")
def gru(c: Constraints, x: Value, state: Value, weights: Any, *arguments: Any) -> Any:
    """r, z, n from x and h; h' = (1 - z) n + z h."""
    if not isinstance(state, Value):
        return NotImplemented
    return _layers(c, x, [state], weights, arguments, _gru_step, states=1)


@rule("aten::rnn_tanh")
def rnn_tanh(c: Constraints, x: Value, state: Value, weights: Any, *arguments: Any) -> Any:
    """H' = tanh(W x + U h + b)."""
    if not isinstance(state, Value):
        return NotImplemented
    return _layers(c, x, [state], weights, arguments, _rnn_step(ODD), states=1)


@rule("aten::rnn_relu")
def rnn_relu(c: Constraints, x: Value, state: Value, weights: Any, *arguments: Any) -> Any:
    """H' = relu(W x + U h + b)."""
    if not isinstance(state, Value):
        return NotImplemented
    return _layers(c, x, [state], weights, arguments, _rnn_step(HOMOGENEOUS), states=1)


def _layers(
    c: Constraints, x: Value, state: Sequence[Value], weights: Sequence[Value], arguments: Any,
    step: Step, states: int,
) -> Any:  # fmt: skip
    biased, layers, _, _, both_ways, batch_first = arguments
    ways = 2 if both_ways else 1
    per_cell = len(weights) // (layers * ways)
    if per_cell not in ((4,) if biased else (2,)) or len(x.axes) != 3:
        return NotImplemented  # projections, packed sequences
    time = 1 if batch_first else 0
    x = axes.in_order(c, x, time, x.shape[time])
    finals: list[Value] = []
    for layer in range(layers):
        outputs = []
        for way in range(ways):
            start = (layer * ways + way) * per_cell
            h = step(c, x, weights[start], weights[start : start + per_cell])
            outputs.append(replace(h, name=None))
            finals.append(axes.select(c, h, time, 0))
            for given in (value for value in state if not value.zero):
                axes.equate(c, axes.select(c, given, 0, layer * ways + way), finals[-1])
        x = outputs[0] if ways == 1 else axes.concatenate(c, outputs, -1)
    last = axes.concatenate(c, [axes.insert_axis(h, 0) for h in finals], 0)
    # the last cell state of an LSTM is indexed like the last output, in its own scale: zero here
    return [x, *[last] * states]


def _state(c: Constraints, like: Value, size: int) -> Value:
    """An unknown state: its places are fixed by what the step returns."""
    last = axes.parameter(c, "", (size,))
    return replace(last, name=None)


def _gates(c: Constraints, x: Value, h: Value, cell: Sequence[Value]) -> tuple[Value, Value]:
    biases = cell[2:] or (None, None)
    return linear(c, x, cell[0], biases[0]), linear(c, h, cell[1], biases[1])


def _piece(c: Constraints, x: Value, position: int, size: int) -> Value:
    return axes.take(c, x, -1, np.arange(position * size, (position + 1) * size))


def _closed(c: Constraints, h: Value, state: Value) -> Value:
    """What the step returns is the state that it read."""
    axes.equate(c, h, state)
    return h


def _lstm_step(c: Constraints, x: Value, _: Value, cell: Sequence[Value]) -> Value:
    size = cell[1].shape[1]
    h = _state(c, x, size)
    from_x, from_h = _gates(c, x, h, cell)
    gates = axes.add(c, (from_x, from_h))
    i, f, o = (axes.elementwise(c, _piece(c, gates, k, size)) for k in (0, 1, 3))
    g = pointwise(c, [_piece(c, gates, 2, size)], ODD)
    memory = axes.multiply(c, (i, g))
    memory = axes.add(c, (memory, axes.multiply(c, (f, memory))))
    return _closed(c, axes.multiply(c, (o, pointwise(c, [memory], ODD))), h)


def _gru_step(c: Constraints, x: Value, _: Value, cell: Sequence[Value]) -> Value:
    size = cell[1].shape[1]
    h = _state(c, x, size)
    from_x, from_h = _gates(c, x, h, cell)
    r, z = (
        axes.elementwise(c, axes.add(c, (_piece(c, from_x, k, size), _piece(c, from_h, k, size))))
        for k in (0, 1)
    )
    n = axes.add(
        c,
        (_piece(c, from_x, 2, size), axes.multiply(c, (r, _piece(c, from_h, 2, size)))),
    )
    new = axes.multiply(c, (z, pointwise(c, [n], ODD)))
    return _closed(c, axes.add(c, (new, axes.multiply(c, (z, h)))), h)


def _rnn_step(law: Law) -> Step:
    def step(c: Constraints, x: Value, _: Value, cell: Sequence[Value]) -> Value:
        h = _state(c, x, cell[1].shape[1])
        from_x, from_h = _gates(c, x, h, cell)
        return _closed(c, pointwise(c, [axes.add(c, (from_x, from_h))], law), h)

    return step
