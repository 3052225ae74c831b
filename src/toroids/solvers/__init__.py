"""Training algorithms that sample minimizers of different flatness.

One interface: `Solver(**settings).train(make_model, data, seed) -> Trained`.

`FocusingBP` and `SBPI` are for networks with binary weights only, and descend no gradient.
"""

from toroids.solvers.adam import Adam
from toroids.solvers.adversarial_sgd import AdversarialSGD
from toroids.solvers.entropy_sgd import EntropySGD
from toroids.solvers.focusing_bp import FocusingBP
from toroids.solvers.recipe import Recipe
from toroids.solvers.replicated_sgd import ReplicatedSGD
from toroids.solvers.sam import SAM
from toroids.solvers.sbpi import SBPI
from toroids.solvers.sgd import SGD
from toroids.solvers.solver import Descent, Solver
from toroids.solvers.swa import SWA
from toroids.solvers.training import Epoch, Trained

# Those that a study file may name, by their word for `method`.
SOLVERS: dict[str, type[Descent]] = {
    solver.name: solver
    for solver in (SGD, Adam, SAM, SWA, EntropySGD, ReplicatedSGD, AdversarialSGD)
}

__all__ = [
    "SAM",
    "SBPI",
    "SGD",
    "SWA",
    "Adam",
    "AdversarialSGD",
    "Descent",
    "EntropySGD",
    "Epoch",
    "FocusingBP",
    "Recipe",
    "ReplicatedSGD",
    "Solver",
    "Trained",
]
