"""Public architectures, explored once for all the tests of one."""

import functools

import pytest
import torch
from zoo.architectures import ARCHITECTURES
from zoo.classic import THIN

from toroids.discovery.discover import group_of
from toroids.discovery.tracing.explore import explore


@functools.lru_cache(maxsize=16)  # the files of a folder test the same networks after each other
def found(name):
    """A network with its inputs, what was explored of it, and the group; looked at, not changed."""
    torch.manual_seed(0)
    model, inputs = {**THIN, **ARCHITECTURES}[name]()
    explored = explore(model, inputs)
    return model, inputs, explored, group_of(explored)


def named(names, sample=None):
    """What to parametrise with: whatever is tested on one network is tested by one worker.

    What is not in `sample`, if one is given, is tested with `--long` only.
    """
    return [
        pytest.param(
            name,
            marks=[
                pytest.mark.xdist_group(name),
                *([] if sample is None or name in sample else [pytest.mark.long]),
            ],
        )
        for name in names
    ]
