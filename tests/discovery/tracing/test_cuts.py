"""Where a call cuts an axis."""

import pytest
import torch
from torch import Tensor

from toroids.discovery.tracing.cuts import cuts_of

X = torch.zeros(2, 3, 4)
CUTS = {
    "a slice": (Tensor.__getitem__, (X, slice(5, None)), {}, [(0, 5)]),
    "both ends": (Tensor.__getitem__, (X, (slice(None), slice(2, -7))), {}, [(1, 2), (1, 7)]),
    "behind what is left out": (Tensor.__getitem__, (X, (None, ..., slice(9))), {}, [(2, 9)]),
    "an index": (Tensor.__getitem__, (X, 1), {}, []),
    "written into": (Tensor.__setitem__, (X, (..., slice(6, None)), 0), {}, [(2, 6)]),
    "pieces": (torch.split, (X, 8), {"dim": -1}, [(2, 8)]),
    "pieces of these sizes": (torch.split, (X, [1, 1]), {}, []),
    "pieces up to": (torch.tensor_split, (X, [3, 5], 1), {}, [(1, 3), (1, 5)]),
    "a diagonal": (torch.diagonal, (X, -3), {"dim1": 1, "dim2": 2}, [(1, 3), (2, 3)]),
    "nothing": (torch.relu, (X,), {}, []),
}


@pytest.mark.parametrize("name", CUTS)
def test_cuts_are_found(name):
    function, args, kwargs, found = CUTS[name]
    assert list(cuts_of(function, args, kwargs)) == found
