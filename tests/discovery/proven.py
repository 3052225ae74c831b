"""By how much random elements change a network that was explored already."""

import torch

from toroids.discovery.proof.proof import measure, subject_of


def deviation(explored, model, group, trials=None):
    """As `verify`, without looking at the module again."""
    generator = torch.Generator().manual_seed(0)
    keep = [condition.buffer for condition in group.conditions]
    return measure(group, subject_of(explored, model, generator, trials, keep), generator).size
