import logging

import pytest
import safetensors.torch
import torch
from torch import nn

import toroids as td
from toroids.checkpoint import (
    Spilled,
    open_checkpoint,
    original_pieces,
    save_checkpoint,
    state_dict_names,
)
from toroids.errors import ParamsError

SHAPES = {"base.a": (2, 3), "base.LayerNorm.weight": (3,), "head.w": (4, 3), "again.w": (4, 3)}
TIED = {"again.w": "head.w"}


def tensors(*names, **others):
    torch.manual_seed(0)
    drawn = {name: torch.randn(shape) for name, shape in SHAPES.items()}
    return {name: drawn[name] for name in names or drawn if name not in TIED} | others


def stored(folder, params):
    safetensors.torch.save_file(params, folder / "model.safetensors")
    return open_checkpoint(folder)


def spelled(params, change):
    return {change(name): tensor for name, tensor in params.items()}


def check_both_ways(view, tmp_path):
    """The view holds the drawn tensors, and new ones come back under the files' names."""
    expected = tensors()
    assert list(view) == list(SHAPES) and len(view) == len(SHAPES) and "zzz" not in view
    assert all(torch.equal(view[name], expected[TIED.get(name, name)]) for name in view)
    moved = {name: tensor * 2 for name, tensor in view.items()}
    files = view.file_params(moved)
    assert files.keys() == view.checkpoint.keys()
    save_checkpoint(files, view.checkpoint, tmp_path / "out")
    written = open_checkpoint(tmp_path / "out")
    assert written.headers == view.checkpoint.headers
    again = state_dict_names(written, SHAPES, TIED, absent=view.absent)
    assert all(torch.equal(again[name], moved[name]) for name in moved)


@pytest.mark.parametrize(
    "change",
    [
        lambda name: name,
        lambda name: name.removeprefix("base."),
        lambda name: f"model.{name}",
        lambda name: f"_orig_mod.module.{name}",
        lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma"),
        lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").removeprefix("base."),
        lambda name: name.replace("head.w", "again.w"),
    ],
)
def test_names_may_be_spelled_otherwise(change, tmp_path):
    checkpoint = stored(tmp_path, spelled(tensors(), change))
    check_both_ways(state_dict_names(checkpoint, SHAPES, TIED), tmp_path)


def test_tied_tensors_may_be_stored_twice(tmp_path):
    both = tensors()
    checkpoint = stored(tmp_path, {**both, "again.w": both["head.w"].clone()})
    check_both_ways(state_dict_names(checkpoint, SHAPES, TIED), tmp_path)


def test_tied_tensors_that_differ_are_refused(tmp_path):
    both = tensors()
    checkpoint = stored(tmp_path, {**both, "again.w": both["head.w"] + 1})
    with pytest.raises(ParamsError, match="`again.w` and `head.w` are one tensor .* but differ"):
        state_dict_names(checkpoint, SHAPES, TIED)


def test_tied_tensors_must_move_alike(tmp_path):
    view = state_dict_names(stored(tmp_path, tensors()), SHAPES, TIED)
    with pytest.raises(ParamsError, match="move tied tensors alike"):
        save_checkpoint(
            view.file_params({**view, "again.w": view["again.w"] + 1}),
            view.checkpoint,
            tmp_path / "out",
        )


def test_without_the_tie_a_missing_name_is_named(tmp_path):
    with pytest.raises(ParamsError, match="lacks? `again.w`; take the network"):
        state_dict_names(stored(tmp_path, tensors()), SHAPES)


def test_what_is_missing_is_named_with_what_is_there_instead(tmp_path):
    checkpoint = stored(tmp_path, tensors("base.a", "head.w", other=torch.ones(1)))
    with pytest.raises(ParamsError, match="lacks? `base.LayerNorm.weight` and holds `other`"):
        state_dict_names(checkpoint, SHAPES, TIED)


@pytest.mark.parametrize("prefix", ["", "model."])
def test_another_shape_is_named(tmp_path, prefix):
    checkpoint = stored(
        tmp_path,
        spelled({**tensors(), "base.a": torch.ones(3, 2)}, lambda name: prefix + name),
    )
    with pytest.raises(ParamsError, match=r"`base.a` has shape \(2, 3\) .* but \(3, 2\) in the"):
        state_dict_names(checkpoint, SHAPES, TIED)


def test_a_network_that_is_there_twice_is_refused(tmp_path):
    twice = {f"{copy}.{name}": t for copy in ("model", "ema") for name, t in tensors().items()}
    with pytest.raises(ParamsError, match="hold the network twice, as `(ema|model).base.a` and"):
        state_dict_names(stored(tmp_path, twice), SHAPES, TIED)
    checkpoint = stored(tmp_path, {**twice, **tensors()})
    assert len(state_dict_names(checkpoint, SHAPES, TIED).unused) == 6


def test_two_tensors_are_not_one_in_the_files(tmp_path):
    checkpoint = stored(tmp_path, {"a.w": torch.ones(2), "x": torch.ones(1)})
    with pytest.raises(ParamsError, match="lacks"):
        state_dict_names(checkpoint, {"b.a.w": (2,), "a.w": (2,), "b.x": (1,)})


def test_unused_weights_are_kept_only_on_request(tmp_path):
    checkpoint = stored(tmp_path, tensors(**{"pooler.weight": torch.ones(3, 3)}))
    view = state_dict_names(checkpoint, SHAPES, TIED)
    assert view.unused == ("pooler.weight",)
    with pytest.raises(ParamsError, match="the files hold `pooler.weight`, for which"):
        view.file_params(view)
    save_checkpoint(view.file_params(view, keep_unused=True), checkpoint, tmp_path / "out")
    assert dict(open_checkpoint(tmp_path / "out")).keys() == checkpoint.keys()


def test_buffers_of_old_files_are_kept(tmp_path):
    old = {
        "base.position_ids": torch.arange(3),
        "base.attn.bias": torch.ones(1, 1, 3, 3).tril(),
        "base.attn.masked_bias": torch.tensor(-1e4),
        "base.rotary_emb.inv_freq": torch.ones(3),
    }
    check_both_ways(
        state_dict_names(stored(tmp_path, {**tensors(), **old}), SHAPES, TIED), tmp_path
    )
    checkpoint = stored(tmp_path, {**tensors(), "base.attn.bias": torch.ones(3)})
    view = state_dict_names(checkpoint, SHAPES, TIED)
    with pytest.raises(ParamsError, match="the files hold `base.attn.bias`"):
        view.file_params(view)


def test_what_files_leave_out_is_given_and_must_not_move(tmp_path):
    checkpoint = stored(tmp_path, tensors("base.a", "head.w"))
    absent = {name: t for name, t in tensors().items() if name == "base.LayerNorm.weight"}
    view = state_dict_names(checkpoint, SHAPES, TIED, absent=absent)
    assert torch.equal(view["base.LayerNorm.weight"], absent["base.LayerNorm.weight"])
    assert view.file_params(view).keys() == checkpoint.keys()
    with pytest.raises(ParamsError, match="`base.LayerNorm.weight` has changed, but the checkpo"):
        view.file_params({name: tensor + 1 for name, tensor in view.items()})


@pytest.mark.parametrize("change", [{"base.a": torch.ones(3, 2)}, {"head.w": torch.ones(12)}])
def test_moved_tensors_of_another_shape_are_refused(tmp_path, change):
    view = state_dict_names(stored(tmp_path, tensors()), SHAPES, TIED)
    with pytest.raises(ParamsError, match="has shape .* in the checkpoint's view"):
        dict(view.file_params({**view, **change}))


def test_other_names_are_refused(tmp_path):
    view = state_dict_names(stored(tmp_path, tensors()), SHAPES, TIED)
    with pytest.raises(ParamsError, match="`zzz` are only in one"):
        view.file_params({**view, "zzz": torch.ones(1)})


def test_a_module_of_ones_own_has_its_own_names():
    assert original_pieces(nn.Linear(2, 3)) == {}


# models of transformers ---------------------------------------------------------------------

transformers = pytest.importorskip("transformers")
logging.getLogger("transformers").setLevel(logging.ERROR)

from zoo.architectures import ARCHITECTURES  # noqa: E402
from zoo.found import found, named  # noqa: E402

# Ties of two and three tensors, other names in files, stacked experts with and without renaming.
NAMES = ("BERT", "GPT-2", "Llama", "T5", "ViT", "Mixtral", "Qwen3-MoE")


@pytest.fixture(params=named(NAMES))
def saved(request, tmp_path):
    *_, group = found(request.param)
    model, inputs = ARCHITECTURES[request.param]()
    with torch.no_grad():  # weights as far from their start as training brings them
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path / "saved", max_shard_size="50KB")
    return model, inputs, group, tmp_path


def viewed(model, group, folder):
    checkpoint = open_checkpoint(folder)
    return state_dict_names(checkpoint, group.shapes, group.tied, original_pieces(model))


def outputs(model, inputs):
    with torch.no_grad():
        return model.eval()(**inputs)[0]


@pytest.mark.filterwarnings("ignore")
def test_a_model_goes_there_and_back(saved):
    model, inputs, group, tmp_path = saved
    state = model.state_dict()
    view = viewed(model, group, tmp_path / "saved")
    assert len(view.checkpoint.headers) > 1
    assert all(torch.equal(view[name], state[name]) for name in state) and len(view) == len(state)
    save_checkpoint(view.file_params(view), view.checkpoint, tmp_path / "out")
    for path in (tmp_path / "saved").iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    again = type(model).from_pretrained(tmp_path / "out").eval()
    assert all(torch.equal(again.state_dict()[name], state[name]) for name in state)
    assert torch.equal(outputs(again, inputs), outputs(model, inputs))
    assert original_pieces(again) == original_pieces(model)


@pytest.mark.filterwarnings("ignore")
def test_a_moved_model_computes_the_same_function(saved):
    model, inputs, group, tmp_path = saved
    view = viewed(model, group, tmp_path / "saved")
    element = group.random(torch.Generator().manual_seed(0))
    with Spilled(group.apply(element, view)) as moved:
        save_checkpoint(view.file_params(moved), view.checkpoint, tmp_path / "out")
    again = type(model).from_pretrained(tmp_path / "out").eval()
    name = max(group.spaces[0].legs, key=lambda leg: leg.tensor).tensor
    assert not torch.equal(again.state_dict()[name], model.state_dict()[name])
    expected = outputs(model, inputs)
    assert (outputs(again, inputs) - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.xdist_group("GPT-2")
@pytest.mark.filterwarnings("ignore")
def test_a_view_is_params_everywhere(tmp_path):
    model, *_, group = found("GPT-2")
    model.save_pretrained(tmp_path, max_shard_size="50KB")
    view = viewed(model, group, tmp_path)
    group.check(view)
    expected = td.canonicalize(group, model.state_dict())
    canonical = td.canonicalize(group, view)
    assert all(torch.equal(canonical[name], expected[name]) for name in expected)


@pytest.mark.filterwarnings("ignore")
def test_the_base_model_and_its_head_read_each_other(tmp_path):
    settings = transformers.GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=20)
    whole = transformers.GPT2LMHeadModel(settings)
    whole.transformer.save_pretrained(tmp_path / "base")
    shapes = {name: tuple(tensor.shape) for name, tensor in whole.state_dict().items()}
    tied = {"lm_head.weight": "transformer.wte.weight"}
    view = state_dict_names(open_checkpoint(tmp_path / "base"), shapes, tied)
    assert torch.equal(view["lm_head.weight"], whole.lm_head.weight)
    assert view.file_params(view).keys() == whole.transformer.state_dict().keys()
    whole.save_pretrained(tmp_path / "whole")
    shapes = {name: tuple(t.shape) for name, t in whole.transformer.state_dict().items()}
    view = state_dict_names(open_checkpoint(tmp_path / "whole"), shapes)
    assert torch.equal(view["wte.weight"], whole.lm_head.weight) and not view.unused


@pytest.mark.filterwarnings("ignore")
def test_without_the_pieces_experts_are_refused_clearly(tmp_path):
    model, _ = ARCHITECTURES["Mixtral"]()
    model.save_pretrained(tmp_path)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    with pytest.raises(ParamsError, match="lacks? `model.layers.0.mlp.* holds `model.*w1.weight`"):
        state_dict_names(open_checkpoint(tmp_path), shapes)


@pytest.mark.filterwarnings("ignore")
def test_pieces_need_no_memory():
    model, _ = ARCHITECTURES["Mixtral"]()
    expected = original_pieces(model)
    assert expected and original_pieces(model.to("meta")) == expected
