import pytest
import torch

import toroids as td
from toroids.errors import DataError


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(("kind", "hidden"), [("perceptron", 3), ("committee", 5)])
def test_labels_are_those_of_the_definition(kind, hidden, binary):
    data = td.data.teacher(21, 300, 200, kind, hidden, seed=4, binary=binary)
    weights = td.data.teacher_weights(21, kind, hidden, seed=4)
    assert weights.shape == (1 if kind == "perceptron" else hidden, 21)
    for inputs, labels in (data.train, data.test):
        for x, label in zip(inputs, labels, strict=True):
            votes = [1 if float(w @ x) > 0 else -1 for w in weights]
            assert int(label) == (sum(votes) > 0)
        assert 0.4 < labels.float().mean() < 0.6
    values = data.train[0].unique().tolist()
    assert values == [-1, 1] if binary else len(values) > 6000


def test_the_seed_decides_and_test_does_not_change_train():
    one, two, other = (
        td.data.teacher(10, 50, test, seed=seed) for test, seed in ((20, 1), (30, 1), (20, 2))
    )
    assert torch.equal(one.train[0], two.train[0])
    assert torch.equal(one.train[1], two.train[1])
    assert not torch.equal(one.train[0], other.train[0])
    assert not torch.isin(one.test[0], one.train[0]).any()


def test_noise_is_in_the_training_labels():
    clean, noisy = (td.data.teacher(10, 500, 100, noise=noise) for noise in (0.0, 0.1))
    assert (clean.train[1] != noisy.train[1]).sum() == 50
    assert torch.equal(clean.test[1], noisy.test[1])


def test_a_student_finds_the_perceptron():
    from sklearn.linear_model import LogisticRegression

    data = td.data.teacher(10, 1000, 1000)
    student = LogisticRegression(C=100).fit(*map(lambda part: part.numpy(), data.train))
    assert student.score(*map(lambda part: part.numpy(), data.test)) > 0.97


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher": "parity"}, "no teacher 'parity'; choose from perceptron, committee"),
        ({"teacher": "committee", "hidden": 4}, "`hidden` is 4; pass an odd number"),
        ({"hidden": 0}, "`hidden` is 0"),
        ({"inputs": 0}, "`inputs` is 0; pass an integer"),
        ({"train": 0}, "`train` is 0"),
        ({"test": -1}, "`test` is -1"),
        ({"noise": 2}, "`noise` is 2; pass 0 to 1"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(DataError, match=message):
        td.data.teacher(**{"inputs": 5, "train": 10, "test": 10, **change})
