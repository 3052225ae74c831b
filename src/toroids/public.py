"""The public names of the root package, in groups, which hands them out.

What is called, and the values that most is done with; what else these take and return is public in
the modules.
"""

import toroids.binary as binary
import toroids.data as data
import toroids.errors as errors
import toroids.geometry as geometry
import toroids.landscape as landscape
import toroids.models as models
import toroids.probe as probe
import toroids.solvers as solvers
import toroids.symmetry as symmetry
from toroids.align.alignment import Alignment, align
from toroids.align.many import ManyAlignment, align_many
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
from toroids.errors import ToroidsError
from toroids.evaluation.evaluate import evaluate
from toroids.evaluation.landscape import Landscape
from toroids.geometry.toroid import Toroid
from toroids.landscape.connect import connect
from toroids.landscape.curvature import curvature
from toroids.landscape.flatness import local_energy
from toroids.landscape.median import median_section
from toroids.landscape.merge import evaluate_ensemble, merge
from toroids.landscape.orders import flip_profile
from toroids.landscape.profile import profile
from toroids.landscape.recalibrate import recalibrate
from toroids.landscape.repair import repair
from toroids.landscape.section import section
from toroids.landscape.star import star
from toroids.params import Params, load_params, save_params
from toroids.symmetry.group import SymmetryGroup

__all__ = [
    # symmetries
    "Audit",
    "SymmetryGroup",
    "Verification",
    "audit",
    "discover",
    "rule",
    "verify",
    "widen",
    # canonical form and geometry
    "CanonicalParams",
    "Toroid",
    "canonicalize",
    "dead_units",
    # alignment
    "Alignment",
    "ManyAlignment",
    "align",
    "align_many",
    # comparison
    "Comparison",
    "Family",
    "compare",
    "compare_many",
    # landscape
    "Landscape",
    "connect",
    "curvature",
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
    # modules: the values that these take and return, and networks, data, training
    "binary",
    "data",
    "errors",
    "geometry",
    "landscape",
    "models",
    "probe",
    "solvers",
    "symmetry",
    # parameters and errors
    "Params",
    "ToroidsError",
    "load_params",
    "save_params",
]
