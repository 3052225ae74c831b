import pydantic
import pytest
import torch

import toroids as td
from toroids import models
from toroids.data import Dataset
from toroids.design.config.data import DigitsConfig
from toroids.design.config.networks import NetworkConfig
from toroids.errors import ConfigError, ToroidsError
from toroids.models.architecture import ARCHITECTURES

ADAPTER = pydantic.TypeAdapter(NetworkConfig)


def config(**settings):
    return ADAPTER.validate_python(settings)


def data(*shape, classes=10, tokens=False):
    inputs = torch.zeros(2, *shape, dtype=torch.long if tokens else None)
    pair = inputs, inputs if tokens else torch.zeros(2, dtype=torch.long)
    return Dataset(pair, pair, classes)


def equal(a, b):
    a, b = a.state_dict(), b.state_dict()
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


# settings, a shape that fits, classes, and the same network by hand
NETWORKS = [
    (
        {"model": "fully_connected", "hidden": [7, 5], "bias": False, "activation": "tanh"},
        (3, 4),
        10,
        lambda seed: models.fully_connected([12, 7, 5, 10], False, seed, "tanh"),
    ),
    (
        {"model": "binary_fully_connected", "hidden": [7], "norm": "batch_norm", "threshold": 0.2},
        (12,),
        10,
        lambda seed: models.binary_fully_connected([12, 7, 10], "batch_norm", 0.2, seed),
    ),
    (
        {"model": "lenet", "widths": [2, 3, 5, 7], "kernel": 3, "activation": "tanh"},
        (1, 8, 8),
        4,
        lambda seed: models.lenet((1, 8, 8), 4, (2, 3, 5, 7), 3, "tanh", seed),
    ),
    (
        {"model": "vgg", "depth": 11, "width": 0.05, "batch_norm": False},
        (3, 32, 32),
        10,
        lambda seed: models.vgg(11, 10, 3, 0.05, False, seed),
    ),
    (
        {"model": "resnet20", "width": 0.25, "norm": "layer"},
        (1, 8, 8),
        10,
        lambda seed: models.resnet20(10, 1, 0.25, "layer", seed),
    ),
    (
        {"model": "resnet18", "width": 0.05, "norm": "none"},
        (1, 8, 8),
        10,
        lambda seed: models.resnet18(10, 1, 0.05, "none", seed),
    ),
    (
        {"model": "densenet40", "growth": 2, "stem": 3},
        (1, 8, 8),
        10,
        lambda seed: models.densenet40(10, 1, 2, 3, seed),
    ),
    (
        {"model": "vit", "patch": 2, "dim": 6, "depth": 1, "heads": 2},
        (1, 8, 8),
        10,
        lambda seed: models.vit(10, 1, 8, 2, 6, 1, 2, seed=seed),
    ),
    (
        {"model": "mlp_mixer", "patch": 2, "dim": 6, "depth": 1, "across": 3, "within": 5},
        (1, 8, 8),
        10,
        lambda seed: models.mlp_mixer(10, 1, 8, 2, 6, 1, 3, 5, seed),
    ),
    (
        {"model": "gpt", "dim": 6, "depth": 1, "heads": 2, "hidden": 5, "tied": True},
        (8,),
        9,
        lambda seed: models.gpt(9, 8, 6, 1, 2, 5, True, seed),
    ),
    (
        {"model": "decoder", "dim": 8, "depth": 1, "heads": 4, "groups": 2},
        (8,),
        9,
        lambda seed: models.decoder(9, 8, 1, 4, 2, seed=seed),
    ),
    (
        {"model": "committee", "hidden": 3, "activation": "tanh", "tree": True, "bias": False},
        (12,),
        2,
        lambda seed: models.committee(12, 3, "tanh", True, False, seed),
    ),
    (
        {"model": "binary_convolutional", "channels": [3, 5], "hidden": 7, "norm": "real"},
        (1, 8, 8),
        10,
        lambda seed: models.binary_convolutional((1, 8, 8), 10, (3, 5), 7, "real", 0.5, seed),
    ),
]
NAMES = [settings["model"] for settings, *_ in NETWORKS]


@pytest.mark.parametrize(("settings", "shape", "classes", "make"), NETWORKS, ids=NAMES)
def test_networks_are_those_of_the_function_of_the_same_name(settings, shape, classes, make):
    found = config(**settings)
    state = torch.get_rng_state()
    tokens = found.architecture.takes == "tokens"
    built = found.build(data(*shape, classes=classes, tokens=tokens), seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert equal(built, make(3)) and not equal(built, make(4))
    outputs = built.eval()(data(*shape, classes=classes, tokens=tokens).train[0])
    assert outputs.shape == (2, *(shape if tokens else ()), classes)
    assert found.binary == settings["model"].startswith("binary")
    assert found.identity() == found.model_dump(mode="json")


def test_every_model_is_tried_above():
    assert set(ARCHITECTURES) == set(NAMES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "vgg", "depth": 12}, "Input should be 11 or 16"),
        ({"model": "vgg", "width": 0}, "greater than 0"),
        ({"model": "lenet", "widths": [1, 2, 3]}, "Field required"),
        ({"model": "lenet", "kernel": 0}, "greater than or equal to 1"),
        ({"model": "resnet20", "norm": "group"}, "choose from batch, layer, none"),
        ({"model": "vit", "dim": 10, "heads": 3}, "3 heads do not divide `dim`, 10"),
        ({"model": "gpt", "dim": 10, "heads": 3}, "3 heads do not divide `dim`, 10"),
        ({"model": "committee"}, "Field required"),
        ({"model": "fully_connected", "classes": 10}, "Extra inputs"),
        ({"model": "custom"}, "Field required"),
        ({"model": "custom", "callable": "os.system"}, "write package.module:function"),
        ({"model": "custom", "callable": "os:1"}, "write package.module:function"),
        ({"model": "custom", "callable": "a:b", "arguments": {"seed": 1}}, "remove seed"),
        (
            {"model": "custom", "callable": "a:b", "arguments": {"x": float("nan")}},
            "be a finite number",
        ),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        config(**settings)


@pytest.mark.parametrize(
    ("settings", "shape", "classes", "message"),
    [
        ({"model": "lenet"}, (64,), 10, r"takes images .* shape \(64,\)"),
        ({"model": "resnet18"}, (64,), 10, "takes images"),
        ({"model": "binary_convolutional"}, (64,), 10, "takes images"),
        ({"model": "binary_convolutional", "channels": [3] * 4}, (1, 8, 8), 10, "too small for 4"),
        ({"model": "lenet"}, (1, 8, 8), 10, "too small for kernels of 5"),
        ({"model": "vgg"}, (3, 28, 28), 10, "32 x 32 pixels or more .* 28 x 28"),
        ({"model": "densenet40"}, (3, 2, 2), 10, "4 x 4 pixels or more"),
        ({"model": "vit", "patch": 3}, (3, 8, 8), 10, "patches of 3"),
        ({"model": "vit"}, (3, 8, 12), 10, "square images .* 8 x 12"),
        ({"model": "mlp_mixer", "patch": 3}, (3, 8, 8), 10, "patches of 3"),
        ({"model": "gpt"}, (64,), 10, "takes tokens but the data are numbers; choose a text"),
        ({"model": "committee", "hidden": 3}, (64,), 10, "2 classes but the data have 10"),
        ({"model": "committee", "hidden": 3, "tree": True}, (64,), 2, "do not divide among the 3"),
    ],
)
def test_data_that_do_not_fit(settings, shape, classes, message):
    with pytest.raises(ToroidsError, match=message):
        config(**settings).build(data(*shape, classes=classes), 0)


def test_tokens_are_for_networks_that_take_them():
    with pytest.raises(ToroidsError, match="data are tokens; choose gpt or decoder"):
        config(model="fully_connected").build(data(8, tokens=True), 0)
    with pytest.raises(pydantic.ValidationError, match="make no pairs"):
        config(model="decoder", dim=12)


def test_checking_costs_no_memory_of_the_network():
    config(model="vit", patch=1, dim=900_000, heads=1).check((1, 8, 8), 10)
    config(model="lenet", widths=[900_000] * 4).check((1, 28, 28), 10)


def test_fully_connected_networks_on_images_are_discovered():
    dataset = DigitsConfig(train=50, image=True).load()
    model = config(model="fully_connected", hidden=[5]).build(dataset, 0)
    group = td.discover(model, dataset.train[0][:8])
    by_hand = td.symmetry.fully_connected_group(model.state_dict(), output="classifier")
    assert group.log10_order == by_hand.log10_order
    assert td.verify(group, model, dataset.train[0][:8]) < 1e-8


OWN = """
from torch import nn
from toroids.models import binary_perceptron

def make(seed, hidden=3):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.Linear(hidden, 10))

def signs(seed):
    return binary_perceptron(64, seed=seed)

def nothing(seed):
    return "nothing"
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = f"networks_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(OWN)
    return tmp_path / f"{name}.py"


def test_custom_networks(own):
    found = config(model="custom", callable=f"{own.stem}:make", arguments={"hidden": 4})
    assert [p.shape[0] for p in found.build(data(64), 0).parameters()] == [4, 4, 10, 10]
    signs = config(model="custom", callable=f"{own.stem}:signs", binary=True)
    assert signs.binary and not found.binary
    assert equal(signs.build(data(64), 3), models.binary_perceptron(64, seed=3))


def test_custom_networks_are_the_content_of_their_file(own):
    found = config(model="custom", callable=f"{own.stem}:make")
    before = found.identity()
    assert before == found.identity() and len(before["source"]) == 64
    own.write_text(OWN + "\n# changed\n")
    assert found.identity() != before


@pytest.mark.parametrize(
    ("function", "settings", "message"),
    [
        ("gone", {}, "cannot be imported"),
        ("make", {"arguments": {"depth": 3}}, "cannot be called with seed=, depth="),
        ("nothing", {}, "gives a str; expected a torch.nn.Module"),
        ("signs", {}, "network of binary weights; say binary = true"),
        ("make", {"binary": True}, "network of real weights; say binary = false"),
    ],
)
def test_custom_networks_that_are_none(own, function, settings, message):
    with pytest.raises(ConfigError, match=message):
        config(model="custom", callable=f"{own.stem}:{function}", **settings).build(data(64), 0)


def test_custom_networks_of_no_module():
    found = config(model="custom", callable="nowhere.at_all:make")
    with pytest.raises(ConfigError, match="there is no module `nowhere.at_all`"):
        found.identity()
    with pytest.raises(ConfigError, match="cannot be imported"):
        found.build(data(64), 0)
