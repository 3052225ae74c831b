"""Training algorithms that sample minimizers of different flatness.

One interface: `solver(make_model, data, seed, budget, **settings) -> Trained`.

`focusing_bp` and `sbpi` are for networks with binary weights only, and descend no gradient.
"""

from toroids.solvers.adam import adam
from toroids.solvers.adversarial_sgd import adversarial_sgd
from toroids.solvers.entropy_sgd import entropy_sgd
from toroids.solvers.focusing_bp import focusing_bp
from toroids.solvers.recipe import Recipe
from toroids.solvers.replicated_sgd import replicated_sgd
from toroids.solvers.sam import sam
from toroids.solvers.sbpi import sbpi
from toroids.solvers.sgd import sgd
from toroids.solvers.swa import swa
from toroids.solvers.training import Epoch, Trained

__all__ = [
    "Epoch",
    "Recipe",
    "Trained",
    "adam",
    "adversarial_sgd",
    "entropy_sgd",
    "focusing_bp",
    "replicated_sgd",
    "sam",
    "sbpi",
    "sgd",
    "swa",
]
