"""Numerical proof that the elements of a group leave a module's function as it is.

The module is run as a traced graph in which casts to narrow types are rewritten to float64, on
parameters that are disturbed first, so that zero biases and unit gains hide nothing.
"""

import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from toroids.discovery.program import Program, on_cpu, prepared
from toroids.discovery.trace import Inputs, split_inputs, trace
from toroids.errors import DataError, ToroidsError
from toroids.evaluation.running import check_module, evaluation_mode, select_output
from toroids.params import Params
from toroids.symmetry.action import identity_choice, random_choice
from toroids.symmetry.element import Element
from toroids.symmetry.group import SymmetryGroup, check_group

# Rounding in float64 leaves about 1e-14; a wrong symmetry of a trained network shows at 1e-4.
TOLERANCE = 1e-8
# In a network's own precision, used where float64 does not fit into memory.
NARROW_TOLERANCE = 1e-2

Outputs = Callable[[Params], list[Tensor]]


@dataclass(frozen=True)
class Subject:
    """A function of parameters whose outputs must not change.

    Attributes:
        outputs: computes them.
        params: disturbed parameters and buffers.
        logits: the position of the output that a classifier's reader sees.
        tolerance: the deviation above which a symmetry is wrong.
    """

    outputs: Outputs
    params: Params
    logits: int
    tolerance: float = TOLERANCE


def verify(
    group: SymmetryGroup,
    model: nn.Module,
    inputs: Inputs,
    trials: int = 3,
    *,
    generator: torch.Generator | None = None,
    output_key: str | int | None = None,
) -> float:
    """Measures by how much random elements of `group` change the outputs of `model`.

    Each trial draws an element that leaves no unit in place, moves float64 parameters with it and
    compares every output: max |f(g.p) - f(p)| / max |f(p)|. The parameters are first disturbed by
    10 % noise plus an offset, so that zero biases hide nothing, and small weights are strengthened,
    so that deep networks do not forget their input. Tied weights are loaded as the
    module would load them. What `group.output` says of the outputs is measured as well: with the
    legs that write them shifted alike for all classes, the softmax of "logits" must stay; with the
    legs tripled as well, the largest output of a "classifier" (the share of examples where it is
    another counts as deviation). The user's model is not touched. A module that cannot be traced is
    run as it is, converted to float64.

    Args:
        group: the group to check.
        model: the module whose function it must preserve; run in evaluation mode.
        inputs: one batch as the model expects it: a tensor, a tuple of positional or a dict of
            keyword arguments; floating inputs are run in float64.
        trials: number of random elements.
        generator: source of randomness on the CPU; seeded with 0 when None.
        output_key: which entry of a structured output counts; all of them when None.

    Returns:
        The worst relative deviation; a sound group gives about 1e-14, and anything above 1e-8 is
        a wrong symmetry. NaN if an output is not finite.

    Raises:
        ParamsError: the group is of another architecture.
        DataError: `trials` is not positive, or the model gives no outputs, or cannot run.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.fully_connected([4, 8, 3], seed=0)
        >>> group = td.fully_connected_group(model.state_dict())  # written by hand, not traced
        >>> td.verify(group, model, torch.randn(5, 4)) < 1e-12
        True
    """
    if trials < 1:
        raise DataError(f"trials is {trials}; pass at least 1.")
    check_group(group)
    check_module(model)
    generator = generator or torch.Generator().manual_seed(0)
    try:
        subject = traced_subject(trace(model, inputs, output_key), model, generator)
    except ToroidsError:
        subject = _module_subject(model, inputs, output_key, generator)
    group.check(subject.params, "the model")
    return measure(group, subject, trials, generator)


def measure(
    group: SymmetryGroup, subject: Subject, trials: int, generator: torch.Generator
) -> float:
    """Returns the worst relative deviation of `trials` random elements; see `verify`."""
    before = subject.outputs(subject.params)
    if sum(output.numel() for output in before) == 0:
        raise DataError("the model gives no outputs on these inputs; pass at least one example.")
    moved = (group.apply(restless(group, generator), subject.params) for _ in range(trials))
    deviations = [worst_deviation(subject.outputs(params), before) for params in moved]
    if group.output.mode != "values":
        deviations.append(_output_deviation(subject, group, before[subject.logits]))
    return torch.stack(deviations).max().item()


def restless(group: SymmetryGroup, generator: torch.Generator) -> Element:
    """A random element whose permutations are cycles of all units, so that none stays in place."""
    choices = {}
    for space in group.spaces:
        choice = random_choice(space, generator)
        if "permute" in space.actions:
            order = choice.permutation
            cycle = torch.empty_like(order).scatter_(1, order, order.roll(1, dims=1))
            choice = replace(choice, permutation=cycle)
        choices[space.name] = choice
    return Element(choices)


def violations(
    group: SymmetryGroup, program: Program, model: nn.Module, trials: int = 2
) -> list[str]:
    """Names the spaces that change the outputs, found by bisection; none for a sound group.

    Args:
        group: the group to prove.
        program: the traced module.
        model: gives the parameters; not touched.
        trials: random elements of the whole group, and of every part that is suspected.

    Returns:
        Names of spaces, "output" among them where what is said of the outputs does not hold.

    Raises:
        DataError: the outputs are NaN.
    """
    generator = torch.Generator().manual_seed(0)
    subject = traced_subject(program, model, generator)
    if measure(group, subject, trials, generator) <= subject.tolerance:
        return []
    before = subject.outputs(subject.params)
    if any(bool(output.isnan().any()) for output in before):
        raise DataError(
            "the outputs on these inputs are NaN, so that nothing can be proven; pass finite "
            "inputs and weights."
        )

    def changes(names: Sequence[str]) -> bool:
        for _ in range(trials):
            drawn = restless(group, generator).choices
            element = Element(
                {
                    space.name: drawn[space.name] if space.name in names else identity_choice(space)
                    for space in group.spaces
                }
            )
            found = worst_deviation(subject.outputs(group.apply(element, subject.params)), before)
            if not bool(found <= subject.tolerance):
                return True
        return False

    def suspects(names: list[str]) -> list[str]:
        if not names or not changes(names):
            return []
        if len(names) == 1:
            return names
        half = len(names) // 2
        # two halves that are innocent alone are guilty together
        return suspects(names[:half]) + suspects(names[half:]) or names

    found = suspects([space.name for space in group.spaces])
    return found or ["output"]


def traced_subject(program: Program, model: nn.Module, generator: torch.Generator) -> Subject:
    """A traced module as a function of its parameters, on the CPU in float64 where that fits."""
    state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    wide = is_wide(model)
    params = _disturbed(_untied(state, program), generator, wide)
    names = [name for name in program.outputs if name is not None]
    logits = names.index("logits") if "logits" in names else 0
    return Subject(
        outputs=lambda p: program.run(p, wide=wide),
        params=params,
        logits=logits,
        tolerance=TOLERANCE if wide else NARROW_TOLERANCE,
    )


def is_wide(model: nn.Module) -> bool:
    """Whether a module is verified in float64 on this machine."""
    size = sum(tensor.numel() for tensor in model.state_dict().values())
    return bool(5 * 8 * size < _memory())  # the parameters, the moved ones, and what runs


def _memory() -> int:
    try:
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError, AttributeError):  # not POSIX
        return 8 << 30


def _untied(state: dict[str, Tensor], program: Program) -> dict[str, Tensor]:
    """Tied names under their first name only, so that all get the same disturbance."""
    copies = {other: first for first, names in program.aliases.items() for other in names[1:]}
    return {name: state[copies.get(name, name)] for name in state}


def _module_subject(
    model: nn.Module, inputs: Inputs, key: str | int | None, generator: torch.Generator
) -> Subject:
    twin = copy.deepcopy(model).cpu().double()
    args, kwargs = split_inputs(inputs)

    args = tuple(prepared(on_cpu(value), True, False) for value in args)
    kwargs = {name: prepared(on_cpu(value), True, False) for name, value in kwargs.items()}

    def outputs(of: Params) -> list[Tensor]:
        with torch.no_grad(), evaluation_mode(twin):
            loaded = _loaded(twin, of)
            try:
                output = functional_call(twin, loaded, args, kwargs, tie_weights=False)
            except RuntimeError as error:
                raise DataError(
                    f"the model cannot run on these inputs: {str(error).splitlines()[0]}."
                ) from error
        return [select_output(output, key)]

    return Subject(outputs, _disturbed(twin.state_dict(), generator, True), 0)


def worst_deviation(found: Sequence[Tensor], expected: Sequence[Tensor]) -> Tensor:
    """The largest deviation of any output, relative to the largest entry of what is expected."""
    deviations = [_deviation(a, b) for a, b in zip(found, expected, strict=True) if b.numel()]
    return torch.stack(deviations).max()


def _deviation(found: Tensor, expected: Tensor) -> Tensor:
    masked = torch.isinf(expected) & (found == expected)  # scores that a mask has set
    if bool(masked.any()) and not bool(masked.all()):
        found, expected = found[~masked], expected[~masked]
    size = expected.abs().max().clamp_min(torch.finfo(torch.float64).tiny)
    return (found - expected).abs().max() / size


def _output_deviation(subject: Subject, group: SymmetryGroup, before: Tensor) -> Tensor:
    """Shifts all classes up and down and, for a classifier, triples them: would a reader see it?"""
    size = 1 + before.abs().max()  # large enough for whatever clips outputs to do so
    seen = []
    for shift in (size, -size):
        scale = 1.0 if group.output.mode == "logits" else 3.0
        moved = _with_other_outputs(group, subject.params, scale, shift)
        after = subject.outputs(moved)[subject.logits]
        if group.output.mode == "logits":
            seen.append(_deviation(after.softmax(dim=-1), before.softmax(dim=-1)))
        else:
            seen.append((after.argmax(dim=-1) != before.argmax(dim=-1)).double().mean())
    return torch.stack(seen).max()


def _with_other_outputs(
    group: SymmetryGroup, params: Params, scale: float, shift: Tensor
) -> dict[str, Tensor]:
    """Scales the legs that write the outputs and adds the same number to every class."""
    written = {leg.tensor for leg in group.output.legs}
    return {
        name: scale * tensor + shift if name in written else tensor
        for name, tensor in params.items()
    }


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


def _strengthening(tensor: Tensor) -> float:
    """The factor that brings a matrix's entries up to sqrt(2 / fan-in), at least one."""
    # Where weights are small, as most frameworks draw them, a deep network forgets its input within
    # a few layers: a wrong symmetry of the first ones would move the outputs by next to nothing.
    if tensor.ndim < 2 or tensor.numel() < 2:
        return 1.0
    spread = float(tensor.double().square().mean().sqrt())
    wanted = (2 * tensor.shape[0] / tensor.numel()) ** 0.5
    return min(max(wanted / spread, 1.0), 10.0) if spread else 1.0


def _disturbed(params: Params, generator: torch.Generator, wide: bool) -> dict[str, Tensor]:
    """Adds noise, the same to tensors that are the same one under several names."""
    done: dict[int, Tensor] = {}
    disturbed = {}
    for name, tensor in params.items():
        if tensor.is_floating_point():
            if tensor.data_ptr() not in done or not tensor.numel():
                kind = torch.float64 if wide else tensor.dtype
                # small enough that a trained network keeps its character, large enough at 1e-8
                noise = torch.randn(tensor.shape, dtype=kind, generator=generator)
                other = tensor.to(kind) * (1 + 0.1 * noise) + 0.01 * noise
                other = other * _strengthening(other)
                if name.endswith("running_var"):
                    other = other.abs()
                done[tensor.data_ptr()] = other
            tensor = done[tensor.data_ptr()]
        disturbed[name] = tensor
    return disturbed
