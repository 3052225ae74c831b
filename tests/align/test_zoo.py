"""Alignment of public architectures: a planted element is undone."""

import logging

import pytest
import torch
from align.networks import LanguageModel
from torch import nn
from zoo.found import found, named

import toroids as td

transformers = pytest.importorskip("transformers")
logging.getLogger("transformers").setLevel(logging.ERROR)

from zoo.tiny import TINY  # noqa: E402
from zoo.weights import disturbed  # noqa: E402

# Those of the canonical form's tests whose continuous symmetries it fixes without exception.
NAMES = (
    "ShuffleNetV2", "MLP-Mixer", "U-Net", "LSTM classifier", "ConvNext", "MobileNetV2", "ViT",
    "Swin", "BERT", "ALBERT", "GPT-2", "GPTNeoX", "Llama", "T5", "Mamba", "CLIP", "Gemma3",
    "SmolLM3",
)  # fmt: skip
LONG = {"Swin", "MobileNetV2", "ShuffleNetV2", "Mamba", "CLIP", "SmolLM3"}


@pytest.mark.parametrize("name", named(NAMES, set(NAMES) - LONG))
@pytest.mark.filterwarnings("ignore")
def test_descent_undoes_a_planted_element(name):
    model, _, _, group = found(name)
    undone(group, disturbed(model, group))


def undone(group, params, seed=1):
    moved = group.apply(group.random(torch.Generator().manual_seed(seed)), params)
    alignment = td.align(group, moved, to=params)
    assert alignment.bound < (1 + 1e-10) * alignment.similarity
    assert alignment.similarity_before < 0.99 * alignment.similarity
    for key in group.parameters:
        scale = alignment.reference[key].abs().max().clamp_min(1)
        error = (alignment.params[key] - alignment.reference[key]).abs().max()
        assert error < 1e-10 * scale, key


# Heads that wait for their phases, shifts that would give each other back, gains 1 + w.
@pytest.mark.parametrize("name", named(["OLMo", "GLM", "ELECTRA", "Gemma2"], ["OLMo", "ELECTRA"]))
@pytest.mark.filterwarnings("ignore")
def test_small_families_come_back_too(name):
    model, inputs, key = TINY[name]()
    group = td.discover(model, inputs, output_key=key)
    undone(group, {k: x.double() for k, x in model.state_dict().items()})


# Signs behind gates, signs that gains share with heads, and phases that keys tell before queries.
@pytest.mark.parametrize(("layers", "tied", "gains"), [(1, False, True), (2, True, False)])
def test_language_models_written_by_hand_come_back_whatever_their_weights(layers, tied, gains):
    torch.manual_seed(0)
    model = LanguageModel(layers, tied, gains)
    group = td.discover(model, torch.randint(0, 16, (2, 6)), verify=False)
    for seed, scale in enumerate((1.0, 0.02, 1.0, 0.1)):
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=scale if parameter.ndim > 1 else 1.0)
        undone(group, {k: x.double() for k, x in model.state_dict().items()}, seed)


@pytest.mark.filterwarnings("ignore")
def test_heads_of_graphs_that_are_too_large_for_open_lengths_come_back(monkeypatch):
    # a batch of one, which such traces hold as a number, must carry no heads
    for limit in ("SMALL", "TEXT"):
        monkeypatch.setattr(f"toroids.discovery.tracing.looks.{limit}", 0)
    config = transformers.LlamaConfig(
        hidden_size=32, intermediate_size=24, num_hidden_layers=2, num_attention_heads=8,
        num_key_value_heads=2, head_dim=8, vocab_size=40,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config).double().eval()
    inputs = {"input_ids": torch.randint(40, (1, 12))}
    group = td.discover(model, inputs, output_key="logits", verify=False)
    assert all(space.size > 1 for space in group.spaces)
    assert {len(space.within) for space in group.spaces} == {0, 1}
    undone(group, disturbed(model, group))
