import sys

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import toroids as td
from toroids.data.fonts import CHARACTERS, FONTS, bitmaps
from toroids.errors import DataError


@pytest.mark.parametrize(
    ("size", "classes", "colour"), [(28, 10, False), (32, 10, True), (15, 36, False)]
)
def test_shapes_ranges_and_balance(size, classes, colour):
    data = td.data.glyphs(train=1015, test=205, size=size, classes=classes, colour=colour)
    for (inputs, labels), count in ((data.train, 1015), (data.test, 205)):
        assert inputs.shape == (count, 3 if colour else 1, size, size)
        assert inputs.dtype == torch.float32
        assert labels.dtype == torch.long
        assert 0 <= inputs.min() <= 0.02
        assert 0.98 <= inputs.max() <= 1
        each = labels.bincount(minlength=classes)
        assert each.max() - each.min() <= 1
    assert data.classes == classes


def test_every_character_of_every_font_is_drawn_whole_and_is_different():
    drawn = bitmaps(64, 36)
    assert drawn.shape == (len(FONTS), len(CHARACTERS), 64, 64)
    edge = torch.cat([drawn[..., :4, :], drawn[..., -4:, :], drawn[..., :4].mT, drawn[..., -4:].mT])
    assert edge.max() == 0
    flat = drawn.flatten(2)
    assert (flat.mean(2) > 0.02).all()
    for one in flat:
        assert torch.cdist(one, one).add(torch.eye(36) * 99).min() > 2


@pytest.mark.parametrize("colour", [False, True])
def test_the_seed_decides_and_test_does_not_change_train(colour):
    def draw(seed, test=20):
        return td.data.glyphs(60, test, size=12, colour=colour, seed=seed)

    one, two, other = draw(1), draw(1, test=40), draw(2)
    assert torch.equal(one.train[0], two.train[0])
    assert torch.equal(one.train[1], two.train[1])
    assert torch.equal(one.test[0], draw(1).test[0])
    assert not torch.equal(one.train[0], other.train[0])


@pytest.mark.parametrize("distortion", [0.01, 1.0])
def test_no_test_image_is_a_training_image(distortion):
    data = td.data.glyphs(1500, 500, size=16, distortion=distortion)
    images = torch.cat([data.train[0], data.test[0]]).flatten(1)
    assert len(images.unique(dim=0)) == 2000


def test_a_larger_distortion_leads_farther_away():
    middle = bitmaps(56, 10)
    far = []
    for distortion in (0.05, 0.5, 1.5):
        images, labels = td.data.glyphs(300, 1, distortion=distortion, seed=1).train
        plain = nn.functional.avg_pool2d(middle, 2)[:, labels]
        far.append(float((plain - images.squeeze(1)).square().sum((2, 3)).amin(0).mean()))
    assert far[0] < 0.5 * far[1] < 0.5 * far[2]


def learn(model, data, epochs):
    """The test error of a classifier after some epochs of Adam."""
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    inputs, labels = data.train
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(len(labels)), 50):
            loss = cross_entropy(model(inputs[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        wrong = model(data.test[0]).argmax(1) != data.test[1]
    return float(wrong.float().mean())


def test_classifiers_learn_them_but_not_perfectly():
    data = td.data.glyphs(3000, 1000)
    linear = learn(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), data, 8)
    assert 0.15 < linear < 0.5  # chance is 0.9
    convolutional = nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 7 * 7, 10),
    )
    assert 0.01 < learn(convolutional, data, 8) < linear - 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": 0}, "`train` is 0; pass an integer"),
        ({"test": 0}, "`test` is 0; pass an integer"),
        ({"train": 10.0}, "`train` is 10.0; pass a whole number"),
        ({"size": 7}, "`size` is 7; pass an integer, 8 to 256"),
        ({"classes": 37}, "`classes` is 37; pass an integer, 2 to 36"),
        ({"classes": 1}, "`classes` is 1"),
        ({"distortion": 0}, "`distortion` is 0; pass 0.01 to 2"),
        ({"distortion": float("nan")}, "`distortion` is nan"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(DataError, match=message):
        td.data.glyphs(**{"train": 10, "test": 10, **change})


@pytest.mark.parametrize("package", ["matplotlib", "PIL.ImageFont"])
def test_a_package_that_is_missing(package, monkeypatch):
    bitmaps.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataError, match=rf"`{package.split('.')[0]}`.*'toroids\[glyphs\]'"):
        td.data.glyphs(10, 10)
