import sys

import pytest
import torch
from torch import nn

import toroids as td
from toroids.landscape.parts import LEARNED, PARTS, joined_by_parts, parts_of
from toroids.report.page import render
from toroids.study import StudyConfig, read_rows, run_study

TEXT = td.data.text(length=8, most=2000)


def decoder(seed):
    return td.models.decoder(TEXT.classes, 8, 1, heads=2, seed=seed)


@pytest.fixture(scope="module")
def group():
    return td.discover(decoder(0).double().eval(), TEXT.train[0][:4])


def actions(group):
    return set().union(*(space.actions for space in group.spaces))


def test_parts_grow_and_hold_nothing_else(group):
    parts = parts_of(group)
    assert list(parts) == list(PARTS)
    for name, part in parts.items():
        assert actions(part) == actions(group) & PARTS[name]
    assert actions(group) - actions(parts["heads"]) == {"rotate"}


def test_elements_of_a_part_are_elements_of_the_group(group):
    params = decoder(1).double().state_dict()
    for part in parts_of(group).values():
        moved = part.apply(part.random(torch.Generator().manual_seed(0)), params)
        model = decoder(0).double().eval()
        outputs = [
            torch.func.functional_call(model, weights, TEXT.train[0][:4])
            for weights in (params, moved)
        ]
        torch.testing.assert_close(*outputs)


def test_rotations_go_with_the_scales_of_the_gains_on_their_stream(group):
    generator = torch.Generator().manual_seed(1)
    params = {
        name: x * (1 + torch.rand(x.shape, generator=generator, dtype=x.dtype))
        for name, x in decoder(1).double().state_dict().items()
    }
    (stream,) = (space.name for space in group.spaces if "rotate" in space.actions)
    model = decoder(0).double().eval()
    for part in (group.without(stream, "rescale"), group.restricted({"permute", "rotate"})):
        assert "rotate" not in actions(part)
        moved = part.apply(part.random(generator), params)
        outputs = [
            torch.func.functional_call(model, weights, TEXT.train[0][:4])
            for weights in (params, moved)
        ]
        torch.testing.assert_close(*outputs)
    model = nn.Sequential(nn.Linear(3, 6), nn.RMSNorm(6, elementwise_affine=False), nn.Linear(6, 2))
    plain = td.discover(model, torch.randn(2, 3)).restricted({"rotate"})
    assert actions(plain) == {"rotate"}  # on no gain


def test_nothing_is_left_out_of_the_whole(group):
    everything = actions(group)
    assert group.restricted(everything) == group
    assert group.restricted(set()).spaces == ()


def test_what_adds_nothing_is_no_part():
    group = td.discover(td.models.fully_connected((4, 3, 2), activation="tanh"), torch.randn(2, 4))
    assert parts_of(group) == {}  # permutations and signs are all that there is


def test_planted_elements_are_undone_by_the_part_that_holds_them(group, monkeypatch):
    monkeypatch.setattr(sys.modules["toroids.align.loss"], "STEPS", 2)
    params = decoder(1).double().state_dict()
    landscape = td.Landscape(decoder(0).double().eval(), TEXT.train)
    for name, part in parts_of(group).items():
        moved = part.apply(part.random(torch.Generator().manual_seed(0)), params)
        makers = joined_by_parts(group, params, moved, landscape)
        assert list(makers) == [*PARTS, LEARNED]
        curve = td.profile(landscape, makers[name](), 3)
        assert curve.loss_barrier_over_chord == pytest.approx(0, abs=1e-6)


def test_a_study_states_what_every_part_contributes(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["toroids.align.loss"], "STEPS", 2)
    config = StudyConfig.model_validate(
        {
            "name": "parts",
            "seeds": [0, 1],
            "data": {"name": "text", "length": 8, "most": 2000},
            "networks": {"decoder": {"model": "decoder", "dim": 8, "depth": 1, "heads": 2}},
            "solvers": {"sgd": {"method": "sgd", "budget": 1}},
            "flatness": {"sigmas": [0.5], "samples": 2},
            "profiles": {"points": 2, "parts": 1},
            "claims": {"trained": 1.0},
        }
    )
    rows = read_rows(run_study(config, tmp_path / "r"))
    (pair,) = [row for row in rows if row.kind == "pair"]
    assert {*PARTS, LEARNED, "raw", "geodesic"} <= pair.profiles.keys()
    (claim,) = [row for row in rows if row.kind == "claim" and row.claim == "R7"]
    named = {effect.name for effect in claim.effects}
    assert "barrier on geodesic minus that on learned" in named
    assert "geodesic, aligned by permutations only" in render(rows)
