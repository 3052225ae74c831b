"""What `discover` finds on an operator between parameters, against what is true by trial."""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from operators import brute_force
from operators.brute_force import as_read
from operators.database import Sample, samples
from operators.granted import grants_factors, grants_permutation, named, named_alike
from operators.sandwich import (
    Draw,
    Sandwich,
    Unusable,
    draws,
    first_words,
    fresh,
    further,
    near,
)  # fmt: skip
from torch import Tensor
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

import toroids as td

# From good to bad; "unusable" says nothing about `discover`.
VERDICTS = (
    "unusable", "complete", "incomplete", "refused", "foreign exception", "failed proof", "wrong",
)  # fmt: skip
NARROW = (torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex32)
TOLERANCE = 1e-8  # of outputs in float64, as in `verify`


@dataclass(frozen=True)
class Finding:
    """What came out on one sample.

    Attributes:
        sample: the call.
        verdict: one of VERDICTS.
        permute: axes whose swaps keep the function and are not granted.
        copies: the same of swaps of two entries of one row only.
        rescale: slices whose rescaling keeps the function and is not granted.
        flip: the same of their signs.
        random: whether two calls on the same arguments differ.
        note: what was refused or raised, or what the group says of an operator.
        deviation: the worst relative change of the outputs under a random element.
        seconds: how long `discover` took, of the processor.
    """

    sample: str
    verdict: str
    permute: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    rescale: tuple[str, ...] = ()
    flip: tuple[str, ...] = ()
    random: bool = False
    note: str = ""
    deviation: float = 0.0
    seconds: float = 0.0


def examine_operator(name: str, limit: int = 4) -> list[Finding]:
    """Examines a few samples of an operator of PyTorch's database.

    Args:
        name: as in `database.operators`.
        limit: how many samples at most.

    Returns:
        One finding for every sample, none where there are no samples.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [examine(sample) for sample in samples(name, limit)]


def worst(findings: Sequence[Finding]) -> Finding:
    """The finding with the worst verdict."""
    return max(findings, key=lambda finding: VERDICTS.index(finding.verdict))


def examine(sample: Sample) -> Finding:
    """Puts a call between parameters and compares the group with the truth."""
    generator = torch.Generator().manual_seed(0)
    try:
        place = near(sample, generator)
        drawn = draws(sample, place, generator)
        random, varies = _watched(sample, drawn[0])
    except Unusable as reason:
        return Finding(str(sample), "unusable", note=str(reason))
    shapes = {tuple(r.shape for r in _results(sample, draw)) for draw in drawn}
    sample = replace(sample, summed=varies or len(shapes) > 1)
    results = _results(sample, drawn[0])
    model = Sandwich(sample, [result.numel() for result in results])
    params, x = fresh(model, place, generator)
    model.load_state_dict(params)
    start = time.process_time()
    group, found = _discovered(model, (x, *sample.others))
    found = replace(found, sample=str(sample), random=random, seconds=time.process_time() - start)
    return found if group is None else _judged(found, model, group, place, drawn)


def _results(sample: Sample, draw: Draw) -> list[Tensor]:
    return sample.run([a.clone() for a in draw.arguments], [t.clone() for t in draw.others])


def _discovered(
    model: Sandwich, inputs: tuple[Tensor, ...]
) -> tuple[td.SymmetryGroup | None, Finding]:
    """The group, or what came instead of one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", td.errors.ProofWarning)
            group = td.discover(model, inputs)
    except td.errors.ProofWarning as warning:
        return None, Finding("", "failed proof", note=_reason(warning))
    except td.ToroidsError as error:
        return None, Finding("", "refused", note=_reason(error))
    except Exception as error:
        return None, Finding("", "foreign exception", note=first_words(error))
    return group, Finding("", "complete", note=_note(group))


def _judged(
    found: Finding, model: Sandwich, group: td.SymmetryGroup, place: Sequence[Tensor],
    drawn: Sequence[Draw],
) -> Finding:  # fmt: skip
    """What is true of a group."""
    if found.random:
        return replace(found, verdict="wrong", note="its numbers are random, and it is not refused")
    found = replace(found, deviation=_deviation(model, group, place, drawn))
    if not found.deviation <= TOLERANCE:
        note = f"outputs change under random elements{_rounding(model.sample, drawn[0])}"
        return replace(found, verdict="wrong", note=note)
    permute, copies, rescale, flip = _missing(model.sample, group, place, drawn)
    found = replace(found, permute=permute, copies=copies, rescale=rescale, flip=flip)
    return replace(found, verdict="incomplete") if permute else found


def _rounding(sample: Sample, draw: Draw) -> str:
    """Says where an operator rounds to a narrow type, after which no scale is exact."""
    for result in sample.call_only([a.clone() for a in draw.arguments], draw.others):
        if isinstance(result, Tensor) and result.dtype in NARROW:
            return f": it rounds to {str(result.dtype).removeprefix('torch.')}"
    return ""


def _missing(
    sample: Sample, group: td.SymmetryGroup, place: Sequence[Tensor], drawn: Sequence[Draw]
) -> list[tuple[str, ...]]:
    """What keeps the function and is not granted, by kind."""
    lacking: list[tuple[str, ...]] = []
    generator = torch.Generator().manual_seed(2)
    for whole in (True, False):
        found = brute_force.permutations(sample, drawn, whole)
        left = [s for s in found if not _permuted(group, s)]
        left = [s for s in left if not _permuted(group, as_read(sample, drawn, s, -1))]
        more = (further(sample, place, s.arguments, generator) for s in left)
        true = [s for s, on in zip(left, more, strict=True) if brute_force.holds(sample, on, s)]
        lacking.append(tuple(dict.fromkeys(s.name for s in true)))
    for number in (brute_force.FACTOR, -1):
        found, sign = brute_force.factors(sample, drawn, number), number == -1
        left = [s for s in found if not grants_factors(group, named(s), sign)]
        seen = [as_read(sample, drawn, s, torch.nan) for s in left]
        names = [s.name for s in seen if not grants_factors(group, named(s), sign)]
        lacking.append(tuple(dict.fromkeys(names)))
    return lacking


def _permuted(group: td.SymmetryGroup, found: brute_force.Found) -> bool:
    return grants_permutation(group, named(found), named_alike(found))


class _Watched(TorchDispatchMode):
    """Looks at the operators that a call comes down to, and seeds those that draw numbers.

    Attributes:
        varies: whether the shape of a result depends on data.
        last: the name of the last operator.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.varies = False
        self.last = ""
        self._seed = seed

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.varies |= torch.Tag.dynamic_output_shape in func.tags
        self.last = func.name()
        if torch.Tag.nondeterministic_seeded in func.tags:
            torch.manual_seed(self._seed)
        return func(*args, **(kwargs or {}))


def _watched(sample: Sample, draw: Draw) -> tuple[bool, bool]:
    """Whether the results of a call are random, and whether their shapes depend on data."""
    found = []
    for seed in (0, 1):
        with _Watched(seed) as watched:
            found.append(_results(sample, draw))
    if "empty" in watched.last:
        raise Unusable("returns memory that nobody wrote")
    alike = all(a.shape == b.shape and torch.allclose(a, b) for a, b in zip(*found, strict=True))
    return not alike, watched.varies


def _deviation(
    model: Sandwich, group: td.SymmetryGroup, place: Sequence[Tensor], drawn: Sequence[Draw]
) -> float:
    """The worst relative change under random elements, on fresh parameters and inputs."""
    generator = torch.Generator().manual_seed(1)
    found = [0.0]
    for draw in drawn[:3]:
        params, x = fresh(model, place, generator)
        moved = group.apply(group.random(generator), params)
        try:
            before = functional_call(model, params, (x, *draw.others))
        except Exception:  # outside of what the operator is defined on
            continue
        if bool(before.isfinite().all()):
            found.append(_change(model, moved, (x, *draw.others), before))
    return max(found)


def _change(
    model: Sandwich, params: dict[str, Tensor], inputs: tuple[Tensor, ...], before: Tensor
) -> float:
    try:
        after = functional_call(model, params, inputs)
    except Exception:
        return float("inf")
    change = float((after - before).abs().max() / before.abs().max().clamp(min=1e-30))
    return change if change == change else float("inf")


def _reason(error: Exception) -> str:
    text = str(error).splitlines()[0]
    return text.split("cannot be traced: ")[-1].split(". Discovery needs")[0][:160]


def _note(group: td.SymmetryGroup) -> str:
    said = [note for note in group.notes if not note.startswith("holds for inputs of the sizes")]
    notes = [note.split("; this keeps")[0] for note in said]
    return "; ".join(dict.fromkeys(notes))[:200]
