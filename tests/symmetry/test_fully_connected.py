import pytest
import torch
from torch import nn

import toroids as td
from toroids.errors import ParamsError, ToroidsError


def test_one_space_per_hidden_layer():
    params = td.models.fully_connected([3, 4, 5, 2]).state_dict()
    group = td.symmetry.fully_connected_group(params, output="classifier")
    assert [(s.name, s.size, s.copies) for s in group.spaces] == [
        ("hidden1", 4, 1),
        ("hidden2", 5, 1),
    ]
    assert all(space.actions == {"permute", "rescale"} for space in group.spaces)
    assert [leg.tensor for leg in group.output.legs] == ["output.weight", "output.bias"]


def test_layers_may_be_named_in_a_module_of_the_users_own():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(6, 3)  # registered before the layer that feeds it
            self.scale = nn.LayerNorm(4)
            self.first = nn.Linear(4, 6, bias=False)

        def forward(self, inputs):
            return self.last(self.first(self.scale(inputs)).relu())

    model = Odd()
    group = td.symmetry.fully_connected_group(model.state_dict(), layers=["first", "last"])
    assert td.verify(group, model, torch.randn(8, 4)) < 1e-12


def test_verify_finds_an_activation_that_is_not_homogeneous():
    model = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 3))
    group = td.symmetry.fully_connected_group(model.state_dict())
    assert td.verify(group, model, torch.randn(8, 4)) > 1e-3


def test_one_output_has_no_shift_to_remove():
    params = td.models.fully_connected([3, 4, 1]).state_dict()
    group = td.symmetry.fully_connected_group(params, output="classifier")
    assert group.output.mode == "values"
    assert "needs two or more classes" in group.notes[0]


@pytest.mark.parametrize("depth", [1, 2])
def test_a_file_sorted_by_name_gives_the_same_group(tmp_path, depth):
    class Named(nn.Module):
        """Layers whose names sort in another order than they run."""

        def __init__(self):
            super().__init__()
            self.input = nn.Linear(4, 8)
            self.hidden = nn.Linear(8, 8) if depth == 2 else nn.Identity()
            self.answer = nn.Linear(8, 3)

        def forward(self, inputs):
            hidden = self.hidden(self.input(inputs).relu())
            return self.answer(hidden.relu())

    model = Named()
    td.save_params(model.state_dict(), tmp_path / "w.safetensors")
    read = td.load_params(tmp_path / "w.safetensors")
    assert next(iter(read)).startswith("answer")
    group = td.symmetry.fully_connected_group(read)
    assert [space.name for space in group.spaces] == ["input", "hidden"][:depth]
    assert td.verify(group, model, torch.randn(8, 4)) < 1e-12


@pytest.mark.parametrize(
    "widths",
    [[4, 6, 6, 6, 3], [5, 5, 5], [5, 4, 5], [8] * 40],
    ids=["inner", "all", "turn", "deep"],
)
def test_an_order_that_shapes_do_not_tell_is_asked_for(widths):
    params = td.models.fully_connected(widths).state_dict()
    with pytest.raises(ParamsError, match="do not tell their order; name them from input"):
        td.symmetry.fully_connected_group(params)
    layers = [f"hidden{depth}" for depth in range(1, len(widths) - 1)] + ["output"]
    group = td.symmetry.fully_connected_group(params, layers=layers)
    assert [space.name for space in group.spaces] == layers[:-1]


@pytest.mark.parametrize(
    ("params", "layers", "message"),
    [
        ({}, None, "hold no `NAME.weight`"),
        ({"a.weight": torch.ones(4, 3)}, ["b"], "hold no `b.weight`"),
        ({"a.weight": torch.ones(4, 3, 5, 5)}, None, "`a.weight` has 4 axes"),
        (
            {"a.weight": torch.ones(64, 3), "b.weight": torch.ones(2, 32)},
            None,
            "do not tell their order",
        ),
        (
            {"a.weight": torch.ones(64, 3), "b.weight": torch.ones(2, 32)},
            ["a", "b"],
            r"`a.weight` writes 64 units \(axis 0\) but `b.weight` reads 32 \(axis 1\)",
        ),
        (
            {"a.weight": torch.ones(4, 3), "a.bias": torch.ones(3)},
            None,
            r"`a.bias` has shape \(3,\) but `a.weight` writes 4 units",
        ),
    ],
)
def test_layers_that_do_not_fit(params, layers, message):
    with pytest.raises(ParamsError, match=message):
        td.symmetry.fully_connected_group(params, layers=layers)


def test_tied_layers_are_refused():
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    model[2].weight = model[0].weight
    with pytest.raises(ParamsError, match="`0.weight` and `2.weight` share their memory"):
        td.symmetry.fully_connected_group(model.state_dict(), layers=["0", "2", "4"])


def test_buffers_are_named_and_integers_are_known():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    group = td.symmetry.fully_connected_group(
        model.state_dict(), layers=["1", "3"], buffers=dict(model.named_buffers())
    )
    assert group.buffers == {"0.running_mean", "0.running_var", "0.num_batches_tracked"}
    assert td.verify(group, model, torch.randn(8, 4)) < 1e-12
    a = td.canonicalize(group, model.state_dict())
    moved = {**a, "0.running_mean": a["0.running_mean"] + 5}
    assert td.Toroid(group).distance(a, moved) == 0
    unnamed = td.symmetry.fully_connected_group(model.state_dict(), layers=["1", "3"])
    assert unnamed.buffers == {"0.num_batches_tracked"}


def test_an_unknown_output_is_refused():
    params = td.models.fully_connected([3, 4, 2]).state_dict()
    with pytest.raises(ToroidsError, match="there is no output mode 'clasifier'"):
        td.symmetry.fully_connected_group(params, output="clasifier")
