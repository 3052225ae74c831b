"""Measures by how much the elements of a group change a module's outputs."""

import copy
from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from toroids.arguments.checked import checked
from toroids.discovery.proof.proof import (
    Case,
    Deviation,
    Subject,
    Trial,
    measure,
    outputs_of,
    subject_of,
)
from toroids.discovery.tracing.draws import drawn_params
from toroids.discovery.tracing.example import Inputs, shown_sizes, split_inputs
from toroids.discovery.tracing.execution import Run, prepared
from toroids.discovery.tracing.explore import explore
from toroids.discovery.tracing.operators import on_cpu
from toroids.discovery.tracing.trace import alias_names
from toroids.discovery.tracing.weightless import with_weights
from toroids.errors import DataError, ToroidsError, first_line
from toroids.evaluation.running import call, check_module, evaluation_mode, select_output
from toroids.params import Params
from toroids.symmetry.group import SymmetryGroup, check_group


class Verification(float):
    """The worst relative deviation, a number, with how it was found.

    Attributes:
        sizes: the sizes of the inputs at which the module was run.
        draws: how often weights, buffers, inputs and an element were drawn.
        worst: the output and the entry that deviate most, and on which inputs.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.fully_connected([4, 8, 3], seed=0)
        >>> found = td.verify(td.discover(model, torch.randn(5, 4)), model, torch.randn(5, 4))
        >>> found < 1e-12, found.draws, found.sizes[0]
        (True, 3, '(5, 4)')
    """

    sizes: tuple[str, ...]
    draws: int
    worst: str

    def __new__(cls, deviation: Deviation, subject: Subject) -> "Verification":
        """Takes the number from the deviation."""
        found = super().__new__(cls, deviation.size)
        cases = (case.name for trial in subject.trials for case in trial.cases)
        found.sizes = tuple(dict.fromkeys(cases))
        found.draws = len(subject.trials)
        found.worst = deviation.where
        return found

    def __str__(self) -> str:
        return (
            f"{float(self):.2g}: the largest deviation of {self.draws} draws at inputs of the "
            f"sizes {'; '.join(self.sizes)}; at {self.worst}"
        )


@checked
def verify(
    group: SymmetryGroup,
    model: nn.Module,
    inputs: Inputs,
    trials: int = 3,
    *,
    also: Sequence[Inputs] = (),
    generator: torch.Generator | None = None,
    output_key: str | int | None = None,
) -> Verification:
    """Measures by how much random elements of `group` change the outputs of `model`.

    Each trial draws weights, buffers and inputs near those given (masks and integers among the
    values that occur; zero biases are disturbed, small weights strengthened), and an element that
    leaves no unit in place, and compares every entry of every output in float64, relative to its
    own size: at the sizes given, at others that the module accepts, and on the inputs in `also`.
    What `group.output` says of the outputs is measured as well: with the legs that write them
    shifted alike for all classes, the softmax of "logits" must stay; with the legs tripled as
    well, the largest output of a "classifier" (the share of examples where it is another counts
    as deviation). The user's model is not touched. A module that cannot be traced is run as it is,
    converted to float64, on these inputs only.

    Args:
        group: the group to check.
        model: the module whose function it must preserve; run in evaluation mode.
        inputs: one batch as the model expects it: a tensor, a tuple of positional or a dict of
            keyword arguments; floating inputs are run in float64.
        trials: number of draws.
        also: further batches, of other sizes or kinds.
        generator: source of randomness on the CPU; seeded with 0 when None.
        output_key: which entry of a structured output counts; all of them when None.

    Returns:
        The worst relative deviation, a float that says where it was found; a sound group gives
        about 1e-14, and anything above 1e-8 is a wrong symmetry. Infinite if an output is NaN or
        infinite where it was not.

    Raises:
        ParamsError: the group is of another architecture.
        DataError: `trials` is not positive, or the model gives no outputs, none that is finite, or
            cannot run.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.fully_connected([4, 8, 3], seed=0)
        >>> group = td.symmetry.fully_connected_group(model.state_dict())  # written by hand
        >>> td.verify(group, model, torch.randn(5, 4)) < 1e-12
        True
    """
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
        raise DataError(f"trials is {trials!r}; pass a whole number, at least 1.")
    check_group(group)
    check_module(model)
    model = with_weights(model)
    group.check(model.state_dict(), "the model")
    generator = generator or torch.Generator().manual_seed(0)
    keep = [condition.buffer for condition in group.conditions]
    try:
        explored = explore(model, inputs, output_key, also)
        subject = subject_of(explored, generator, trials, keep)
    except DataError:
        raise
    except ToroidsError as refused:  # as it cannot be traced
        try:
            subject = _module_subject(model, [inputs, *also], output_key, generator, trials, keep)
        except (TypeError, RuntimeError):
            raise refused from None
    return Verification(measure(group, subject, generator), subject)


def _module_subject(
    model: nn.Module,
    batches: Sequence[Inputs],
    key: str | int | None,
    generator: torch.Generator,
    trials: int,
    keep: Sequence[str],
) -> Subject:
    """A module that cannot be traced, as it is."""
    twin = copy.deepcopy(model).cpu().double()
    aliases, _ = alias_names(model)
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    made = []
    for _ in range(trials):
        drawn = drawn_params(twin.state_dict(), aliases, parameters, generator, keep=keep)
        cases = [_module_case(twin, inputs, key, drawn) for inputs in batches]
        made.append(Trial(drawn, tuple(cases), frozenset(parameters)))
    return Subject(tuple(made))


def _module_case(twin: nn.Module, inputs: Inputs, key: str | int | None, drawn: Params) -> Case:
    args, kwargs = split_inputs(inputs)
    args = tuple(prepared(on_cpu(value), True, False) for value in args)
    kwargs = {name: prepared(on_cpu(value), True, False) for name, value in kwargs.items()}

    def run_on(names: Collection[str]) -> Run:
        given = {}
        for name in names:
            given[name] = yield name
        with torch.no_grad(), evaluation_mode(twin):
            loaded = _loaded(twin, given)
            try:
                output = call(twin, loaded, args, kwargs)
            except RuntimeError as error:
                raise DataError(
                    f"the model cannot run on these inputs: {first_line(error)}."
                ) from error
        return [select_output(output, key)]

    sizes = shown_sizes([x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)])
    case = Case(sizes, run_on, ("output",))
    return replace(case, before=tuple(outputs_of([case], drawn)[0]))


def _loaded(model: nn.Module, params: Params) -> dict[str, Tensor]:
    """Gives tied names the value of the last of them, as `model.load_state_dict` would."""
    loaded = dict(params)
    tied: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        tied.setdefault(id(parameter), []).append(name)
    for names in tied.values():
        last = [name for name in params if name in names][-1]
        loaded.update({name: params[last] for name in names})
    return loaded
