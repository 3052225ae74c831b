"""A module written down as data: a few lines of text, and the one class that runs them.

A program names the tensors that come in, what the module holds, and what it computes, line by line,
in PyTorch's own words; what it prints as is the Python that builds it again:

    Program(
        given=("x = floats(B, T, 3)",),
        held=("a1 = nn.Linear(3, 4)", "a2 = parameter(8, 4)"),
        lines=("h1 = a1(x)", "h2 = h1 + a2[: h1.shape[1]]"),
        returns="h2",
        sizes={"B": 2, "T": 5},
    )
"""

import re
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn

VOCABULARY = 7  # of integer inputs
LONGEST = 8  # what tables of positions hold


class Buffer:
    """A tensor to be registered as a buffer."""

    def __init__(self, tensor, persistent=True):
        self.tensor, self.persistent = tensor, persistent


def parameter(*shape):
    return nn.Parameter(torch.randn(shape) / max(1, shape[-1] if shape else 1) ** 0.5)


def bools(*shape):
    """True for two of three, and for the first along the last axis: no row is masked whole."""
    drawn = torch.rand(shape) < 0.67
    drawn[..., 0] = True
    return drawn


def heads(h, count):
    """(B, T, count * D) to (B, count, T, D)."""
    return h.unflatten(-1, (count, -1)).transpose(1, 2)


def joined(h):
    """(B, H, T, D) to (B, T, H * D)."""
    return h.transpose(1, 2).flatten(2)


def rotary(h):
    """Rotates pairs of (..., T, 2 D) by an angle that grows with the position."""
    half = h.shape[-1] // 2
    angle = torch.arange(h.shape[-2])[:, None] * 0.5 ** torch.arange(half)
    first, second = h[..., :half], h[..., half:]
    cos, sin = angle.cos().to(h.dtype), angle.sin().to(h.dtype)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def waves(length, dtype):
    """A sine and a cosine of every position: (T, 2)."""
    at = torch.arange(length).to(dtype)
    return torch.stack([at.sin(), at.cos()], -1)


def distance(h, axis=1):
    """How far positions lie apart: (T, T)."""
    at = torch.arange(h.shape[axis])
    return (at[:, None] - at).abs()


def over_time(step, h, state):
    """A loop over positions: the states of `step(state, h[:, t])`, (B, T, ...)."""
    states = []
    for t in range(h.shape[1]):
        state = step(state, h[:, t])
        states.append(state)
    return torch.stack(states, 1)


NAMES = {
    "torch": torch, "nn": nn, "F": F, "parameter": parameter, "buffer": Buffer, "bools": bools,
    "heads": heads, "joined": joined, "rotary": rotary, "distance": distance,
    "waves": waves, "over_time": over_time,
}  # fmt: skip

GIVEN = {
    "floats": lambda *shape: torch.randn(shape),
    "ids": lambda *shape: torch.randint(0, VOCABULARY, shape),
    "bools": bools,
}


@dataclass(frozen=True)
class Program:
    """A module as text.

    Attributes:
        given: the inputs, in order; sizes are numbers or names of `sizes`.
        held: statements that make layers, parameters and buffers.
        lines: statements that compute.
        returns: the output, an expression.
        sizes: the sizes of the example, by name.
    """

    given: tuple[str, ...]
    held: tuple[str, ...]
    lines: tuple[str, ...]
    returns: str
    sizes: dict[str, int] = field(hash=False)

    def __repr__(self):
        def listed(lines):
            return "(" + "".join(f"\n        {line!r}," for line in lines) + "\n    )"

        return (
            f"Program(\n    given={tuple(self.given)!r},\n    held={listed(self.held)},\n"
            f"    lines={listed(self.lines)},\n    returns={self.returns!r},\n"
            f"    sizes={self.sizes!r},\n)"
        )

    @property
    def remembers(self):
        """Whether a call leaves something behind, or draws random numbers: it may be refused."""
        return any(word in repr(self) for word in ("self", ".add_(", "training=True)"))

    def inputs(self, sizes=None, seed=0):
        """Tensors as the program takes them, in the example's sizes or others."""
        sizes = sizes or self.sizes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return tuple(eval(line.split("=")[1], {**GIVEN, **sizes}) for line in self.given)

    def module(self, seed=0):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Drawn(self)

    def pruned(self):
        """The same without what the output does not need."""
        words = set(_words(self.returns))
        lines = []
        for line in reversed(self.lines):
            target, _, value = line.partition(" = ")
            if not value or not target.isidentifier() or target in words:
                lines.insert(0, line)
                words |= set(_words(line))
        held = []
        for line in reversed(self.held):
            if set(_words(line.partition(" = ")[0])) & words:
                held.insert(0, line)
                words |= set(_words(line))
        return Program(self.given, tuple(held), tuple(lines), self.returns, self.sizes)


def _words(text):
    return re.findall(r"[A-Za-z_]\w*", text)


def name_of(line):
    return line.partition(" = ")[0]


class Drawn(nn.Module):
    """Runs a program."""

    def __init__(self, program):
        super().__init__()
        self.program = program
        self.code = [compile(line, line, "exec") for line in program.lines]
        scope = dict(NAMES)
        for line in program.held:
            exec(line, scope)
        self.held = [name_of(line) for line in program.held if name_of(line).isidentifier()]
        for name in self.held:
            thing = scope[name]
            if isinstance(thing, Buffer):
                self.register_buffer(name, thing.tensor, persistent=thing.persistent)
            else:
                setattr(self, name, thing)
        self.eval()

    def extra_repr(self):
        return repr(self.program)

    def forward(self, *given):
        scope = {**NAMES, "self": self}
        scope |= {name: getattr(self, name) for name in self.held}
        scope |= {name_of(line): x for line, x in zip(self.program.given, given, strict=True)}
        for line in self.code:
            exec(line, scope)
        return eval(self.program.returns, scope)
