import pytest
import torch

import toroids as td
from toroids.data import Dataset
from toroids.errors import ArgumentError, DataError


def make(count=100, classes=4):
    inputs = torch.arange(count).float().unsqueeze(1)
    pair = (inputs, torch.arange(count) % classes)
    return Dataset(train=pair, test=pair, classes=classes)


def test_a_subset_is_part_of_the_data_and_of_larger_subsets():
    data = make()
    small, large = (data.subset(count, seed=3) for count in (10, 40))
    assert len(small.train[0]) == len(small.train[0].unique()) == 10
    assert set(small.train[0].flatten().tolist()) < set(large.train[0].flatten().tolist())
    assert torch.equal(small.train[0].flatten().long() % 4, small.train[1])
    assert torch.equal(small.test[0], data.test[0])
    assert not torch.equal(small.train[0], data.subset(10, seed=4).train[0])
    assert torch.equal(small.train[0], data.subset(10, seed=3).train[0])


@pytest.mark.parametrize("fraction", [0.0, 0.25, 1.0])
def test_label_noise_makes_exactly_so_many_labels_wrong(fraction):
    data = make(count=1000)
    before = data.train[1].clone()
    noisy = data.label_noise(fraction, seed=1)
    wrong = noisy.train[1] != before
    assert wrong.sum() == fraction * 1000
    assert torch.equal(data.train[1], before)
    assert torch.equal(noisy.test[1], data.test[1])
    assert torch.equal(noisy.train[1], data.label_noise(fraction, seed=1).train[1])
    if fraction == 1:  # all wrong classes are equally likely: 333 each, up to 5 deviations
        steps = (noisy.train[1] - before) % 4
        assert (steps.bincount() - torch.tensor([0, 333, 333, 333])).abs().max() < 75


def test_more_label_noise_spoils_the_same_examples_and_others():
    data = make(count=1000)
    less, more = (data.label_noise(fraction).train[1] for fraction in (0.2, 0.5))
    spoilt = less != data.train[1]
    assert torch.equal(less[spoilt], more[spoilt])


def test_to_a_device(device):
    data = make().to(device)
    assert all(tensor.device.type == device.type for tensor in (*data.train, *data.test))
    again = data.subset(10).label_noise(0.5)
    assert again.train[1].device.type == device.type
    assert torch.equal(again.train[1].cpu(), make().subset(10).label_noise(0.5).train[1])
    assert make().to("meta").train[0].is_meta


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ((torch.ones(3, 2), torch.tensor([0, 1, 4])), None, "run from 0 to 4 but there are 4"),
        ((torch.ones(2, 2), torch.tensor([-1, 1])), None, "run from -1 to 1"),
        ((torch.ones(3, 2), torch.tensor([0, 1])), None, r"shape \(3, 2\) but 2 labels"),
        ((torch.ones(2, 2), torch.ones(2)), None, "float32; pass one integer"),
        ((torch.ones(2, 2), torch.ones(2, 1).long()), None, r"\(2, 1\) of torch.int64"),
        (None, (torch.ones(2, 3), torch.ones(2).long()), r"shape \(2,\) but a test input \(3,\)"),
    ],
)
def test_labels_that_disagree_with_the_data(train, test, message):
    fine = (torch.ones(2, 2), torch.tensor([0, 3]))
    with pytest.raises(DataError, match=message):
        Dataset(train=train or fine, test=test or fine, classes=4)


def test_settings_out_of_range():
    with pytest.raises(ArgumentError, match="`count` is 2.5; pass a whole number"):
        make().subset(2.5)
    for count in (0, 101):
        with pytest.raises(DataError, match=f"`count` is {count}; pass an integer, 1 to 100"):
            make().subset(count)
    for fraction in (-0.1, 1.1, float("nan")):
        with pytest.raises(DataError, match=f"`fraction` is {fraction}; pass 0 to 1"):
            make().label_noise(fraction)
    with pytest.raises(DataError, match="one class"):
        make(classes=1).label_noise(0.5)


def test_a_set_is_trained_on_as_it_is():
    data = td.data.teacher(inputs=20, train=200, test=100)

    def make_model(seed):
        return td.models.fully_connected([20, 30, 2], seed=seed)

    params = td.solvers.SGD(budget=20).train(make_model, data.train, seed=0).params
    assert td.evaluate(make_model(0), params, data.test).error < 0.25
