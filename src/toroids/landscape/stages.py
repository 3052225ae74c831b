"""Layers that keep what they computed, so that a change costs only what it changes.

A binary linear layer keeps its sums z = w x + b for all examples. A flip of w_ij adds -2 w_ij x_j
to the sums of unit i; a change d of the inputs of some examples adds w d to theirs. What changed of
the outputs is what the next layer is told. Sums of signs are integers, exact in float32 up to 2^24
and so in any order. Other sums are kept in float64: every change leaves a rounding of its own,
which in float32 would reach the signs after thousands of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from toroids.binary.layers import BinaryLinear, Scale, Sign
from toroids.params import precise

# What one flip costs beside one column of a matrix product: strided reads and writes. Measured
# between 30 and 160 on one thread of a CPU, for 1000 examples and layers of 10 and 501 units; times
# of blocks of 300 to 10,000 flips hardly differ from 64 to 192.
FLIP_COST = 128
# float32 holds every integer up to here.
EXACT = 2**24
UNIT_BY_UNIT = (nn.ELU, nn.GELU, nn.Hardtanh, nn.LeakyReLU, nn.ReLU, nn.Sigmoid, nn.SiLU, nn.Tanh)
UNCHANGED = (nn.Identity, nn.Dropout)
# Positions that flip, by the name of the parameter in its layer: "weight" or "bias".
Own: TypeAlias = Mapping[str, Tensor]


@dataclass(frozen=True)
class Change:
    """What changed of a layer's outputs.

    Attributes:
        rows: the examples, (k,), each once; None where all may have changed by any amount.
        columns: the units, (c,); all where None.
        delta: by how much, (k, c); empty where all may have changed.
    """

    rows: Tensor | None
    columns: Tensor | None
    delta: Tensor


EVERYTHING = Change(None, None, torch.empty(0))


class Stage:
    """A piece of a network that treats every example by itself, with inputs and outputs kept.

    The outputs of a stage are the inputs of the next, the same tensor.
    """

    def __init__(self, module: nn.Module, inputs: Tensor, signs: bool) -> None:
        """Computes the outputs of `inputs` (n, ...), which are -1 and +1 if they are `signs`."""
        self.module, self.inputs = module, inputs
        # differences of other numbers are rounded, and would add up in the sums of the next layer
        self._difference = inputs.dtype if signs else precise(inputs).dtype
        self.outputs = self._run(inputs).clone()

    def update(self, own: Own, change: Change | None) -> Change | None:
        """Recomputes the examples that may have changed.

        Args:
            own: flips of the stage's own parameters, which are done already.
            change: what changed of the inputs.

        Returns:
            What changed of the outputs, None if nothing did.
        """
        if own or change is None or change.rows is None:
            return self._recompute()
        return self._refresh(self._run(self.inputs.index_select(0, change.rows)), change.rows)

    def peek(self, rows: Tensor, columns: Tensor | None, values: Tensor) -> Tensor:
        """Computes outputs of changed examples without keeping them.

        Args:
            rows: the examples, (k,), some of them perhaps more than once.
            columns: the only input of each that changes, (k,); all of them where None.
            values: of that input, (k,), or of all inputs, (k, ...).

        Returns:
            Shape (k, ...).
        """
        return self._run(
            values if columns is None else replaced(self.inputs[rows], columns, values)
        )

    def _run(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.module(x)
        return outputs

    def _recompute(self) -> Change:
        self.outputs.copy_(self._run(self.inputs))
        return EVERYTHING

    def _refresh(
        self, new: Tensor, rows: Tensor | None, columns: Tensor | None = None
    ) -> Change | None:
        """Keeps new outputs of some examples, or of some units for all of them."""
        if columns is not None:
            old = self.outputs.index_select(1, columns)
        else:
            old = self.outputs if rows is None else self.outputs.index_select(0, rows)
        delta = new.to(self._difference) - old.to(self._difference)
        if columns is not None:
            self.outputs.index_copy_(1, columns, new)
        elif rows is not None:
            self.outputs.index_copy_(0, rows, new)
        else:
            self.outputs.copy_(new)
        changed = delta.flatten(1).any(dim=1).nonzero().squeeze(1)
        if not len(changed):
            return None
        if len(changed) < len(delta):
            delta = delta.index_select(0, changed)
            rows = changed if rows is None else rows[changed]
        elif rows is None:
            rows = changed
        return Change(rows, columns, delta)


class LinearStage(Stage):
    """A binary linear layer and what is done to each of its units alone, as norm and sign."""

    def __init__(
        self, layer: BinaryLinear, after: list[nn.Module], inputs: Tensor, exact: bool, signs: bool
    ) -> None:
        """Computes the sums of `inputs` (n, in), in float32 if those are integers (`exact`)."""
        kept = torch.float32 if exact else precise(inputs).dtype
        self.weight, self.bias = layer.weight.detach().to(kept, copy=True), None
        self._steps = [_step(module) for module in after]
        if layer.bias is not None and layer.bias_kind == "binary":
            self.bias = layer.bias.detach().to(kept, copy=True)
        elif layer.bias is not None:
            thresholds = layer.bias.detach()
            # outside of the sums, which stay integers
            self._steps.insert(0, lambda z, at: z + _entries(thresholds, at))
        self._type = inputs.dtype
        self.sums = self._product(inputs, self.weight, self.bias)
        super().__init__(layer, inputs, signs)

    def _run(self, x: Tensor) -> Tensor:
        return self.after(self._product(x, self.weight, self.bias))

    def after(self, sums: Tensor, columns: Tensor | None = None) -> Tensor:
        """Maps sums (k, c) of all units, or of some of them, to outputs."""
        out = sums.to(self._type)
        for step in self._steps:
            out = step(out, columns)
        return out

    def update(self, own: Own, change: Change | None) -> Change | None:
        """Adds what flips and changed inputs add; see `Stage.update`, but does the flips itself."""
        units = self._flipped_units(own)
        flips, (width, inputs) = sum(map(len, own.values())), self.weight.shape
        sparse, dense = flips * FLIP_COST, inputs * len(units)
        if self._carry_cost(change) + min(sparse, dense) >= inputs * width:
            self._flip(own)
            return self._recompute()
        rows = None if change is None else change.rows
        if change is not None and rows is not None:
            self.sums.index_add_(0, rows, self._carried(change.columns, change.delta))
            if not own:
                return self._refresh(self.after(self.sums.index_select(0, rows)), rows)
        self._add(own, units, sparse >= dense)
        return self._after_flips(units, rows)

    def peek(self, rows: Tensor, columns: Tensor | None, values: Tensor) -> Tensor:
        """Computes outputs of changed examples without keeping them; see `Stage.peek`."""
        old = self.inputs[rows] if columns is None else self.inputs[rows, columns]
        delta = values.to(self.weight.dtype) - old.to(self.weight.dtype)
        if columns is None:
            return self.after(self.sums[rows] + self._carried(None, delta))
        return self.after(self.sums[rows] + self.weight.T[columns] * delta[:, None])

    def flipped(self, name: str, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Computes what one unit gives when one entry flips, for several such entries.

        Args:
            name: "weight" or "bias".
            positions: in that parameter, (k,).

        Returns:
            The units that change, (k,), and their new outputs, (n, k).
        """
        units, added = self._added(name, positions)
        return units, self.after(self.sums.index_select(1, units) + added, units)

    def _recompute(self) -> Change:
        self.sums.copy_(self._product(self.inputs, self.weight, self.bias))
        self.outputs.copy_(self.after(self.sums))
        return EVERYTHING

    def _carry_cost(self, change: Change | None) -> float:
        """Columns of a product for all examples that cost as much as a change of the inputs."""
        if change is None:
            return 0.0
        width, inputs = self.weight.shape
        if change.rows is None:
            return float(inputs * width)
        columns = inputs if change.columns is None else len(change.columns)
        return columns * width * len(change.rows) / len(self.sums)

    def _after_flips(self, units: Tensor, changed: Tensor | None) -> Change | None:
        """Renews what units may have changed for all examples, and all units for some of them."""
        if len(units) == len(self.weight):
            return self._refresh(self.after(self.sums), None)
        new = self.after(self.sums.index_select(1, units), units)
        if changed is None:
            return self._refresh(new, None, units)
        touched = (new != self.outputs.index_select(1, units)).any(dim=1)
        touched[changed] = True
        rows = touched.nonzero().squeeze(1)
        return self._refresh(self.after(self.sums.index_select(0, rows)), rows)

    def _add(self, own: Own, units: Tensor, dense: bool) -> None:
        if not dense:
            for name, positions in own.items():
                self.sums.index_add_(1, *self._added(name, positions))
            self._flip(own)
            return
        self._flip(own)
        bias = None if self.bias is None else self.bias[units]
        self.sums.index_copy_(1, units, self._product(self.inputs, self.weight[units], bias))

    def _added(self, name: str, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The units of entries (k,), and what flips of these add to the sums (n, k)."""
        if name == "bias":
            assert self.bias is not None
            return positions, (-2 * self.bias[positions]).expand(len(self.sums), -1)
        units = positions.div(self.weight.shape[1], rounding_mode="floor")
        inputs = self.inputs.index_select(1, positions % self.weight.shape[1])
        return units, inputs.to(self.weight.dtype) * (-2 * self.weight.view(-1)[positions])

    def _flip(self, own: Own) -> None:
        for name, positions in own.items():
            flip_(getattr(self, name), positions)

    def _flipped_units(self, own: Own) -> Tensor:
        found = [
            at if name == "bias" else at.div(self.weight.shape[1], rounding_mode="floor")
            for name, at in own.items()
        ]
        if not found:
            return torch.empty(0, dtype=torch.long)
        return found[0] if len(found) == len(found[0]) == 1 else torch.unique(torch.cat(found))

    def _carried(self, columns: Tensor | None, delta: Tensor) -> Tensor:
        weight = self.weight if columns is None else self.weight.index_select(1, columns)
        return self._product(delta, weight, None)

    def _product(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return nn.functional.linear(inputs.to(weight.dtype), weight, bias)


def flip_(tensor: Tensor, positions: Tensor) -> None:
    """Changes the signs of some entries, each named once, of a contiguous tensor."""
    flat = tensor.view(-1)
    flat[positions] = -flat[positions]


def replaced(tensor: Tensor, columns: Tensor, values: Tensor) -> Tensor:
    """Sets one entry of every row (k, c) in place: that in column (k,) to a value (k,)."""
    return tensor.scatter_(1, columns[:, None], values[:, None])


def is_unit_by_unit(module: nn.Module) -> bool:
    """Whether a module maps every unit (n, units) by itself and `LinearStage` may contain it."""
    if type(module) is nn.BatchNorm1d:
        return module.running_mean is not None
    return type(module) in (Sign, Scale, *UNIT_BY_UNIT, *UNCHANGED)


def _step(module: nn.Module) -> Callable[[Tensor, Tensor | None], Tensor]:
    """What a module does to units of the given numbers, all where None."""
    if type(module) is Sign:
        one, threshold = torch.ones(()), module.threshold
        # without the operator of `sign`, whose call takes longer than the signs of a few examples
        return lambda z, _: torch.copysign(one, z - threshold if threshold else z)
    if type(module) is nn.BatchNorm1d:
        return _normalising(module)
    if type(module) in UNCHANGED:
        return lambda z, _: z
    return lambda z, _: module(z)


def _normalising(norm: nn.BatchNorm1d) -> Callable[[Tensor, Tensor | None], Tensor]:
    assert norm.running_mean is not None and norm.running_var is not None
    factor = (norm.running_var + norm.eps).rsqrt()
    if norm.weight is not None:
        factor = factor * norm.weight.detach()
    shift = -norm.running_mean * factor
    if norm.bias is not None:
        shift = shift + norm.bias.detach()
    return lambda z, at: z * _entries(factor, at) + _entries(shift, at)


def _entries(tensor: Tensor, at: Tensor | None) -> Tensor:
    return tensor if at is None else tensor[at]
