"""Does a group hold beyond the example? A check with its own code, which shares none with the proof.

A module is discovered on one example. Then everything that its state dict holds is drawn anew, in
float64, and random elements, together and one space at a time, move it. Each network runs in a copy
of its own, twice on every input, as a user's would: on the example and on inputs of other sizes.
Every entry of every output must stay, by its own scale.
"""

import contextlib
import copy
import dataclasses
import itertools
import warnings
from collections.abc import Mapping

import torch
from discovery.redrawn import BOLDNESS, redrawn, ties
from discovery.unchanged import changes, state
from torch.utils._python_dispatch import TorchDispatchMode

import toroids as td
from toroids.errors import ToroidsError
from toroids.symmetry.group import SymmetryGroup

# Two numbers agree where they differ by no more than if every weight were off by this much. Moving
# a network costs digits where scales are large: e^4 squared is 3000 times the last one.
TOLERANCE = 1e-8
FOR_PLACES = 5  # times as many draws where outputs are whole numbers
STEP = 1e-12  # of the weights, to see what one step does to every entry
NARROW = (torch.float32, torch.float16, torch.bfloat16)


class Wide(TorchDispatchMode):
    """Makes casts to narrow floating types casts to float64, so that they hide nothing.

    Attributes:
        met: whether there were any.
    """

    met = False

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") in NARROW:
            kwargs["dtype"] = torch.float64
            self.met = True
        return operator(*args, **kwargs)


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much is checked.

    Attributes:
        trials: random elements of the whole group.
        alone: spaces that act alone, at most.
        draws: networks near by, to see how rounding changes every entry.
        home: whether networks are brought into canonical form and aligned.
    """

    trials: int = 3
    alone: int = 6
    draws: int = 2
    home: bool = True


ALL = Effort()


def violations(model, example, others=(), *, effort=ALL, seed=0, known=None):
    """Discovers a module on an example and checks what it is granted on other inputs.

    Args:
        model: any module; converted copies of it are run.
        example: what `discover` gets: a tensor, a tuple or a mapping.
        others: inputs of other sizes; those that the module does not take are left out.
        effort: how much is checked.
        seed: of everything that is drawn.
        known: a group that was checked on the same inputs: its spaces are not checked again.

    Returns:
        Sentences that say what is wrong.
    """
    before, twin = state(model), quietly(copy.deepcopy, model)
    try:
        group = quietly(td.discover, model, example)
    except ToroidsError as error:
        kind = "failed its own proof" if "failed the proof" in str(error) else "is refused"
        return [f"the module {kind}: {error}"]
    except Exception as error:
        return [f"discover raised {type(error).__name__}: {_line(error)}"]
    found = [f"discover changed the module: {change}" for change in changes(model, before)]
    found += [f"a note: {note}" for note in group.notes if "failed" in note]
    if known and (group.spaces, group.conditions) == (known.spaces, known.conditions):
        return found
    return found + beyond(group, twin, example, others, effort=effort, seed=seed)


def beyond(group, model, example, others=(), *, effort=ALL, seed=0):
    """As `violations`, of a group that is there already."""
    subject = Subject(model, [example, *others], group, effort, seed)
    if subject.expected is None:
        return [f"the module does not run on its example in float64: {subject.error}"]
    if subject.is_random():
        return ["the module draws random numbers and is not refused"]
    found = subject.moved()
    return subject.brought_home() if effort.home and not found else found


def quietly(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def strong(group, generator):
    """A random element whose permutations leave no unit in its place."""
    choices = {}
    for space in group.spaces:
        choice = group.random(generator).choices[space.name]
        if "permute" in space.actions:
            order = choice.permutation
            cycle = torch.empty_like(order).scatter_(1, order, order.roll(1, dims=1))
            choice = dataclasses.replace(choice, permutation=cycle)
        choices[space.name] = choice
    return td.symmetry.Element(choices)


# Where no unit stays, two swaps that should not be may undo each other.
DRAWN = (strong, SymmetryGroup.random)


class Subject:
    """A module with everything drawn anew, and what it returns."""

    def __init__(self, model, inputs, group, effort, seed):
        self.group, self.effort = group, effort
        self.model = quietly(copy.deepcopy, model).double().eval()
        self.inputs = [_wide(x) for x in inputs]
        self.generator = torch.Generator().manual_seed(seed)
        self.ties = ties(self.model)
        self.kept = conditions(group)
        self.casts, self.error = True, "its outputs are not finite"
        self.a, self.expected = self._network()
        if self.expected is None:
            return
        self.inputs = [
            x for x, calls in zip(self.inputs, self.expected, strict=True) if calls is not None
        ]
        self.expected = [calls for calls in self.expected if calls is not None]
        self.noise = self._noise(self.a, self.expected)

    def _network(self):
        """A network and its outputs; None where no drawn one runs on the example."""
        for boldness in BOLDNESS:
            params = redrawn(self.model, self.generator, self.kept, boldness)
            outputs = self._outputs(params)
            if outputs[0] is not None and any(_is_finite(x) for x in outputs[0][0]):
                return params, outputs
        return params, None

    def _outputs(self, params):
        """For every input the outputs of two calls; None where the module does not take it."""
        twin = quietly(copy.deepcopy, self.model)
        with torch.no_grad(), _default_float64():
            twin.load_state_dict(params)
            results = []
            for x in self.inputs:
                try:
                    results.append([self._call(twin, x) for _ in range(2)])
                except Exception as error:  # whatever it says to inputs that it does not take
                    self.error = _line(error)
                    results.append(None)
        return results

    def _call(self, twin, x):
        if not self.casts:
            return quietly(_called, twin, x)
        with Wide() as wide:
            result = quietly(_called, twin, x)
        self.casts = wide.met  # what runs as it is runs faster
        return result

    def _noise(self, params, expected):
        """By how much every entry would change if every weight were off by the tolerance."""
        noise = [[[torch.zeros(())] * len(call) for call in calls] for calls in expected]
        whole = any(not y.is_floating_point() for calls in expected for call in calls for y in call)
        # of two places that tie, rounding tells which is the largest, and not in every draw
        for _ in range((FOR_PLACES if whole else 1) * self.effort.draws):
            near = {name: self._nudged(tensor) for name, tensor in params.items()}
            near = {name: near[self.ties.get(name, name)] for name in near}
            for calls, others, sizes in zip(self._outputs(near), expected, noise, strict=True):
                for call, other, size in zip(calls, others, sizes, strict=True):
                    for k, (y, z) in enumerate(zip(call, other, strict=True)):
                        change = (_numbers(y) - _numbers(z)).abs().nan_to_num(0.0, 0.0)
                        size[k] = torch.maximum(size[k], TOLERANCE / STEP * change)
        return noise

    def _nudged(self, tensor):
        if not tensor.is_floating_point():
            return tensor
        drawn = torch.randn(tensor.shape, generator=self.generator, dtype=tensor.dtype)
        return tensor * (1 + STEP * drawn)

    def is_random(self):
        """Whether the same network, in another copy, returns something else."""
        again = self._outputs(self.a)
        pairs = zip(_flat(again), _flat(self.expected), strict=True)
        return any(not torch.equal(y.nan_to_num(), z.nan_to_num()) for y, z in pairs)

    def moved(self):
        """Random elements of the whole group, then of single spaces."""
        found = []
        elements = [
            (f"a random element ({n})", drawn(self.group, self.generator))
            for n, drawn in zip(range(self.effort.trials), itertools.cycle(DRAWN), strict=False)
        ]
        spaces = self.group.spaces
        for n in torch.randperm(len(spaces), generator=self.generator)[
            : self.effort.alone
        ].tolist():
            space = spaces[n]
            drawn = strong(self.group, self.generator).choices
            choices = {**self.group.identity().choices, space.name: drawn[space.name]}
            actions = "/".join(sorted(space.actions))
            legs = ", ".join(f"{leg.tensor}[{leg.axis}]" for leg in space.legs)
            what = f"space `{space.name}` ({space.copies} x {space.size}, {actions}; {legs}) alone"
            elements.append((what, td.symmetry.Element(choices)))
        for what, element in elements:
            try:
                moved = self.group.apply(element, self.a)
            except Exception as error:
                found.append(f"{what}: apply raised {type(error).__name__}: {_line(error)}")
                continue
            found += self._compared(what, moved, self.expected, self.noise)
        return found

    def brought_home(self):
        """The canonical form, and another network aligned to this one, keep their functions."""
        found = []
        try:
            canonical = quietly(td.canonicalize, self.group, self.a)
            found += self._compared("canonicalize", canonical, self.expected, self.noise)
        except Exception as error:
            found.append(f"canonicalize raised {type(error).__name__}: {_line(error)}")
        b, expected = self._network()
        if expected is None or any(calls is None for calls in expected):
            return found
        b = {name: self.a[name] if name in self.kept else tensor for name, tensor in b.items()}
        try:
            aligned = quietly(td.align, self.group, b, to=self.a).params
        except Exception as error:
            return [*found, f"align raised {type(error).__name__}: {_line(error)}"]
        return found + self._compared("align", aligned, expected, self._noise(b, expected))

    def _compared(self, what, params, expected, noise):
        for first, others in self._tied():
            if any(not torch.equal(params[first], params[name]) for name in others):
                return [f"{what} moves `{first}` and what is tied to it apart"]
        outputs = self._outputs(params)
        for x, calls, right, slack in zip(self.inputs, outputs, expected, noise, strict=True):
            if calls is None:
                return [f"{what}: the module no longer runs on {_shapes(x)}"]
            for n, (call, other, room) in enumerate(zip(calls, right, slack, strict=True)):
                for k, (y, z, r) in enumerate(zip(call, other, room, strict=True)):
                    change = different(y, z, r)
                    if change:
                        call_of = ("first", "second")[n]
                        return [f"{what}: {change} of output {k} on {_shapes(x)}, {call_of} call"]
        return []

    def _tied(self):
        by_first = {}
        for name, first in self.ties.items():
            by_first.setdefault(first, []).append(name)
        return by_first.items()


def different(found, expected, room):
    """Says where a tensor differs from what is expected; empty where it does not.

    Every entry is compared by its own scale; `room` is what it may change besides.
    """
    if found.shape != expected.shape:
        return f"the shape is {tuple(found.shape)}, not {tuple(expected.shape)}"
    if not expected.numel():
        return ""
    y, z = _numbers(found), _numbers(expected)
    same = (y == z) | (y.isnan() & z.isnan())
    finite = y.isfinite() & z.isfinite()
    # what rounding leaves of a sum that cancels has no scale of its own
    allowed = TOLERANCE * z.abs() + room + 1e-12
    wrong = ~same & (~finite | ((y - z).abs() > allowed))
    if not bool(wrong.any()):
        return ""
    excess = torch.where(wrong, ((y - z).abs() / allowed).nan_to_num(torch.inf), -1.0)
    at = int(excess.argmax())
    place = tuple(int(i) for i in torch.unravel_index(torch.tensor(at), y.shape))
    share = float(wrong.double().mean())
    return (
        f"entry {place} is {float(y.flatten()[at]):.6g}, not {float(z.flatten()[at]):.6g} "
        f"({100 * share:.0f} % of the entries differ)"
    )


def conditions(group):
    """Names of the buffers whose values a group takes for granted."""
    return {condition.buffer for condition in group.conditions}


@contextlib.contextmanager
def _default_float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _called(model, inputs):
    inputs = copy.deepcopy(inputs)  # a forward may write into them
    if isinstance(inputs, Mapping):
        return _tensors(model(**inputs))
    return _tensors(model(*inputs) if isinstance(inputs, tuple | list) else model(inputs))


def _tensors(output):
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, Mapping):
        return [t for value in output.values() for t in _tensors(value)]
    if isinstance(output, tuple | list):
        return [t for value in output for t in _tensors(value)]
    return []


def _wide(inputs):
    if isinstance(inputs, torch.Tensor):
        return inputs.double() if inputs.is_floating_point() else inputs
    if isinstance(inputs, Mapping):
        return {name: _wide(value) for name, value in inputs.items()}
    return tuple(_wide(value) for value in inputs) if isinstance(inputs, tuple | list) else inputs


def _flat(outputs):
    return [y for calls in outputs for call in calls for y in call]


def _numbers(tensor):
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor.double()


def _is_finite(tensor):
    return tensor.numel() > 0 and bool(_numbers(tensor).isfinite().any())


def _shapes(inputs):
    values = inputs.values() if isinstance(inputs, Mapping) else inputs
    if isinstance(values, torch.Tensor):
        values = (values,)
    return "inputs " + ", ".join(
        str(tuple(x.shape)) if isinstance(x, torch.Tensor) else repr(x) for x in values
    )


def _line(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else ""
