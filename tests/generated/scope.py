"""Where a program is drawn: the values so far, with their shapes, and the pieces to choose from."""

import re
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from generated.program import GIVEN, NAMES, Buffer, Program, name_of

# Every line is run at two sets of sizes: an axis that differs between them varies with the input.
PROBES = ({"B": 11, "T": 5, "S": 4}, {"B": 13, "T": 7, "S": 6})
LARGEST = 1e4  # where values grow beyond, products of them soon lose all digits


class Unfit(Exception):
    """A line that cannot be run, or whose values are of no use."""


@dataclass(frozen=True)
class Value:
    """A tensor of a program.

    Attributes:
        name: in the program.
        axes: for every axis its size, or the name of the size that it varies with, or "?".
        kind: "float", "int" or "bool".
    """

    name: str
    axes: tuple[int | str, ...]
    kind: str

    def __str__(self):
        return self.name

    @property
    def width(self):
        """The size of the last axis."""
        return self.axes[-1]

    @property
    def is_features(self):
        """Whether the last axis holds a fixed number of features."""
        return self.kind == "float" and len(self.axes) in (2, 3) and isinstance(self.width, int)

    @property
    def is_sequence(self):
        return self.is_features and self.axes[:2] == ("B", "T")

    @property
    def is_vector(self):
        return self.is_features and len(self.axes) == 2

    @property
    def is_image(self):
        return self.kind == "float" and len(self.axes) == 4 and isinstance(self.axes[1], int)


class Scope:
    """A program being drawn: every choice is an integer from `random`, the simplest one first."""

    def __init__(self, random):
        self.random = random
        self.given: list[str] = []
        self.held: list[str] = []
        self.lines: list[str] = []
        self.values: list[Value] = []
        self.layers: list[tuple[str, int, int]] = []  # linear layers, to be used again
        self._names = dict(NAMES)
        self._probes: list[dict] = [{"self": SimpleNamespace()} for _ in PROBES]
        # few different sizes, so that some are equal by accident
        self.widths = [random.randint(1, 6) for _ in range(random.randint(1, 3))]

    def choose(self, *options):
        return options[self.random.randint(0, len(options) - 1)]

    def rarely(self):
        """One time in four."""
        return self.choose(False, False, False, True)

    def size(self):
        return self.choose(4, *self.widths)

    def take(self, line):
        """Declares an input."""
        self.given.append(line)
        for probe, sizes in zip(self._probes, PROBES, strict=True):
            probe[name_of(line)] = eval(line.split("=")[1], {**GIVEN, **sizes})
        return self._value(name_of(line), False)

    def hold(self, expression):
        """Declares a layer, a parameter or a buffer; returns its name."""
        name = f"a{len(self.held) + 1}"
        self.also(f"{name} = {expression}")
        thing = self._names[name]
        if isinstance(thing, Buffer):
            self._names[name] = thing.tensor
        elif isinstance(thing, torch.nn.Module):
            thing.eval()
        return name

    def learned(self, *shape):
        """Declares a parameter."""
        return self.hold(f"parameter({', '.join(str(size) for size in shape)})")

    def kept(self, drawn):
        """Declares a buffer, which the state dict holds or, now and then, does not."""
        return self.hold(f"buffer({drawn}{', persistent=False' if self.rarely() else ''})")

    def also(self, statement):
        """A statement about what is held."""
        exec(statement, self._names)
        self.held.append(statement)

    def pick(self, *options):
        """One of several expressions, each as it is or made when it is picked."""
        option = self.choose(*options)
        return option() if callable(option) else option

    def line(self, *options):
        """Computes a value by one of several expressions."""
        return self.step(self.pick(*options))

    def step(self, expression, masked=False):
        """Computes a value; one that is `masked` may hold infinities and whatever fills masks."""
        name = f"h{len(self.lines) + 1}"
        line = f"{name} = {expression}"
        with torch.no_grad():
            for probe in self._probes:
                scope = {**self._names, **probe}
                try:
                    exec(line, scope)
                except (RuntimeError, ValueError, TypeError, IndexError) as error:
                    raise Unfit(f"{line}: {error}") from error
                probe[name] = scope[name]
        self.lines.append(line)
        value = self._value(name, masked)
        self.values.append(value)
        return value

    def _value(self, name, masked):
        tensors = [probe[name] for probe in self._probes]
        if len({tensor.ndim for tensor in tensors}) > 1:
            raise Unfit(f"the number of axes of {name} varies")
        by_sizes = {tuple(probe[key] for probe in PROBES): key for key in PROBES[0]}
        axes = tuple(
            sizes[0] if len(set(sizes)) == 1 else by_sizes.get(sizes, "?")
            for sizes in zip(*(tensor.shape for tensor in tensors), strict=True)
        )
        kind = "bool" if tensors[0].dtype == torch.bool else "int"
        kind = "float" if tensors[0].is_floating_point() else kind
        if kind == "float" and not masked and any(_useless(tensor) for tensor in tensors):
            raise Unfit(f"the values of {name} are of no use")
        return Value(name, axes, kind)

    def attempt(self, draw_step, value):
        """What a step makes of a value; the value itself where it makes nothing of it."""
        parts = self.held, self.lines, self.values, self.layers
        before = [len(part) for part in parts]
        try:
            return draw_step(self, value)
        except Unfit:
            for part, length in zip(parts, before, strict=True):
                del part[length:]
            return value

    def earlier(self, fits):
        """One of the values so far that fit, or None."""
        found = [value for value in self.values if fits(value)]
        return self.choose(*found) if found else None

    def program(self, returns, sizes):
        used = re.findall(r"\w+", " ".join(self.given))
        sizes = {name: size for name, size in sizes.items() if name in used}
        parts = tuple(self.given), tuple(self.held), tuple(self.lines)
        return Program(*parts, returns, sizes).pruned()


def _useless(tensor):
    return not bool(tensor.isfinite().all()) or float(tensor.abs().max()) > LARGEST
