"""The error landscape: profiles, barriers, flatness."""

from toroids.evaluation.landscape import Landscape
from toroids.evaluation.summary import Evaluation
from toroids.landscape.bending import BendRecipe
from toroids.landscape.connect import Bend
from toroids.landscape.curvature import Curvature
from toroids.landscape.flatness import LocalEnergy, Until
from toroids.landscape.flips import FlipEvaluator, flip_curve
from toroids.landscape.greedy_order import Greedy
from toroids.landscape.median import MedianSection
from toroids.landscape.noise import Worst
from toroids.landscape.orders import FlipProfile
from toroids.landscape.profile import Profile
from toroids.landscape.section import Section
from toroids.landscape.star import Star

__all__ = [
    "Bend",
    "BendRecipe",
    "Curvature",
    "Evaluation",
    "FlipEvaluator",
    "FlipProfile",
    "Greedy",
    "Landscape",
    "LocalEnergy",
    "MedianSection",
    "Profile",
    "Section",
    "Star",
    "Until",
    "Worst",
    "flip_curve",
]
