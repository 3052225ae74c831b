"""Matrices on units, and products with them."""

import pytest
import torch

from toroids.symmetry.matrices import product, sparse_rotation
from toroids.symmetry.space import Generator, Leg, Space


def stream(size, fixes_mean):
    return Space(
        "stream", size, 1, frozenset({"rotate"}), (Leg("w", 0, "write", "w"),),
        (Generator("rotate", (1.0,), fixes_mean=fixes_mean),),
    )  # fmt: skip


@pytest.mark.parametrize("size", [3, 4, 7, 601])
@pytest.mark.parametrize("fixes_mean", [False, True])
def test_blocks_are_orthogonal_and_move_every_unit(size, fixes_mean):
    matrix = sparse_rotation(stream(size, fixes_mean), torch.Generator().manual_seed(0))[0]
    eye = torch.eye(size, dtype=torch.float64)
    assert (matrix @ matrix.T - eye).abs().max() < 1e-12
    assert (matrix - eye).abs().amax(dim=1).min() > 1e-3
    if fixes_mean:
        assert (matrix.sum(dim=1) - 1).abs().max() < 1e-12


@pytest.mark.parametrize("gains", [False, True])
def test_sparse_products_are_the_products(gains):
    generator = torch.Generator().manual_seed(0)
    matrix = sparse_rotation(stream(600, False), generator)
    if gains:
        scale = torch.rand(600, generator=generator, dtype=torch.float64) + 0.5
        matrix = scale[:, None] * matrix / scale
    x = torch.randn((1, 600, 5), generator=generator, dtype=torch.float64)
    assert (product(matrix, x) - matrix @ x).abs().max() < 1e-12
