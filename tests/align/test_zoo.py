"""Alignment of public architectures: a planted element is undone."""

import logging

import pytest
import torch
from zoo.found import found, named

import toroids as td

transformers = pytest.importorskip("transformers")
logging.getLogger("transformers").setLevel(logging.ERROR)

from zoo.weights import disturbed  # noqa: E402

# Those of the canonical form's tests whose continuous symmetries it fixes without exception.
NAMES = (
    "ShuffleNetV2", "MLP-Mixer", "U-Net", "LSTM classifier", "ConvNext", "MobileNetV2", "ViT",
    "Swin", "BERT", "ALBERT", "GPT-2", "GPTNeoX", "Llama", "T5", "Mamba", "CLIP", "Gemma3",
    "SmolLM3",
)  # fmt: skip


@pytest.mark.parametrize("name", named(NAMES))
@pytest.mark.filterwarnings("ignore")
def test_descent_undoes_a_planted_element(name):
    model, _, _, group = found(name)
    params = disturbed(model, group)
    moved = group.apply(group.random(torch.Generator().manual_seed(1)), params)
    alignment = td.align(group, moved, to=params)
    assert alignment.similarity_before < 0.99 * alignment.similarity
    for key in group.parameters:
        scale = alignment.reference[key].abs().max().clamp_min(1)
        error = (alignment.params[key] - alignment.reference[key]).abs().max()
        assert error < 1e-10 * scale, key
