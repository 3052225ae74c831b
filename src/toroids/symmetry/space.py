"""Spaces of hidden units: which parameter axes they index, and what may act on them."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from pydantic import ConfigDict
from torch import Tensor

from toroids.arguments.checked import check_fields
from toroids.errors import ToroidsError

Kind = Literal["rescale", "flip", "shift", "mix", "rotate", "phase"]
Action = Literal["permute", "rescale", "flip", "shift", "mix", "rotate", "phase"]
OutputMode = Literal["values", "logits", "classifier"]


@dataclass(frozen=True)
class Leg:
    """One axis, or part of one or several axes, of one tensor that is indexed by a space.

    Attributes:
        tensor: name in the state dict.
        axis: which axis, counted from 0.
        role: "write" where the unit's activation is written, "read" where it is read.
        operator: name of the layer that holds the tensor; legs of one writer share it.
        span: how many axes, flattened together, are indexed jointly (the weight of a grouped
            convolution is indexed by output and input channel); 0 for a tensor without axes.
        positions: where the units lie along the axis, copy after copy, unit after unit; as many
            for every unit. None where the units are the positions of the axis, or a single unit
            is all of it.
        offset: a number that the network adds to the tensor before it is scaled, as a gain 1 + w.

    Example:
        >>> import toroids as td
        >>> td.symmetry.Leg("hidden.weight", axis=0, role="write", operator="hidden").role
        'write'

        See `Space` for legs in use.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    tensor: str
    axis: int
    role: Literal["write", "read"]
    operator: str
    span: int = 1
    positions: tuple[int, ...] | None = None
    offset: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, bounded=False)

    def places(self, shape: Sequence[int]) -> Sequence[int]:
        """Where the units lie along the axis in a tensor of this shape, unit after unit."""
        if self.positions is not None:
            return self.positions
        return range(math.prod(shape[self.axis : self.axis + self.span]))

    @cached_property
    def index(self) -> Tensor | None:
        """The positions as a tensor on the CPU."""
        return None if self.positions is None else torch.tensor(self.positions, dtype=torch.long)

    def index_on(self, device: torch.device) -> Tensor:
        """The positions, of which there are some, as a tensor on `device`."""
        index = self._indices.get(device)
        if index is None:
            index = self._indices[device] = torch.tensor(self.positions, device=device)
        return index

    @cached_property
    def _indices(self) -> dict[torch.device, Tensor]:
        return {}


def overlap(a: Leg, b: Leg, shapes: Mapping[str, Sequence[int]]) -> bool:
    """Whether two legs hold some of the same entries, as rows and columns of a matrix do.

    Args:
        a: a leg.
        b: another one.
        shapes: of all tensors.

    Returns:
        Whether an entry of some tensor lies on both.
    """
    if a.tensor != b.tensor:
        return False
    common = range(max(a.axis, b.axis), min(a.axis + a.span, b.axis + b.span))
    if a.positions is None or b.positions is None or not common:
        return True
    if (a.axis, a.span) == (b.axis, b.span):
        return not set(a.positions).isdisjoint(b.positions)
    shape = shapes[a.tensor]
    ours, theirs = (set(_along(leg, common, shape)) for leg in (a, b))
    return not ours.isdisjoint(theirs)


def carried_twice(space: "Space", shapes: Mapping[str, Sequence[int]]) -> set[str]:
    """Tensors of which a space moves some entries along different axes.

    Args:
        space: any.
        shapes: of all tensors.

    Returns:
        Their names.
    """
    legs: dict[str, list[Leg]] = {}
    for leg in space.legs:
        legs.setdefault(leg.tensor, []).append(leg)
    return {
        name
        for name, own in legs.items()
        if any(
            (x.axis, x.span) != (y.axis, y.span) and overlap(x, y, shapes)
            for x, y in itertools.combinations(own, 2)
        )
    }


def _along(leg: Leg, axes: range, shape: Sequence[int]) -> list[int]:
    """Where the positions of a leg lie along some of its axes, which follow each other."""
    behind = math.prod(shape[axes.stop : leg.axis + leg.span])
    size = math.prod(shape[axes.start : axes.stop])
    return [place // behind % size for place in leg.positions or ()]


@dataclass(frozen=True)
class Absorbed:
    """A bias that takes back what a linear reader makes of a shift: b - factor W t.

    Or rows of a table that take back the shift itself, as the position of a class token does:
    T[rows] - factor t.

    Attributes:
        reader: the leg on which the reader W meets the shifted units; of rows, their table's own.
        bias: name of the bias b, or of the table T.
        axis: of the reader's tensor, along which the bias lies; all others are summed. Of rows, the
            axis of the units.
        factor: what the network multiplies the reader's result by before it adds the bias.
        rows: which rows of the table, its other axes flattened; None where W stands before a bias.

    Example:
        >>> import toroids as td
        >>> reader = td.symmetry.Leg("output.weight", 1, "read", "output")
        >>> td.symmetry.Absorbed(reader, "output.bias", axis=0).factor
        1.0
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    reader: Leg
    bias: str
    axis: int
    factor: float = 1.0
    rows: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Generator:
    """One family of symmetries of a space besides its permutations.

    Attributes:
        action: "rescale", one positive scale per unit; "flip", one sign per unit; "shift", one
            number per unit that is added; "mix", one invertible matrix over the units; "rotate",
            one orthogonal matrix over the units; "phase", one angle per unit, which turns its
            entries two by two.
        exponents: for every leg of the space, in order, the power it takes of the scale or sign,
            or of the matrix (-1 is the inverse transpose); for a shift, its factor; for a phase,
            the direction. To "rotate" they are 1, and 0 on the gains that stand between the units
            and their readers: see `Space.gains`.
        absorbed: biases that take back what linear readers make of a shift.
        fixes_mean: whether the orthogonal matrices keep the mean over the units, which a layer norm
            subtracts.
        hides_mean: whether nobody sees the mean over the units of what writes the space.

    Example:
        >>> import toroids as td
        >>> td.symmetry.Generator("rescale", (1.0, 1.0, -1.0)).action  # weight, bias, next weight
        'rescale'

        See `Space` for generators in use.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    action: Kind
    exponents: tuple[float, ...]
    absorbed: tuple[Absorbed, ...] = ()
    fixes_mean: bool = False
    hides_mean: bool = False

    def __post_init__(self) -> None:
        check_fields(self, bounded=False)


@dataclass(frozen=True)
class Norm:
    """A batch norm whose variance a space rescales.

    Variance v becomes c^2 v, and because of eps the weight is multiplied by
    sqrt(c^2 v + eps) / (c sqrt(v + eps)) to leave the function as it is in evaluation mode.

    Attributes:
        weight: name of its weight.
        bias: name of its bias, None where it has none.
        mean: name of its running mean.
        variance: name of its running variance.
        eps: its eps.

    Example:
        >>> import torch, toroids as td
        >>> from torch import nn
        >>> layers = (nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
        >>> group = td.discover(nn.Sequential(*layers), torch.randn(5, 3))
        >>> [norm.variance for norm in group.spaces[0].norms]
        ['1.running_var']
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    weight: str
    bias: str | None
    mean: str
    variance: str
    eps: float

    def __post_init__(self) -> None:
        check_fields(self, bounded=False)


@dataclass(frozen=True)
class WeightNorm:
    """A weight g v / |v| whose gain follows the norm of v.

    Where a space rescales v to v', g is multiplied by |v'| / |v|, so that g v / |v| moves as a
    weight of its own would. Scales of whole norms the exponents of g tell instead.

    Attributes:
        gain: name of g, which has one number for every norm.
        weight: name of v.
        axes: of v, over which the norm is taken.
        told: pairs of legs, of v and of g, that lie alike, with scales of whole norms.

    Example:
        >>> import torch, toroids as td
        >>> from torch import nn
        >>> normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 2))
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), normed)
        >>> group = td.discover(model, torch.randn(5, 3))
        >>> group.spaces[0].weight_norms[0].axes
        (1,)
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    gain: str
    weight: str
    axes: tuple[int, ...]
    told: tuple[tuple[Leg, Leg], ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, bounded=False)


@dataclass(frozen=True)
class Space:
    """An index set of hidden units that several parameter axes share.

    Attributes:
        name: unique within the group.
        size: number of units.
        copies: independent copies of the space, as the entries of every attention head.
        actions: what may act on it without changing the function.
        legs: the axes that it indexes, in topological order of their operators.
        generators: what acts on it besides permutations.
        within: the spaces whose units are, or whose combinations of units count, the copies;
            permuting those moves the copies.
        norms: batch norms whose running variance it rescales.
        weight_norms: weights that it rescales and that a norm divides, with the gains that follow.

    Example:
        >>> import toroids as td
        >>> legs = (
        ...     td.symmetry.Leg("hidden.weight", 0, "write", "hidden"),
        ...     td.symmetry.Leg("output.weight", 1, "read", "output"),
        ... )
        >>> scale = td.symmetry.Generator("rescale", (1.0, -1.0))  # ReLU(c x) = c ReLU(x)
        >>> actions = frozenset({"permute", "rescale"})
        >>> space = td.symmetry.Space("hidden", 8, 1, actions, legs, (scale,))
        >>> space.dimension
        8
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    size: int
    copies: int
    actions: frozenset[Action]
    legs: tuple[Leg, ...]
    generators: tuple[Generator, ...] = ()
    within: tuple[str, ...] = ()
    norms: tuple[Norm, ...] = ()
    weight_norms: tuple[WeightNorm, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, bounded=False)
        if self.size < 1 or self.copies < 1 or not self.legs:
            raise ToroidsError(
                f"space `{self.name}` has {self.size} units, {self.copies} copies and "
                f"{len(self.legs)} legs; give at least one of each."
            )
        granted = {generator.action for generator in self.generators}
        if granted != self.actions - {"permute"}:
            raise ToroidsError(
                f"space `{self.name}` has actions {sorted(self.actions)} and generators of "
                f"{sorted(granted)}; give every action but 'permute' exactly with a generator."
            )
        if "mix" in granted and granted & {"rescale", "flip", "rotate"}:
            raise ToroidsError(
                f"space `{self.name}` mixes and has actions {sorted(granted)}; matrices "
                "rescale, flip and rotate already."
            )
        for generator in self.generators:
            self._check_generator(generator)
        for action in ("mix", "rotate"):
            if self.of(action)[1:]:
                raise ToroidsError(
                    f"space `{self.name}` has two generators of {action!r}; give one."
                )
        self._check_rotation()
        self._check_phases()

    def of(self, action: Action) -> tuple[Generator, ...]:
        """The generators of one action."""
        return tuple(generator for generator in self.generators if generator.action == action)

    @property
    def is_single(self) -> bool:
        """Whether it has a single unit, as one has that moves whole tensors by one number."""
        return self.size * self.copies == 1

    @property
    def is_still(self) -> bool:
        """Whether its units keep their places, as the features of an input do."""
        return not (self.matrix or self.of("phase") or "permute" in self.actions)

    @property
    def matrix(self) -> Generator | None:
        """The generator of the matrices over its units, invertible or orthogonal, if any act."""
        return next((g for g in self.generators if g.action in ("mix", "rotate")), None)

    @cached_property
    def gains(self) -> tuple[int | None, ...]:
        """For every generator of "rescale" of a space that rotates, the leg of its one gain.

        A leg that takes the powers e of the scales is turned by D Q D^-1, with D the product of
        the gains to those powers: the network is brought to the slice where all gains are one,
        turned there, and brought back.
        """
        turned = self.of("rotate")[0].exponents if self.of("rotate") else ()
        return tuple(
            next((i for i, t in enumerate(turned) if not t and g.exponents[i]), None)
            for g in self.of("rescale")
        )

    @property
    def dimension(self) -> int:
        """Number of its continuous symmetries."""
        count = len(self.of("rescale")) + len(self.of("shift")) + len(self.of("phase"))
        turning = [self.size - rotate.fixes_mean for rotate in self.of("rotate")]
        turns = sum(n * (n - 1) // 2 for n in turning)
        return self.copies * (count * self.size + turns + len(self.of("mix")) * self.size**2)

    def check_gains(self, tied: Mapping[str, str]) -> None:
        """Raises unless every generator of "rescale" of a space that rotates scales one gain.

        Args:
            tied: names under which another tensor appears again, and the name of that tensor.

        Raises:
            ToroidsError: one scales none, or several, under whatever names.
        """
        for rotate in self.of("rotate"):
            for scale in self.of("rescale"):
                powers = zip(self.legs, scale.exponents, rotate.exponents, strict=True)
                gains = [leg.tensor for leg, e, turns in powers if e and not turns]
                if len({tied.get(name, name) for name in gains}) != 1:
                    raise ToroidsError(
                        f"space `{self.name}` rotates and rescales the gains {sorted(gains)} "
                        "together; give every generator of 'rescale' exactly one gain."
                    )

    def _check_generator(self, generator: Generator) -> None:
        if len(generator.exponents) != len(self.legs):
            raise ToroidsError(
                f"space `{self.name}` has {len(self.legs)} legs but a generator with "
                f"{len(generator.exponents)} exponents; give one exponent per leg."
            )
        finite = all(math.isfinite(exponent) for exponent in generator.exponents)
        values = set(generator.exponents)
        allowed = {
            "mix": {1.0, -1.0}, "flip": {0.0, 1.0}, "rotate": {0.0, 1.0}, "phase": {-1.0, 0.0, 1.0}
        }  # fmt: skip
        if not finite or values == {0.0} or not values <= allowed.get(generator.action, values):
            raise ToroidsError(
                f"space `{self.name}` has the exponents {list(generator.exponents)} for "
                f"{generator.action!r}; give finite ones that are not all zero (flip and rotate: "
                "0 or 1, mix: 1 or -1, phase: -1, 0 or 1)."
            )
        if generator.absorbed and generator.action != "shift":
            raise ToroidsError(
                f"space `{self.name}` has biases that absorb {generator.action!r}; biases absorb "
                "shifts only."
            )

    def _check_rotation(self) -> None:
        if self.of("rotate") and (self.copies > 1 or self.size < 2):
            raise ToroidsError(
                f"space `{self.name}` rotates and has {self.copies} copies of {self.size} "
                "units; rotate single spaces of two units or more."
            )

    def _check_phases(self) -> None:
        for generator in self.of("phase"):
            for leg, e in zip(self.legs, generator.exponents, strict=True):
                units = 2 * self.copies * self.size
                if e and (leg.positions is None or len(leg.positions) % units):
                    raise ToroidsError(
                        f"space `{self.name}` turns phases on `{leg.tensor}`, whose units are no "
                        "pairs; give positions, two by two."
                    )

    @property
    def writer(self) -> tuple[Leg, ...]:
        """The legs of the first operator, in topological order, that writes the space only.

        Empty where every writer also reads the space, as a recurrent layer does.
        """
        readers = {leg.operator for leg in self.legs if leg.role == "read"}
        writes = [leg for leg in self.legs if leg.role == "write" and leg.operator not in readers]
        return tuple(leg for leg in writes if leg.operator == writes[0].operator)


@dataclass(frozen=True)
class Output:
    """What the readers of the outputs cannot see, and the legs that write the outputs.

    Attributes:
        mode: "values" (everything counts), "logits" (a common shift does not), "classifier" (a
            common shift and one positive scale do not).
        legs: class axes of the tensors that write the outputs.

    Example:
        >>> import toroids as td
        >>> leg = td.symmetry.Leg("output.weight", 0, "write", "output")
        >>> td.symmetry.Output("classifier", (leg,)).mode
        'classifier'
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    mode: OutputMode = "values"
    legs: tuple[Leg, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, bounded=False)
        modes = get_args(OutputMode)
        if self.mode not in modes:
            raise ToroidsError(f"there is no output mode {self.mode!r}; choose from {modes}.")
        if self.mode != "values" and not self.legs:
            raise ToroidsError(
                f"the output mode {self.mode!r} needs the legs that write the outputs; name them."
            )
