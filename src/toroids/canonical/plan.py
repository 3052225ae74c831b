"""What the canonical form fixes, on which weights, and in which order.

Every continuous generator of a space gets a pivot: the weights whose norm, or mean, it sets. With
E the exponents of a space's generators on its pivots, the columns of the inverse of E are
directions that each move one pivot and leave the others; so they can be fixed one after another.
A pivot comes after everything else that moves its weights: when a layer's rows are normalised, its
columns already carry the scales of the layer before.
"""

from functools import cached_property

from toroids.canonical.order import ordered
from toroids.canonical.pivots import Pivots
from toroids.canonical.sign_order import SignOrder
from toroids.canonical.sign_trees import SignTrees
from toroids.canonical.spheres import Spheres, output_sphere
from toroids.canonical.steps import Mix, OutputScale, Scale
from toroids.symmetry.group import SymmetryGroup


class Plan:
    """The steps to the sphere gauge of one group, and the spheres that result.

    Attributes:
        shifts: pivots of shifts, whose means become zero.
        scales: steps that fix scales and matrices, in order; steps that depend on each other in a
            circle come together and are repeated.
        signs: steps that fix signs, in order.
        trees: those of spaces that tell each other's signs, None where there are none.
        lacking: spaces of which some scales have no pivot.
        notes: what cannot be fixed, and why.
    """

    def __init__(self, group: SymmetryGroup, bias: bool) -> None:
        """Plans for `group`; `bias` says whether biases are coordinates of the spheres."""
        self.group, self.bias = group, bias
        pivots = Pivots(group)
        self.shifts = pivots.shifts()
        rescales = pivots.scales(bias)
        self.lacking, self.notes = pivots.lacking, list(pivots.notes)
        flips = pivots.flips()
        self.trees = SignTrees(group, pivots.unsigned) if pivots.unsigned else None
        if self.trees and self.trees.works:
            flips = [pivot for pivot in flips if pivot.space.name not in self.trees.spaces]
        else:
            self.trees, self.notes = None, pivots.notes
        mixes: list[Mix] = []
        for space in group.spaces:
            if any(len(set(generator.exponents)) > 1 for generator in space.of("mix")):
                mixes.append(Mix(space))
            elif space.of("mix"):
                self.notes.append(
                    f"space `{space.name}`: its matrices are left as they are; no parameters read "
                    "what they act on"
                )
        output = output_sphere(group)
        scales: list[Scale] = [*rescales, *mixes]
        self.scales = ordered([*scales, OutputScale(output)] if output else scales, group.shapes)
        self.signs = SignOrder(group, flips, mixes).steps

    @cached_property
    def spheres(self) -> list[Spheres]:
        """The families of spheres; one with a single coordinate, two points, is none."""
        families = [
            step.spheres for steps in self.scales for step in steps if not isinstance(step, Mix)
        ]
        return [family for family in families if family.coordinates(self.group) > 1]
