"""Training algorithms that sample minimizers of different flatness.

One interface: `solver(make_model, data, seed, budget, **settings) -> Trained`.
"""

from toroids.solvers.adam import adam
from toroids.solvers.adversarial_sgd import adversarial_sgd
from toroids.solvers.entropy_sgd import entropy_sgd
from toroids.solvers.recipe import Recipe
from toroids.solvers.replicated_sgd import replicated_sgd
from toroids.solvers.sam import sam
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
    "replicated_sgd",
    "sam",
    "sgd",
    "swa",
]
