"""By how much random elements change a network that was explored already."""

import dataclasses

import torch

from toroids.discovery.proof.proof import measure, subject_of


def deviation(explored, model, group, trials=None):
    """As `verify`, without looking at the module again."""
    generator = torch.Generator().manual_seed(0)
    keep = [condition.buffer for condition in group.conditions]
    explored = dataclasses.replace(explored, model=model)
    return measure(group, subject_of(explored, generator, trials, keep), generator).size
