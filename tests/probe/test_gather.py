import numpy as np
import pytest

from toroids.probe.gather import spread


@pytest.mark.parametrize(
    ("total", "count"), [(10, 3), (1000, 999), (64 * 56 * 56, 56 * 64), (7, 7)]
)
def test_positions_are_spread_evenly(total, count):
    at = spread(total, count)
    assert 0 <= at.min() and at.max() < total
    assert (np.diff(at) > 0).all()
    assert count / 2 < len(at) <= count
    # every stretch holds one, so that no gap is longer than two
    assert np.diff(at).max() <= 2 * total / count + 1


def test_no_column_of_an_image_is_left_out():
    """One position in 56 of an image 56 pixels wide: a fixed step would see one column only."""
    columns = spread(64 * 56 * 56, 64 * 56) % 56
    counts = np.bincount(columns, minlength=56)
    assert counts.min() > 0.9 * counts.mean()
