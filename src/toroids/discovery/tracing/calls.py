"""Calls of the module itself, beside which its trace must stand.

A trace is one run of the forward pass, written down. What the module does besides computing, as to
keep a state between calls, to draw random numbers, or to read numbers in Python, is not in it: such
a module gives other outputs than its trace, and is refused with the cause.
"""

import contextlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn

from toroids.discovery.tracing.asked import Asked
from toroids.discovery.tracing.bounded import Bounded
from toroids.discovery.tracing.draws import KEPT, MATRIX, entries
from toroids.discovery.tracing.eager import DRAWS, GRADIENTS, heard_gradients
from toroids.discovery.tracing.example import Example
from toroids.discovery.tracing.listening import Asking
from toroids.discovery.tracing.operators import draws_random, operator_name
from toroids.discovery.tracing.program import Program
from toroids.discovery.tracing.trace import Counted, quiet
from toroids.errors import DataError, ToroidsError, first_line
from toroids.evaluation.inside import heard_draws
from toroids.evaluation.running import call, evaluation_mode
from toroids.evaluation.state import Kept
from toroids.params import Params

TAKES = (
    "`{}` takes from the iterator `{}` in every call, so that what it gives may follow from the "
    "calls before; take what that gives as an input, or keep it in a buffer of the state dict, "
    "which moves with the weights."
)
SHOWN = 5  # inputs in a sentence
MANY = 1000  # calls that numbers and lists are made as large as after
# Shares of an output by which two runs of the same operators may differ in their own precision.
ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-3}


def as_written(model: nn.Module) -> contextlib.AbstractContextManager[object]:
    """Runs what is compiled as it was written: it would be compiled anew for all who listen."""
    # not where nothing is, for `torch.cond` compiles itself
    parts = list(model.modules())
    compiled = any("_orig_mod" in p._modules or p._compiled_call_impl is not None for p in parts)
    return torch.compiler.set_stance("force_eager") if compiled else contextlib.nullcontext()


class Caller:
    """Calls one module at several inputs and compares what it gives with its trace.

    Attributes:
        model: the module, left as it was by every call.
        params: what its traces are run with, the same as what it is called with.
        asked: what it has asked of its inputs.
        paths: what it has called at inputs of these sizes, as a number.
        records: whether it is known to give something else where gradients are recorded.
        draws: whether it is known to draw random numbers outside of PyTorch.
    """

    def __init__(
        self,
        model: nn.Module,
        lent: dict[str, Tensor],
        output_key: str | int | None,
        params: Params | None = None,
    ) -> None:
        """Keeps what is needed for calls: weights and buffers, and the same to be read anew."""
        self.model, self.params = model, lent if params is None else params
        self._key, self._own = output_key, lent
        self._lent = {f"model.{name}": tensor for name, tensor in lent.items()}
        self.asked = Asked()
        self.paths: dict[str, int] = {}
        self.records = self.draws = False

    def __call__(self, example: Example, listen: bool = True) -> list[Tensor]:
        """Calls the module, from its state as it is, and notes in `asked` what it asks.

        Args:
            example: what it is called with.
            listen: whether to note what it asks: not where nobody looks what it gives.

        Returns:
            The tensors of the output.
        """
        counted = Counted(self.model, example, self._key)
        asked = Asked(middles=self.asked.middles)
        try:
            with evaluation_mode(counted), quiet():
                found = self._called(counted, example, asked)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # of the module, or because somebody listens, as to `torch.cond`
            if self.paths:
                raise
            with evaluation_mode(counted), quiet():
                return self._called(counted, example)
        if listen:
            self.asked.add(asked)
        self.paths[example.sizes] = asked.path
        return found

    def _called(
        self, counted: Counted, example: Example, asked: Asked | None = None
    ) -> list[Tensor]:
        """What the module gives in the state in which it is."""
        copies = tuple(tensor.clone() for tensor in example.tensors)  # a call may write into them
        with as_written(self.model), Bounded():
            return self._run(counted, example, copies, asked)

    def _run(
        self, counted: Counted, example: Example, copies: tuple[Tensor, ...], asked: Asked | None
    ) -> list[Tensor]:
        if asked is None:
            return list(call(counted, self._lent, copies, {}))
        with Asking(asked, example, copies, lambda: [*counted.parameters(), *counted.buffers()]):
            return list(call(counted, self._lent, copies, {}))

    def accepts(self, example: Example, listen: bool = True) -> list[Tensor] | None:
        """The outputs at an example; None where the module fails on it."""
        try:
            return self(example, listen)
        except torch.OutOfMemoryError:
            raise
        except Exception:
            return None

    def first(self, example: Example) -> list[Tensor]:
        """The outputs at the example that the user gave.

        Returns:
            The tensors of the output.

        Raises:
            DataError: the module fails on it; says how.
            ToroidsError: it fails, and takes gradients.
        """
        try:
            with heard_gradients() as heard:
                return self(example)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            if heard:
                raise ToroidsError(GRADIENTS.format(type(self.model).__name__)) from error
            shown = [f"{tuple(x.shape)} of {x.dtype}" for x in example.tensors]
            shown[SHOWN:] = [f"and {len(shown) - SHOWN} more"] if len(shown) > SHOWN else []
            known = "" if self._key is None else ", and an output_key that its output has"
            raise DataError(
                f"`{type(self.model).__name__}` fails on the inputs {', '.join(shown)}: "
                f"{first_line(error)}; pass an example that it runs on{known}."
            ) from error

    def agrees(
        self, program: Program, example: Example, expected: Sequence[Tensor], wide: bool = False
    ) -> bool:
        """Whether a traced program computes, perhaps in float64, what the module gave there."""
        try:
            found = program.run(self.params, wide, inputs=example.tensors)
        except (DataError, ToroidsError, RuntimeError, ValueError, TypeError, IndexError):
            return False
        return _alike(found, [_comparable(x) for x in expected])

    def check_stateless(self, first: Example, expected: Sequence[Tensor], second: Example) -> None:
        """Raises where outputs depend on the calls before.

        Args:
            first: an example.
            expected: what the module gives there when nothing was called before.
            second: another example, of the same sizes.

        Raises:
            ToroidsError: names what the module keeps.
        """
        fresh = self.accepts(second)
        if fresh is None:  # as numbers that are no rows of a table
            second, fresh = first, list(expected)
        counted = Counted(self.model, first, self._key)
        with evaluation_mode(counted), quiet(), heard_draws() as drew:
            before = Kept(self.model)
            a = self._called(counted, first)
            kept, taken = before.changed(), before.ran_on()
            self.draws = drew() or bool(before.drew())
            b, again = self._called(counted, second), self._called(counted, first)
            self.records = self._differs_recorded(counted, first, a)
        same = _alike(a, expected) and _alike(again, expected) and _alike(b, fresh)
        if same and taken:
            raise ToroidsError(TAKES.format(type(self.model).__name__, taken[0]))
        if same and not (kept and self._remembers(first, expected)):
            return
        named = f" (as `{kept[0]}`)" if kept else ""
        raise ToroidsError(
            f"`{type(self.model).__name__}` keeps something between calls{named}, or draws numbers "
            "outside PyTorch: at the same inputs it gives other outputs when it is called again. "
            "Return what it keeps and take it as an input, or keep it in a buffer of the state "
            "dict, which moves with the weights."
        )

    def _differs_recorded(
        self, counted: Counted, example: Example, expected: Sequence[Tensor]
    ) -> bool:
        """Whether the module gives something else where gradients are recorded."""
        own = self._lent
        some = {n: x.detach() for n, x in own.items() if x.is_floating_point()}
        if entries(self._own) > KEPT:  # those of the weights cost memory
            some = {}
        try:
            with torch.enable_grad():
                for needing in (some, {}):  # where it writes into its weights, none may need any
                    self._lent = own | {n: x.requires_grad_() for n, x in needing.items()}
                    with contextlib.suppress(RuntimeError, ValueError):
                        return not _alike(self._called(counted, example), expected)
        finally:
            self._lent = own
        return False

    def _remembers(self, example: Example, expected: Sequence[Tensor]) -> bool:
        """Whether what a module keeps changes its outputs, if not in the next call.

        Numbers and containers that a call makes larger are made larger still, as a thousand calls
        would do; and the module is called with other weights after it has been called with its own.

        Returns:
            Whether either gives something else than a module that has kept nothing.
        """
        other = Caller(self.model, _other(self._own), self._key)
        counted = Counted(self.model, example, self._key)
        fresh = other.accepts(example)
        with evaluation_mode(counted), quiet():
            before = Kept(self.model)
            self._called(counted, example)
            if fresh is not None and not _alike(other._called(counted, example), fresh):
                return True
            before.advance(MANY)
            try:
                later = self._called(counted, example)
            except Exception:  # whatever it says to what it was never meant to keep
                return False
            return not _alike(later, expected)


def _other(params: Params) -> dict[str, Tensor]:
    """Other weights: every second one is made larger; not the matrices of a large network."""
    most = MATRIX if entries(params) > KEPT else math.inf
    return {
        name: x * (1 + 0.3 * (torch.arange(x.numel(), device=x.device) % 2)).to(x).view_as(x)
        if x.is_floating_point() and x.numel() <= most
        else x
        for name, x in params.items()
    }


# Operators that read beyond their memory, and end the process, where integers do not fit.
UNCHECKED = (
    "aten::segment_reduce", "aten::_segment_reduce_backward", "aten::lu_unpack", "aten::lu_solve",
    "aten::linalg_lu_solve", "aten::linalg_ldl_solve",
)  # fmt: skip


def check_operators(model: nn.Module, program: Program) -> None:
    """Raises where a forward draws random numbers in evaluation, or cannot be run on other inputs.

    Args:
        model: whose name is said.
        program: its trace, without what no output reads.

    Raises:
        ToroidsError: names the operator.
    """
    for part in program.graph.modules():
        for node in part.graph.nodes if isinstance(part, fx.GraphModule) else ():
            if node.op != "call_function":
                continue
            if operator_name(node) in UNCHECKED and any(map(_is_given, node.all_input_nodes)):
                raise ToroidsError(
                    f"`{type(model).__name__}` uses `{operator_name(node)}`, which may end the "
                    "process on lengths or pivots that do not fit, so that nothing can be proven "
                    "of it; compute them in the module, or use another operator."
                )
            if draws_random(node):
                raise ToroidsError(DRAWS.format(type(model).__name__, operator_name(node)))


def _is_given(node: fx.Node) -> bool:
    """Whether integers are an input of the module."""
    value = node.meta.get("val")
    return node.op == "placeholder" and isinstance(value, Tensor) and not value.is_floating_point()


def _comparable(x: Tensor) -> Tensor:
    x = x.detach().cpu()
    return torch.view_as_real(x).double() if x.is_complex() else x.double()


def _alike(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Whether outputs are equal up to rounding in their own precision."""
    if len(found) != len(expected):
        return False
    for a, b in zip(found, expected, strict=True):
        if a.shape != b.shape:
            return False
        if a.dtype == b.dtype and torch.equal(a, b):
            continue
        share = ROUNDING.get(b.dtype, 5e-2) if not a.dtype == b.dtype == torch.float64 else 1e-3
        x, y = _comparable(a), _comparable(b)
        size = y[torch.isfinite(y)].abs().median() if torch.isfinite(y).any() else torch.zeros(())
        if not torch.allclose(x, y, rtol=share, atol=share * float(size), equal_nan=True):
            return False
    return True
