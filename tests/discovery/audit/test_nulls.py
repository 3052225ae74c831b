import pytest
import torch

from toroids.discovery.audit.nulls import complement, null_space, rank_of

GENERATOR = torch.Generator().manual_seed(0)


def normal(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=GENERATOR)


def with_values(rows, values):
    """A matrix with given singular values."""
    left, right = (torch.linalg.qr(normal(n, len(values)))[0] for n in (rows, len(values)))
    return left * torch.tensor(values, dtype=torch.float64) @ right.T


@pytest.mark.parametrize("null", [0, 1, 70, 100])
def test_weak_directions_are_told_from_the_null_space(null):
    weak = [10.0 ** -(9 * i / 99) for i in range(100 - null)]  # down to 1e-9
    matrix = with_values(150, weak + [0.0] * null)
    found = null_space(matrix)
    assert found.shape == (null, 100)
    assert torch.allclose(found @ found.T, torch.eye(null).double(), atol=1e-12)
    assert float((matrix @ found.T).norm()) < 1e-13


def test_more_columns_than_rows_leave_the_others():
    matrix = normal(3, 90)
    found = null_space(matrix)
    assert len(found) == 87
    assert float((matrix @ found.T).norm()) < 1e-10


def test_a_part_is_small_against_the_whole():
    part = 1e-12 * normal(6, 4)
    assert len(null_space(part)) == 0
    assert len(null_space(part, whole=torch.cat([part, normal(6, 2)], dim=1))) == 4


def test_ranks_do_not_depend_on_lengths():
    rows = normal(5, 20)
    rows = (
        torch.cat([rows, normal(3, 5) @ rows, torch.zeros(2, 20)])
        * torch.logspace(-9, 9, 10)[:, None]
    )
    assert rank_of(rows.double()) == 5
    across = complement(rows.double())
    assert across.shape == (15, 20)
    assert float((rows[:5].double() @ across.T).norm() / rows[:5].norm()) < 1e-10
