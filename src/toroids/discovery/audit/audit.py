"""The audit: do weight directions leave the outputs unchanged that no space explains?

At a generic point the directions that leave all outputs on all inputs unchanged to first order are
the null space of the Jacobian of the outputs by the parameters. Continuous symmetries lie in it.
What else lies in it is dead (parameters on which no output depends), linear-redundant (directions
within one layer, as the kernel of a layer whose reader subtracts the mean, among biases alone, or
among constants: what a layer norm's bias adds its readers can add as well), or unexplained.

Where the Jacobian is too large, what neither symmetries nor dead entries explain is asked of narrow
twins of the network.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from toroids.arguments.checked import checked
from toroids.discovery.audit.counts import Audit, Question, exact
from toroids.discovery.audit.lanczos import estimated_rank
from toroids.discovery.audit.narrow import Narrow, narrowed
from toroids.discovery.audit.tangents import dimension_of, pulled, tangents_of
from toroids.discovery.discover import group_of
from toroids.discovery.inference.assemble import operator_of
from toroids.discovery.tracing.draws import drawn_params
from toroids.discovery.tracing.example import Inputs
from toroids.discovery.tracing.explore import explore
from toroids.discovery.tracing.program import Program
from toroids.errors import DataError
from toroids.params import Params
from toroids.symmetry.group import SymmetryGroup, check_group
from toroids.symmetry.space import Generator, Leg, Space
from toroids.symmetry.units import along

# More parameters have a Jacobian that takes minutes.
DENSE = 8000
# That of a narrow twin is in seconds. Its rank shows in a few outputs per parameter.
NARROW = 2000
ROWS = 4


@checked
def audit(
    model: nn.Module,
    inputs: Inputs,
    params: Params | None = None,
    *,
    group: SymmetryGroup | None = None,
    output_key: str | int | None = None,
) -> Audit:
    """Counts the weight directions that leave the outputs, and those that the group explains.

    Args:
        model: the module; run in evaluation mode, not touched.
        inputs: as many examples as give at least as many outputs as there are parameters.
        params: where to audit; the model's own parameters, disturbed to a generic point, if None.
        group: the group to compare with; the discovered one when None.
        output_key: the entry of a structured output that counts.

    Returns:
        The counts: exact for networks of at most 8000 parameters. For larger ones symmetries and
        dead entries are counted, and linear-redundant and unexplained directions are estimated: as
        many per parameter as in a narrow twin, the same module at weights at which units are equal;
        the standard error is the difference to a twin that is narrower still. Where no units can be
        made equal the rank is estimated by stochastic Lanczos quadrature, which takes weak
        directions for null and null ones for weak.

    Raises:
        DataError: the model gives no floating outputs, or they are not finite.
        ParamsError: `params` or `group` is of another architecture.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.fully_connected([3, 4, 2], seed=0)
        >>> inputs = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
        >>> found = td.audit(model, inputs)
        >>> found.symmetry_dimension, found.unexplained
        (4, 0.0)
    """
    explored = explore(model, inputs, output_key)
    group = group_of(explored) if group is None else group
    check_group(group)
    model = explored.model
    group.check(model.state_dict(), "the model")
    program, example = explored.points[0].program, explored.points[0].example
    point = drawn_params(
        {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()},
        program.aliases, program.parameters, torch.Generator().manual_seed(0),
        keep=[condition.buffer for condition in group.conditions],
    )  # fmt: skip
    if params is not None:
        group.check(params)
        point = {name: tensor.detach().cpu() for name, tensor in params.items()}
    point = {n: t.double() if t.is_floating_point() else t for n, t in point.items()}
    asked = _Subject(program, example.tensors, group, point)
    if asked.outputs(asked.start).numel() == 0:
        raise DataError("the model gives no floating outputs on these inputs; pass at least one.")
    return _exact(asked) if len(asked.start) <= DENSE else _estimated(asked)


@dataclass(frozen=True)
class _Subject:
    """A network at a point, as a function of all its parameters as one vector."""

    program: Program
    inputs: Sequence[Tensor]
    group: SymmetryGroup
    point: dict[str, Tensor]

    @property
    def names(self) -> list[str]:
        """The parameters that are trained, tied ones once."""
        program = self.program
        first = {other: names[0] for names in program.aliases.values() for other in names}
        learned = program.parameters - program.whole
        return [n for n in program.shapes if n in learned and first.get(n, n) == n]

    @property
    def start(self) -> Tensor:
        return torch.cat([self.point[name].reshape(-1) for name in self.names])

    @property
    def latent(self) -> Tensor:
        """Which entries of all parameters have a size that nobody reads."""
        held = [torch.full((self.point[n].numel(),), n in self.group.binary) for n in self.names]
        return torch.cat(held)

    def outputs(self, vector: Tensor) -> Tensor:
        """All outputs as one vector."""
        names, point = self.names, self.point
        pieces = torch.split(vector, [point[name].numel() for name in names])
        # in memory of their own, as complex numbers must not begin at an odd place
        moved = {n: x.clone().view_as(point[n]) for n, x in zip(names, pieces, strict=True)}
        learned = self.program.parameters - self.program.whole
        others = {n: t for n, t in point.items() if n not in learned}
        found = self.program.run({**others, **moved}, gradients=True, inputs=self.inputs)
        return torch.cat([value.reshape(-1) for value in found])

    def blocks(self, sizes: dict[str, int]) -> list[Tensor]:
        """Positions of every layer's parameters, and of all biases and gains together."""
        layers: dict[str, list[Tensor]] = {}
        start = 0
        for name, size in sizes.items():
            at = torch.arange(start, start + size)
            start += size
            layers.setdefault(operator_of(name), []).append(at)
            if self.point[name].ndim == 1:
                layers.setdefault("", []).append(at)
        return [torch.cat(parts) for parts in layers.values()]

    def constants(self) -> list[Tensor]:
        """For every norm with a bias the directions that change constants: biases, and readers.

        The columns of a reader, weighed by the inverse gains, add up to what multiplies the mean
        that a layer norm makes zero: along their sum the reader does not see its input. Where the
        reader is an embedding as well, another table takes back what this adds to every word.

        Returns:
            (directions, entries of all parameters), for every norm.
        """
        found = []
        for space in (s for s in self.group.spaces if s.copies == 1):
            for single, readers in (*self._before_readers(space), *self._on_stream(space)):
                if len({leg.tensor for leg in single}) == 2:
                    # which of the two is the gain is not known, but it has no zeros
                    gains = [x for x in single if bool((self.point[x.tensor] + x.offset).all())]
                    found += [self._behind([[(x, reader)] for reader in readers]) for x in gains]
            found += [self._behind(readers) for readers in self._side_by_side(space)]
        return found

    def _side_by_side(self, space: Space) -> Iterator[list[list[tuple[Leg, Leg]]]]:
        """The readers of a norm over several of a stream, each with its gains, one by one."""
        held: dict[str, list[Generator]] = {}
        for scale, at in zip(space.of("rescale"), space.gains, strict=True):
            if at is not None and space.legs[at].positions is not None:
                held.setdefault(space.legs[at].tensor, []).append(scale)
        for name, scales in held.items():
            readers: dict[str, list[tuple[Leg, Leg]]] = {}
            nonzero = True
            for scale in scales:
                moved = [x for x, e in zip(space.legs, scale.exponents, strict=True) if e]
                gain = next(x for x in moved if x.tensor == name)
                nonzero &= bool((self.point[name] + gain.offset).all())
                for leg in moved:
                    if leg.tensor != name and self.point[leg.tensor].ndim > 1:
                        readers.setdefault(leg.tensor, []).append((gain, leg))
            found = [own for own in readers.values() if len(own) == len(scales)]
            if nonzero and found:
                yield found

    def _before_readers(self, space: Space) -> Iterator[tuple[list[Leg], list[Leg]]]:
        """The gain and bias of norms whose gains move into what reads them, and these readers."""
        for scale in space.of("rescale"):
            legs = [(x, e) for x, e in zip(space.legs, scale.exponents, strict=True) if e]
            single = [x for x, e in legs if e > 0 and self._is_single(space, x)]
            yield single, [x for x, e in legs if e < 0 and x.positions is None]

    def _is_single(self, space: Space, leg: Leg) -> bool:
        """Whether a tensor holds one number for every unit, as gains do; a stack of biases not."""
        return self.point[leg.tensor].shape == (space.size,) and leg.positions is None

    def _on_stream(self, space: Space) -> Iterator[tuple[list[Leg], list[Leg]]]:
        """The gain and bias of other norms, and what may read them: a tied embedding, and tables.

        What one constant adds to all words another table takes back.

        Yields:
            Legs that one unit moves, and legs that take it back.
        """
        moved = {leg.tensor for single, _ in self._before_readers(space) for leg in single}
        read = {x.tensor for s in self.group.spaces for x in s.legs if x.role == "read"}
        wide = {
            leg.tensor: leg
            for leg in space.legs
            if self.point[leg.tensor].ndim > 1
            and leg.positions is None
            and (leg.role == "read" or leg.tensor not in read)
        }
        layers: dict[str, list[Leg]] = {}
        for leg in space.legs:
            if self._is_single(space, leg) and leg.tensor not in moved:
                layers.setdefault(leg.operator, []).append(leg)
        for single in layers.values():
            yield single, list(wide.values())

    def _behind(self, readers: Sequence[Sequence[tuple[Leg, Leg]]]) -> Tensor:
        """Directions of all biases, and of a norm's readers along its inverse gains.

        Args:
            readers: for every one its gains, each with where the reader takes it up.

        Returns:
            (directions, entries of all parameters).
        """
        gains = {
            space.legs[at].tensor for space in self.group.spaces for at in space.gains
            if at is not None
        } | {gain.tensor for own in readers for gain, _ in own}  # fmt: skip
        biases = {n for n in self.names if self.point[n].ndim == 1} - gains
        rows = []
        for own in readers:
            leg = own[0][1]
            tensor = self.point[leg.tensor]
            column = torch.zeros_like(tensor)
            for gain, place in own:
                held = self.point[gain.tensor].flatten()
                numbers = held if gain.positions is None else held[list(gain.positions)]
                column += along(1 / (numbers + gain.offset), tensor, place, 0.0)
            width = math.prod(tensor.shape[leg.axis : leg.axis + leg.span])
            ones = torch.eye(tensor.numel() // width, dtype=torch.float64)
            others = [n for axis, n in enumerate(tensor.shape) if axis != leg.axis]
            chosen = ones.view(-1, *others).unsqueeze(1 + leg.axis)
            rows.append(self._spread(leg.tensor, (chosen * column).reshape(len(ones), -1)))
        for name in sorted(biases):
            rows.append(self._spread(name, torch.eye(self.point[name].numel()).double()))
        return torch.cat(rows)

    def _spread(self, name: str, rows: Tensor) -> Tensor:
        """Directions of one parameter as directions of all."""
        pieces = [
            rows if n == name else rows.new_zeros(len(rows), self.point[n].numel())
            for n in self.names
        ]
        return torch.cat(pieces, dim=1)


def _exact(asked: _Subject) -> Audit:
    sizes = {name: asked.point[name].numel() for name in asked.names}
    tangents = tangents_of(asked.group, asked.point, asked.names)
    blocks = asked.blocks(sizes)
    constants = asked.constants()
    return exact(
        Question(asked.outputs, asked.start, sizes, blocks, constants, tangents, asked.latent)
    )


def _estimated(asked: _Subject) -> Audit:
    """Symmetries and what is dead are the network's; of the rest there is as much as in twins."""
    start, latent = asked.start, asked.latent
    total, count = len(start), asked.outputs(start).numel()
    silent = _silent(asked.outputs, start)
    dimension, among_silent = dimension_of(asked.group, asked.point, asked.names, silent)
    dead = int((silent & ~latent).sum()) - among_silent
    dimension += int(latent.sum())
    found = Audit(total, count, 0.0, dimension, dead, 0.0, 0.0, count < total)
    twins = [
        _twin(asked, narrow) for narrow in narrowed(asked.group, asked.point, asked.names, NARROW)
    ]
    if not twins:
        rank, error = estimated_rank(asked.outputs, start)
        left = max(total - rank - dimension - dead, 0.0)
        return replace(found, rank=rank, unexplained=left, rank_stderr=error)
    # as many per parameter as in the widest twin; the next one says how far that is to be trusted
    redundant = [total * twin.linear_redundant / twin.parameters for twin in twins]
    other = [total * twin.unexplained / twin.parameters for twin in twins]
    return replace(
        found,
        rank=total - dimension - dead - redundant[0] - other[0],
        linear_redundant=redundant[0],
        unexplained=other[0],
        rank_stderr=math.hypot(redundant[0] - redundant[-1], other[0] - other[-1]),
        where=twins[0].where,
        twin=twins[0],
    )


def _silent(outputs: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """On which entries no output depends: a random sum of all outputs does not."""
    vector = start.clone().requires_grad_()
    values = outputs(vector)
    generator = torch.Generator().manual_seed(0)
    return pulled(values, vector, torch.randn(len(values), generator=generator).double()) == 0


def _twin(asked: _Subject, narrow: Narrow) -> Audit:
    """The exact audit of a narrow twin, by some of its outputs."""
    small = replace(asked, point=narrow.point)
    sizes = dict(zip(asked.names, narrow.sizes, strict=True))
    count = small.outputs(small.start).numel()
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(count, generator=generator)[: ROWS * sum(narrow.sizes)]
    return exact(
        Question(
            outputs=lambda free: small.outputs(free[narrow.classes])[chosen],
            start=narrow.free(small.start),
            sizes=sizes,
            blocks=small.blocks(sizes),
            constants=[torch.stack([narrow.free(row) for row in x]) for x in small.constants()],
            symmetries=tangents_of(asked.group, narrow.point, asked.names, narrow.free),
            latent=narrow.free(asked.latent.double()) > 0,
        )
    )
