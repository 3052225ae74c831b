"""Running a module with parameters that are not its own, which leaves it as it was."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from toroids.arguments.networks import check_module as check_module
from toroids.errors import DataError, ToroidsError, first_line
from toroids.evaluation.batches import Inputs, map_inputs
from toroids.evaluation.state import Kept
from toroids.evaluation.writes import parameter_like, run_unless_written, writes_parameters
from toroids.params import Params, check_finite, check_shapes


def check_params(model: nn.Module, params: Params, what: str = "the parameters") -> None:
    """Raises unless `params` has the names and shapes of `model` and is finite.

    Args:
        model: gives the architecture.
        params: parameters and buffers by name.
        what: how the message calls them.

    Raises:
        ParamsError: names the tensor that is missing, unknown, misshapen or not finite; or `model`
            is no module.
    """
    check_module(model)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    check_shapes(params, shapes, what, "the model")
    buffers = {name for name, _ in model.named_buffers(remove_duplicate=False)}
    check_finite(params, what, buffers)


def owners_of(model: nn.Module) -> dict[str, str]:
    """Maps every parameter name to the first name of the same parameter: tied weights share one."""
    first: dict[int, str] = {}
    return {
        name: first.setdefault(id(parameter), name)
        for name, parameter in model.named_parameters(remove_duplicate=False)
    }


def run(model: nn.Module, params: Params, inputs: Inputs) -> Any:
    """Runs a model with other parameters, of which no forward changes any.

    Args:
        model: in evaluation mode.
        params: parameters and buffers by name.
        inputs: a batch on their device, one tensor or several by keyword.

    Returns:
        What the model returns.

    Raises:
        DataError: the model cannot run on these inputs.
    """
    named = isinstance(inputs, Mapping)
    arguments: tuple[Any, ...] = ((), dict(inputs)) if named else ((inputs,), {})
    try:
        return call(model, params, *arguments)
    except (ToroidsError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever the user's forward raises
        shown = map_inputs(lambda x: f"shape {tuple(x.shape)} and type {x.dtype}", inputs)
        kind = "" if isinstance(error, RuntimeError) else f"{type(error).__name__}: "
        raise DataError(
            f"the model cannot run on inputs of {shown}: {kind}{first_line(error)}."
        ) from error


def call(model: nn.Module, params: Params, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Calls a module with other parameters, of which no forward changes any.

    Args:
        model: in evaluation mode.
        params: parameters and buffers by name.
        args: positional arguments.
        kwargs: keyword arguments.

    Returns:
        What the module returns.

    Raises:
        DataError: it ends the program instead.
    """
    # A forward that changes its buffers in place must not reach the caller's tensors.
    buffers = model.named_buffers(remove_duplicate=False)
    own = {name for name, _ in buffers if name in params}
    lent = {name: x.clone() if name in own else x for name, x in once(model, params).items()}
    callee = model
    if has_own_modes(model):
        callee, lent = Refreshed(model), {f"model.{name}": x for name, x in lent.items()}
        own = {f"model.{name}" for name in own}

    def called(lent: Params) -> Any:
        try:
            return functional_call(callee, dict(lent), args, dict(kwargs), tie_weights=False)
        except SystemExit as error:
            raise DataError(
                f"the forward of the model calls sys.exit({error.code}); pass a model that gives "
                "outputs."
            ) from error

    # some write into their weights: clamp them, or merge others into them with the mode
    writes = writes_parameters(model)
    if writes is None:
        finished, result = run_unless_written(model, lent, own, called)
        if finished:
            return result
        writes = True
    if writes:
        lent = {name: x if name in own else parameter_like(x) for name, x in lent.items()}
    return called(lent)


def once(model: nn.Module, params: Params) -> Params:
    """Parameters by one name each, where a module that occurs several times has several.

    Lent under two names, a parameter of PyTorch's `functional_call` would not be put back.

    Args:
        model: gives the names.
        params: parameters and buffers by name.

    Returns:
        Those under the first name of their module; of values that differ the last one, as
        `load_state_dict` takes it.
    """
    first: dict[tuple[int, str], str] = {}
    found = dict(params)
    for prefix, module in model.named_modules(remove_duplicate=False):
        for own in (*module._parameters, *module._buffers):
            name = f"{prefix}.{own}" if prefix else own
            before = first.setdefault((id(module), own), name)
            if before != name and name in found:
                found[before] = found.pop(name)
    return found


def has_own_modes(model: nn.Module) -> bool:
    """Whether a module does something when it is put in training or evaluation mode."""
    return any(type(module).train is not nn.Module.train for module in model.modules())


class Refreshed(nn.Module):
    """Puts a module in training and then in evaluation mode before every call.

    So it forgets what it kept in evaluation mode of other parameters, as `load_state_dict` between
    the two would have it.
    """

    def __init__(self, model: nn.Module) -> None:
        """Wraps a module."""
        super().__init__()
        self.model = model

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the module, refreshed."""
        self.model.train()
        self.model.eval()
        return self.model(*args, **kwargs)


def entries_of(output: Any) -> Any:
    """The fields of a dataclass by name; any other output as it is."""
    if is_dataclass(output) and not isinstance(output, Mapping | type):
        return {field.name: getattr(output, field.name) for field in fields(output)}
    return output


def select_output(output: Any, key: str | int | None = None) -> Tensor:
    """Picks the logits out of what a model returned.

    Args:
        output: a tensor, or a tuple, dict, dataclass or ModelOutput that holds one.
        key: the entry to take; without it a tensor is itself and anything else its `logits`
            or its first entry.

    Returns:
        The tensor.

    Raises:
        DataError: the entry is missing or is not a tensor.
    """
    picked = output = entries_of(output)
    if key is not None or not isinstance(output, Tensor):
        try:
            if key is not None:
                picked = output[key]
            else:
                picked = output["logits"] if hasattr(output, "keys") else output[0]
        except (KeyError, IndexError, TypeError) as error:
            raise DataError(
                f"the model returned a {type(output).__name__} without the entry "
                f"{'logits' if key is None else key!r}; name the logits with output_key."
            ) from error
    if not isinstance(picked, Tensor):
        raise DataError(
            f"the model's output is a {type(picked).__name__}, not a tensor; "
            "name the logits with output_key."
        )
    return picked


class Lent:
    """A module that is lent again and again, in evaluation mode.

    What it keeps is noted anew only where it is something else by then, as noting takes longer
    than a small network runs.
    """

    def __init__(self, model: nn.Module) -> None:
        """Lends a module."""
        self._model = model
        self._kept: Kept | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what was noted, which is of this process."""
        return {**vars(self), "_kept": None}

    @contextmanager
    def evaluation_mode(self) -> Iterator[None]:
        """Puts every submodule in evaluation mode; afterwards all is as before, what it keeps too.

        What a forward keeps, as a cache of values that it computed from its parameters, so never
        reaches the next network that is run on the same module.
        """
        if self._kept is None or not self._kept.is_current(self._model):
            self._kept = Kept(self._model)
        kept = self._kept
        training = [module for module in self._model.modules() if module.training]
        for module in training:
            module.training = False
        try:
            yield
        finally:
            for module in training:
                module.training = True
            kept.restore()


def evaluation_mode(model: nn.Module) -> AbstractContextManager[None]:
    """Puts a module in evaluation mode once, and leaves it as it was."""
    return Lent(model).evaluation_mode()
