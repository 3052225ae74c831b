import pytest
import torch
from torch.nn.functional import pad

import toroids as td
from toroids.errors import DataError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("flip", [True, False])
def test_every_image_is_a_crop_of_itself(device, flip):
    images = torch.rand(60, 2, 6, 5, generator=seeded()).to(device)
    out = td.data.augment(images, seeded(), crop=2, flip=flip)
    assert out.shape == images.shape
    assert out.device == images.device
    padded, places = pad(images, (2,) * 4), set()
    for image, moved in zip(padded, out, strict=True):
        found = [
            (i, j, mirrored)
            for i in range(5)
            for j in range(5)
            for mirrored in (False, True)
            if torch.equal(
                image[:, i : i + 6, j : j + 5],
                moved.flip(2) if mirrored else moved,
            )
        ]
        assert len(found) == 1
        places |= set(found)
    assert len(places) > 20
    assert {mirrored for _, _, mirrored in places} == ({False, True} if flip else {False})


def test_the_generator_decides():
    images = torch.rand(10, 1, 8, 8)
    one, two, other = (td.data.augment(images, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    same = td.data.augment(images, seeded(), crop=0, flip=False)
    assert torch.equal(same, images)


def test_a_generator_of_the_device(device):
    images = torch.rand(10, 1, 8, 8, device=device)
    generator = torch.Generator(device).manual_seed(0)
    assert td.data.augment(images, generator).device == images.device


def test_bad_input():
    with pytest.raises(DataError, match=r"shape \(4, 64\); expected images"):
        td.data.augment(torch.ones(4, 64), seeded())
    with pytest.raises(DataError, match="`crop` is 1.5; pass a whole number"):
        td.data.augment(torch.ones(4, 1, 8, 8), seeded(), crop=1.5)
    for crop in (-1, 9):
        with pytest.raises(DataError, match=f"`crop` is {crop}; pass an integer, 0 to 8"):
            td.data.augment(torch.ones(4, 1, 8, 8), seeded(), crop=crop)
