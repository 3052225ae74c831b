import pytest
import torch

import toroids as td
from toroids.errors import DataError


def test_the_split_is_complete_and_disjoint():
    from sklearn.datasets import load_digits

    data = td.data.digits(train=600, seed=3)
    images = torch.cat([data.train[0], data.test[0]])
    original = torch.from_numpy(load_digits().data).float() / 16
    assert torch.equal(images.double().sum(0), original.double().sum(0))
    assert len(images) == 1797
    assert images.min() == 0
    assert images.max() == 1
    assert set(data.train[1].tolist()) == set(range(data.classes))


def test_the_seed_decides():
    one, two, other = (td.data.digits(100, seed).train[0] for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("train", [0, -5, 1797])
def test_sizes_out_of_range(train):
    with pytest.raises(DataError, match=f"train is {train}; pass 1 to 1796"):
        td.data.digits(train=train)
