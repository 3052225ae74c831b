"""Looks far from the example along axes for whose lengths the trace has numbers.

There a loop may end, or change. So may what Python makes of a length where nobody hears it, as
`hex(n)` or `math.log10(n)`: no trace leaves such a length open.
"""

from toroids.discovery.tracing.example import Axis
from toroids.discovery.tracing.holds import Sizes, range_of
from toroids.discovery.tracing.looks import Looks
from toroids.discovery.tracing.nearby import together

# Lengths of the first and of other axes at which loops are looked at, and operators at most there.
FAR, LONG = (17, 33), 2000
# Lengths at which texts, logarithms and roots have become others.
TELLING = (10, 16, 100, 1000)


def look_at_loops(looks: Looks) -> None:
    """Looks at a long input where traces are as long as theirs: a loop may end, or change.

    And at one more position where all lengths so far were even, or all odd: a middle may lie
    between two positions or on one, as where tables are resampled.

    Args:
        looks: where the module was looked at so far; what is found is added.
    """
    sizes = Sizes(looks.example, looks.points)
    for axis in looks.example.axes:
        if sizes.is_paired(axis) or looks.is_image(axis) or len(looks.tried[axis]) < 2:
            continue
        size, long = looks.example.size(axis), FAR[min(axis[1], 1)]
        closed = all(range_of(program, axis)[1] is not None for program in looks.own())
        if not closed:
            continue
        if size < long and _steps(looks, axis, long) < LONG:
            looks.look(looks.example.resized({axis: long}), keep=False)
        if len({n % 2 for n in looks.tried[axis]}) == 1:
            least = min(n for n in looks.tried[axis] if n > 1)
            looks.look(looks.example.resized({axis: least + 1}), keep=False)


def look_where_told(looks: Looks) -> bool:
    """Looks along axes whose lengths the forward got as numbers, where these look otherwise.

    Args:
        looks: where the module was looked at so far; what is found is added.

    Returns:
        Whether the module took any such input.
    """
    taken = False
    sizes = Sizes(looks.example, looks.points)
    numbers = {axis: looks.example.size(axis) for axis in looks.example.axes}
    for axis in looks.call.asked.told_axes:
        open_ = [axis in program.lengths for program in looks.own()]
        # otherwise there is a trace for every length, and nothing is said of others
        any_ = any(open_) or (sizes.is_paired(axis) and len(looks.tried[axis]) > 1)
        for n in TELLING if any_ and not all(open_) else ():
            for some in ({axis: n}, together({axis: n}, numbers)):  # where these must be as long
                example = looks.example.resized(some)
                if n not in looks.tried[axis] and looks.is_quick(example):
                    taken |= looks.look(example, keep=False)
    return taken


def _steps(looks: Looks, axis: Axis, length: int) -> float:
    """How many operators a trace has at most at a length."""
    size = max(looks.example.size(axis), 1)
    return len(looks.programs[0].graph.graph.nodes) * length / size
