"""All public names of toroids, in groups; the root package hands them out."""

import toroids.data as data
import toroids.models as models
import toroids.solvers as solvers
from toroids.align.alignment import Alignment, align
from toroids.align.many import ManyAlignment, align_many
from toroids.binary.layers import BinaryConv2d, BinaryLinear, Sign
from toroids.canonical.dead_units import dead_units
from toroids.canonical.form import CanonicalParams, canonicalize
from toroids.compare.compare import Comparison, compare
from toroids.compare.family import Family, compare_many
from toroids.discovery.audit.audit import audit
from toroids.discovery.audit.counts import Audit
from toroids.discovery.discover import discover
from toroids.discovery.proof.verify import Verification, verify
from toroids.discovery.rules.registry import rule
from toroids.discovery.widen import widen
from toroids.errors import (
    ConfigError,
    DataError,
    NotFiniteError,
    ParamsError,
    ProofWarning,
    ToroidsError,
)
from toroids.evaluation.evaluate import evaluate
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.summary import Evaluation
from toroids.geometry.bit_path import BitPath
from toroids.geometry.hypercube import Hypercube
from toroids.geometry.paths import Geodesic, Line, Path, Polyline
from toroids.geometry.toroid import Toroid
from toroids.landscape.bending import BendRecipe
from toroids.landscape.connect import Bend, connect
from toroids.landscape.curvature import Curvature, curvature
from toroids.landscape.flatness import LocalEnergy, Until, local_energy
from toroids.landscape.flips import FlipEvaluator, flip_curve
from toroids.landscape.greedy_order import Greedy
from toroids.landscape.median import MedianSection, median_section
from toroids.landscape.merge import evaluate_ensemble, merge
from toroids.landscape.noise import Worst
from toroids.landscape.orders import FlipProfile, flip_profile
from toroids.landscape.profile import Profile, profile
from toroids.landscape.recalibrate import recalibrate
from toroids.landscape.repair import repair
from toroids.landscape.section import Section, section
from toroids.landscape.star import Star, star
from toroids.params import Params, load_params, save_params
from toroids.probe import Activations, Probe
from toroids.symmetry.condition import Condition
from toroids.symmetry.element import Element, SpaceElement
from toroids.symmetry.fully_connected import fully_connected_group
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Absorbed, Generator, Leg, Norm, Output, Space

__all__ = [
    # symmetries
    "Absorbed",
    "Audit",
    "Condition",
    "Element",
    "Generator",
    "Leg",
    "Norm",
    "Output",
    "Space",
    "SpaceElement",
    "SymmetryGroup",
    "Verification",
    "audit",
    "discover",
    "fully_connected_group",
    "rule",
    "verify",
    "widen",
    # canonical form and geometry
    "BitPath",
    "CanonicalParams",
    "Geodesic",
    "Hypercube",
    "Line",
    "Path",
    "Polyline",
    "Toroid",
    "canonicalize",
    "dead_units",
    # alignment
    "Activations",
    "Alignment",
    "ManyAlignment",
    "align",
    "align_many",
    "Probe",
    # comparison
    "Comparison",
    "Family",
    "compare",
    "compare_many",
    # landscape
    "Bend",
    "BendRecipe",
    "Curvature",
    "Evaluation",
    "FlipEvaluator",
    "flip_curve",
    "FlipProfile",
    "Greedy",
    "Landscape",
    "LocalEnergy",
    "MedianSection",
    "Profile",
    "connect",
    "curvature",
    "Section",
    "Star",
    "Until",
    "Worst",
    "evaluate",
    "evaluate_ensemble",
    "flip_profile",
    "local_energy",
    "median_section",
    "merge",
    "profile",
    "recalibrate",
    "repair",
    "section",
    "star",
    # networks, data, training
    "BinaryConv2d",
    "BinaryLinear",
    "Sign",
    "data",
    "models",
    "solvers",
    # parameters and errors
    "ConfigError",
    "DataError",
    "NotFiniteError",
    "Params",
    "ParamsError",
    "ProofWarning",
    "ToroidsError",
    "load_params",
    "save_params",
]
