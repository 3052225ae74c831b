"""Training algorithms that sample minimizers of different flatness.

One interface: `solver(make_model, data, seed, budget, **settings) -> Trained`.
"""

from toroids.solvers.adversarial_sgd import adversarial_sgd
from toroids.solvers.replicated_sgd import replicated_sgd
from toroids.solvers.sgd import sgd
from toroids.solvers.training import Epoch, Trained

__all__ = ["Epoch", "Trained", "adversarial_sgd", "replicated_sgd", "sgd"]
