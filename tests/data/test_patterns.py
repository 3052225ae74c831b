import pytest
import torch

import toroids as td
from toroids.errors import DataError


@pytest.mark.parametrize("binary", [False, True])
def test_as_many_patterns_as_the_density_says(binary):
    data = td.data.patterns(inputs=40, density=1.5, seed=1, binary=binary)
    for inputs, labels in (data.train, data.test):
        assert inputs.shape == (60, 40)
        assert labels.bincount().tolist() == [30, 30]
        assert (inputs.abs() == 1).all() == binary
    assert not torch.equal(data.train[0], data.test[0])


def test_the_seed_decides():
    one, two, other = (td.data.patterns(20, 1.0, seed).train for seed in (1, 1, 2))
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])
    assert not torch.equal(one[0], other[0])


def test_a_perceptron_stores_fewer_than_two_patterns_per_input():
    from scipy.optimize import linprog

    def stored(density):
        inputs, labels = td.data.patterns(100, density).train
        signed = (inputs * (2 * labels - 1).unsqueeze(1)).double().numpy()
        bounds = (None, None)
        return linprog([0] * 100, A_ub=-signed, b_ub=[-1] * len(signed), bounds=bounds).success

    assert stored(1.4)  # below and above the capacity alpha = 2 of Gardner
    assert not stored(2.6)


@pytest.mark.parametrize(("inputs", "density"), [(0, 1.0), (10, 0.0), (10, 0.01), (10, -1.0)])
def test_bad_input(inputs, density):
    with pytest.raises(DataError, match="pass"):
        td.data.patterns(inputs, density)
