"""The code that runs while a module is called: who asks, and which numbers it names."""

import dis
import itertools
from collections.abc import Iterable
from functools import cache
from types import CodeType, FrameType
from typing import Any, TypeAlias

from torch import nn

Line: TypeAlias = tuple[str, int]  # a file, and the number of a line in it
LONGEST = 512  # numbers in code that may be lengths
SOME = 50  # entries of a list of numbers that code names
# modules through which calls pass
BETWEEN = ("torch.overrides", "torch._tensor", "toroids.discovery.tracing.lengths")
OURS = ("torch.", "toroids.evaluation.", "toroids.discovery.")  # whose questions decide nothing
WATCHING = ("toroids.discovery.tracing.given",)  # which asks for somebody else
CALLER = "toroids.discovery.tracing.trace"  # which calls the module


def asking(frame: FrameType | None) -> FrameType | None:
    """The code that asks; None where PyTorch does for itself."""
    while frame is not None and frame.f_globals.get("__name__") in BETWEEN:
        frame = frame.f_back
    if frame is None or str(frame.f_globals.get("__name__", "")).startswith(OURS):
        return None
    return frame


def line_of(frame: FrameType | None) -> Line:
    """The file and the line that run, or that have called what runs, which are of a forward."""
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if name not in WATCHING and name.partition(".")[0] != "torch":
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return "", 0


def handlers(frame: FrameType | None) -> list[FrameType]:
    """The code of a module that is running and handles errors; none outside of the module."""
    found: list[FrameType] = []
    while frame is not None:
        if frame.f_globals.get("__name__") == CALLER:
            return found
        if asking(frame) is frame and handles(frame.f_code):
            found.append(frame)
        frame = frame.f_back
    return []


@cache
def handles(code: CodeType) -> bool:
    """Whether code goes on in another way where something fails."""
    steps = [step.opname for step in dis.get_instructions(code)]
    bare = ("PUSH_EXC_INFO", "POP_TOP") in itertools.pairwise(steps)
    return bare or "CHECK_EXC_MATCH" in steps or "suppress" in code.co_names


def numbers_in(frame: FrameType) -> list[int]:
    """The whole numbers that code names, as literals or as what is at hand, around it, global."""
    code, local = frame.f_code, frame.f_locals
    modules = [x for x in local.values() if isinstance(x, nn.Module)]
    closed = {name: local[name] for name in code.co_freevars if name in local}
    near = [*map(vars, modules), *(m._modules for m in modules), closed, frame.f_globals]
    names = (*code.co_names, *code.co_freevars)
    values = [*_literals(code), *(space[name] for space in near for name in names if name in space)]
    flat = [x for value in values for x in _flat(value)]
    flat = [int(x) if isinstance(x, str) and x.isdecimal() and len(x) < 5 else x for x in flat]
    return list(dict.fromkeys(x for x in flat if type(x) is int and 1 <= x <= LONGEST))


def _literals(code: CodeType) -> Iterable[Any]:
    """What code names, and what the code in it does, as that of a comprehension."""
    for value in code.co_consts:
        yield from _literals(value) if isinstance(value, CodeType) else (value,)


def _flat(value: Any) -> Iterable[Any]:
    """What a container holds, or the keys of a table."""
    if isinstance(value, tuple | list | frozenset | set | dict | nn.ModuleDict):
        return itertools.islice(value, SOME)
    return (value,)
