"""What every hidden unit of every space computes on data.

For an element g that neither scales nor shifts, with permutation p, signs s and orthogonal M,

    values(g.params)[c, i] = s[c, i]^e  sum_j M[c, i, j] values(params)[c, p[c, j]]

in every copy c, where e is the power that the values take of the sign; elements of the spaces that
carry the copies then move those as wholes, as they do in `SymmetryGroup.apply`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from toroids.arguments.checked import checked_methods
from toroids.discovery.tracing.calls import Caller
from toroids.discovery.tracing.example import Inputs, example_of
from toroids.discovery.tracing.execution import CPU, Execution, LookUp, Watch
from toroids.discovery.tracing.trace import trace
from toroids.errors import DataError, ToroidsError
from toroids.evaluation.running import check_module
from toroids.params import Params
from toroids.probe.gather import gathered
from toroids.probe.layers import separate_layers
from toroids.probe.looks import Look, looks_of
from toroids.symmetry.group import SymmetryGroup, check_group
from toroids.symmetry.space import Space

OBSERVATIONS = 2**14


@dataclass(frozen=True)
class Activations:
    """What the units of a space compute, in values that transform alike.

    Attributes:
        values: (copies, size, observations), detached.
        signs: for every flip of the space, in order, the power that the values take of it: 1 where
            they change sign with the unit, 0 where they do not.
        moved_by: other spaces of the group that move the observations (the entries of heads, where
            the heads are looked at); empty where units of two networks can be compared as they are.

    See `Probe` for an example.
    """

    values: Tensor
    signs: tuple[float, ...] = ()
    moved_by: frozenset[str] = frozenset()


@checked_methods
class Probe:
    """Finds once where a module's units can be seen, then shows them for any parameters.

    Attributes:
        group: the group whose spaces are shown.
    """

    def __init__(
        self,
        model: nn.Module,
        group: SymmetryGroup,
        inputs: Inputs,
        observations: int = OBSERVATIONS,
        output_key: str | int | None = None,
    ) -> None:
        """Traces the module on the data.

        Args:
            model: any module that `torch.export` can trace with these inputs; left as it was.
            group: its group, discovered or written by hand.
            inputs: the data: a tensor, a tuple of positional or a dict of keyword arguments.
            observations: at most so many are kept per unit (or one per value that shows it, where
                there are more values than that), evenly spread over all of them; the same for all
                parameters.
            output_key: as it was given to `discover`.

        Raises:
            ToroidsError: the module cannot be traced, `observations` is not positive, or a space
                of the group is not found in the module; names it.
            ParamsError: the group is of another architecture.
        """
        if observations < 1:
            raise ToroidsError(f"observations is {observations}; pass at least 1.")
        check_group(group)
        check_module(model)
        group.check(model.state_dict(), "the model")
        self.group = group
        example = example_of(model, inputs)
        try:
            self._program = trace(model, example, output_key)
        except ToroidsError:
            Caller(model, model.state_dict(), output_key).first(example)  # says so if these fail
            raise
        separate_layers(self._program.graph)
        self._looks = looks_of(self._program, group, observations)

    def __call__(self, params: Params) -> dict[str, tuple[Activations, ...]]:
        """Runs the module on the data.

        Args:
            params: parameters and buffers by name, all on one device.

        Returns:
            By the space's name, values in which its units can be told apart. Computed in the
            precision of `params` where that is the model's own, else in float64.

        Raises:
            ParamsError: `params` is not of this architecture or is not finite.
            DataError: a unit's values are NaN or infinite.

        Example:
            >>> import torch, toroids as td
            >>> from torch import nn
            >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 5))
            >>> inputs = torch.randn(100, 3)
            >>> probe = Probe(model, td.discover(model, inputs), inputs)
            >>> (hidden,) = probe(model.state_dict())["0"]
            >>> hidden.values.shape, hidden.signs
            (torch.Size([1, 8, 100]), ())
            >>> bool((hidden.values[0] == model[:2](inputs).T).all())
            True
        """
        self.group.check(params)
        taken: dict[str, list[tuple[Look, Tensor]]] = {s.name: [] for s in self.group.spaces}

        def watch(node: fx.Node, look_up: LookUp) -> None:
            for look in self._looks.get(node, ()):
                values = gathered(look_up(look.node), look.entries, look.columns)
                taken[look.space.name].append((look, values))

        with torch.no_grad():
            self._program.execute(params, self._execution(params, watch))
        for name, looks in taken.items():
            if not all(bool(torch.isfinite(values).all()) for _, values in looks):
                raise DataError(
                    f"what the units of `{name}` compute on these inputs is NaN or infinite; pass "
                    "finite inputs, and weights that do not overflow."
                )
        return {space.name: _joined(space, taken[space.name]) for space in self.group.spaces}

    def _execution(self, params: Params, watch: Watch) -> Execution:
        own = {s.name: s.value.dtype for s in self._program.sources.values() if s.name in params}
        wide = any(params[name].dtype != kind for name, kind in own.items())
        device = next((tensor.device for tensor in params.values()), CPU)
        return Execution(wide, device, watch)


def _joined(space: Space, taken: Sequence[tuple[Look, Tensor]]) -> tuple[Activations, ...]:
    """Joins values that transform alike along their observations."""
    alike: dict[tuple[tuple[float, ...], frozenset[str]], list[Tensor]] = {}
    for look, values in taken:
        alike.setdefault((look.signs, look.moved_by), []).append(values)
    return tuple(
        Activations(torch.cat(parts, dim=1).reshape(space.copies, space.size, -1), signs, moved_by)
        for (signs, moved_by), parts in alike.items()
    )
