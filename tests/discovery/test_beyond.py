"""The check of groups beyond their example: what is right passes, and everything wrong is seen."""

import dataclasses

import pytest
import torch
from discovery.beyond import beyond, violations
from discovery.function import Function
from torch import nn

import toroids as td
from toroids.symmetry.condition import digest_of


def two(forward, **held):
    """Two linear layers, and a forward written in the test."""
    return Function(forward, a=nn.Linear(3, 5), b=nn.Linear(5, 2), **held)


def x(batch=4):
    return torch.randn(batch, 3, generator=torch.Generator().manual_seed(batch))


def relu(m, x):
    return m.b(m.a(x).relu())


def gelu(m, x):
    return m.b(nn.functional.gelu(m.a(x)))


GROUP = td.discover(two(relu), x())  # permutes and rescales


def test_what_is_right_passes():
    assert beyond(GROUP, two(relu), x(), [x(1), x(7)]) == []
    assert violations(two(relu), x(), [x(1), x(7)]) == []


def among(m, x):
    """Most entries are what a mask fills in, and hide no others."""
    return torch.where(torch.arange(2) > 0, gelu(m, x), torch.finfo(x.dtype).min)


def tiny(m, x):
    return torch.cat([1e6 * x, gelu(m, x)], -1)


def infinite(m, x):
    return torch.cat([x / 0, gelu(m, x)], -1)


def counted(m, x):
    return (gelu(m, x) * 1e3).long()


def longer(m, x):
    return relu(m, x) if len(x) < 6 else gelu(m, x)


def later(m, x):
    """The first call is as it should be."""
    again, m.__dict__["again"] = m.__dict__.get("again", False), True
    return gelu(m, x) if again else relu(m, x)


def narrow(m, x):
    """A cast that leaves seven digits, where the proof wants eight."""
    return 1e3 + gelu(m, x).float() / 30


@pytest.mark.parametrize("forward", [gelu, among, tiny, infinite, counted, longer, later, narrow])
def test_what_is_wrong_anywhere_is_seen(forward):
    found = beyond(GROUP, two(forward), x(), [x(1), x(7)])
    assert found
    assert "entry" in found[0]


def test_every_buffer_is_drawn_anew():
    def masked(m, x):
        return m.b(m.a(x).relu().masked_fill(~m.alive, 0.0))

    def scaled(m, x):
        return m.b(m.a(x).relu() * m.scale)

    alive, scale = torch.ones(5, dtype=torch.bool), torch.ones(5)
    for model, held, values in (
        (two(masked, alive=alive), "alive", alive),
        (two(scaled, scale=scale), "scale", scale),
    ):
        group = dataclasses.replace(
            GROUP, shapes=GROUP.shapes | {held: (5,)}, buffers=frozenset({held})
        )
        assert beyond(group, model, x(), [x(7)])
        held_still = dataclasses.replace(
            group, conditions=(td.symmetry.Condition(held, digest_of(values)),)
        )
        assert beyond(held_still, model, x(), [x(7)]) == []


def test_a_space_that_fails_only_alone_is_seen():
    """Two swaps that undo each other: an element that moves both leaves everything as it is."""
    model = nn.Sequential(nn.Linear(3, 2), nn.GELU(), nn.Linear(2, 2))
    (space,) = td.discover(model, x()).spaces
    legs = [
        dataclasses.replace(space, name=str(n), legs=(leg,)) for n, leg in enumerate(space.legs)
    ]
    group = td.discover(model, x())
    assert beyond(group, model, x()) == []
    apart = dataclasses.replace(group, spaces=tuple(legs))
    found = beyond(apart, model, x())
    assert sum("alone" in sentence for sentence in found) == 3


def test_random_numbers_are_seen():
    def drawn(m, x):
        return relu(m, x) + torch.rand(2)

    (sentence,) = beyond(GROUP, two(drawn), x())
    assert "random numbers" in sentence


def test_refusals_and_what_others_raise_are_told_apart(monkeypatch):
    def branch(m, x):
        return relu(m, x) if x.sum() > 0 else gelu(m, x)

    (sentence,) = violations(two(branch), x())
    assert sentence.startswith("the module is refused: `Function` cannot be traced")

    def fails(*_, **__):
        raise KeyError("a")

    monkeypatch.setattr(td, "discover", fails)
    assert violations(two(relu), x()) == ["discover raised KeyError: 'a'"]


def test_a_module_that_discovery_changes_is_seen(monkeypatch):
    def careless(model, inputs):
        model.train()
        model.left = model(inputs)
        model.a.bias.data += 1
        return GROUP

    monkeypatch.setattr(td, "discover", careless)
    model = two(relu).eval()
    found = violations(model, x())
    assert [sentence.split(": ")[1] for sentence in found] == [
        "`a.bias`", "the mode of Function", "`left` of Function", "the mode of Linear",
        "the mode of Linear",
    ]  # fmt: skip


def test_a_network_that_canonicalize_or_align_breaks_is_seen(monkeypatch):
    def broken(group, params, **_):
        return {name: 2 * tensor for name, tensor in params.items()}

    monkeypatch.setattr(td, "canonicalize", broken)
    (sentence,) = beyond(GROUP, two(relu), x())
    assert sentence.startswith("canonicalize: entry")
    monkeypatch.setattr(td, "align", lambda *_, **__: 1 / 0)
    assert beyond(GROUP, two(relu), x())[1] == "align raised ZeroDivisionError: division by zero"


def test_tied_names_that_move_apart_are_seen():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    group = td.discover(model, x())
    model[2].weight = model[0].weight
    assert "tied to it apart" in beyond(group, model, x())[0]
