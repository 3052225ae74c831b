"""Deep networks are found by a few of their equal layers, and are what they are found to be whole."""

import math

import pytest
import torch
from torch import nn

import toroids as td
from toroids.discovery import discover
from toroids.discovery.tracing import equal_layers
from toroids.discovery.unfolding import _told as told


class Block(nn.Module):
    """A residual layer; what differs between layers of one kind is said by `setting`."""

    def __init__(self, inner=5, setting=0, ordered=False):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(6), nn.Linear(6, inner), nn.Linear(inner, 6)
        self.setting, self.ordered = setting, ordered

    def forward(self, x):
        hidden = torch.relu(self.up(self.norm(x)))
        return x + self.down(hidden.cumsum(-1) if self.ordered else hidden)


class Shifted(nn.Module):
    """Takes every unit one place further, so that no two layers hold the same ones."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(9))

    def forward(self, x):
        return torch.relu(torch.cat([torch.ones_like(x[..., :1]), x[..., :-1]], -1) * self.gain)


class Deep(nn.Module):
    def __init__(self, layers, width=6):
        super().__init__()
        self.first, self.layers = nn.Linear(3, width), nn.ModuleList(layers)
        self.last = nn.Linear(width, 2)

    def forward(self, x):
        x = self.first(x)
        for layer in self.layers:
            x = layer(x)
        return self.last(x)


def encoder():
    layer = nn.TransformerEncoderLayer(8, 2, 6, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, 6, enable_nested_tensor=False).eval()


INPUTS = torch.randn(4, 3)
NETWORKS = {
    "one kind": lambda: Deep([Block() for _ in range(6)]),
    "two kinds": lambda: Deep([Block(5 + i % 2) for i in range(12)]),
    "numbered": lambda: Deep([Block(setting=i) for i in range(6)]),
    "others around": lambda: Deep([Block(4), *(Block() for _ in range(6)), Block(7)]),
    "with notes": lambda: Deep([Block(ordered=True) for _ in range(6)]),
}


def found(model, inputs, monkeypatch, large):
    monkeypatch.setattr(equal_layers, "LARGE", large)
    return discover.find(model.eval(), inputs)


@pytest.mark.parametrize("name", [*NETWORKS, "encoder"])
def test_the_group_is_that_of_the_whole_network(name, monkeypatch):
    model, inputs = (
        (encoder(), torch.randn(2, 5, 8)) if name == "encoder" else (NETWORKS[name](), INPUTS)
    )
    short = found(model, inputs, monkeypatch, 0)
    whole = found(model, inputs, monkeypatch, math.inf)
    assert short.repeats is not None and whole.repeats is None
    assert len(short.explored.model.layers) < len(model.layers)
    assert set(map(told, short.group.spaces)) == set(map(told, whole.group.spaces))
    assert [x.name for x in short.group.spaces] == [x.name for x in whole.group.spaces]
    assert short.group.shapes == whole.group.shapes
    assert short.group.buffers == whole.group.buffers
    _, *notes, last = short.group.notes
    assert notes == [*whole.group.notes[1:]]
    assert last.startswith(f"found with {len(short.explored.model.layers)} of the ")


def test_what_is_looked_at_does_not_grow_with_the_depth(monkeypatch):
    shorts = [found(Deep([Block() for _ in range(n)]), INPUTS, monkeypatch, 0) for n in (6, 12)]
    nodes = [len(x.explored.main.graph.graph.nodes) for x in shorts]
    steps = [len(x.explored.points) for x in shorts]
    assert nodes[0] == nodes[1] and steps[0] == steps[1]
    assert len(shorts[1].group.spaces) - len(shorts[0].group.spaces) == 6


@pytest.mark.parametrize(
    "layers",
    [
        [Block(setting=2 ** (i % 3)) for i in range(6)],
        [Block(5 + i) for i in range(6)],
        [Block() for _ in range(2)],
    ],
)
def test_layers_that_are_not_equal_all_stay(layers, monkeypatch):
    assert found(Deep(layers), INPUTS, monkeypatch, 0).repeats is None


def chained():
    return nn.Sequential(nn.Linear(6, 6), nn.ReLU())


@pytest.mark.parametrize(("layer", "width"), [(Shifted, 9), (chained, 6)])
def test_blocks_that_say_different_things_stand_for_no_other(layer, width, monkeypatch):
    model = Deep([layer() for _ in range(6)], width)
    short, whole = (found(model, INPUTS, monkeypatch, large) for large in (0, math.inf))
    assert short.repeats is None
    assert short.group == whole.group


def test_the_whole_network_is_proven_where_that_is_quick(monkeypatch):
    model = NETWORKS["one kind"]()
    short = found(model, INPUTS, monkeypatch, 0)
    group, proof = short.proven()
    assert group.spaces == short.group.spaces and proof < 1e-12
    assert group.notes[-1].endswith(
        "4 of the layers in `layers`, and with all of them on the example"
    )
    monkeypatch.setattr(discover, "WHOLE", 0)
    group, of_few = short.proven()
    assert group.notes[-1] == "proven with 4 of the layers in `layers`"
    assert of_few.draws < proof.draws
    assert td.verify(group, model, INPUTS) < 1e-12


def test_what_fails_in_one_layer_fails_in_its_likes():
    repeats = equal_layers.Repeats("layers", 1, 2, 3, *[None] * 3)
    bad = [("layers.2.up", "flip"), ("layers.7.up", "flip"), ("first", "permute")]
    among = [(f"layers.{i}.up", "flip") for i in range(15)] + [("first", "permute")]
    likes = [name for name, _ in repeats.likes(bad, among)]
    assert likes == [f"layers.{i}.up" for i in (2, 4, 6, 8, 10, 12, 13)] + ["first"]
