"""The canonical form of public architectures: the same function, and nothing moves twice."""

import logging

import pytest
from zoo.found import found, named

import toroids as td

transformers = pytest.importorskip("transformers")
logging.getLogger("transformers").setLevel(logging.ERROR)

from zoo.weights import disturbed  # noqa: E402

# One of every kind: batch norm, concatenation, depthwise, gates, fused and grouped heads, ties.
NAMES = (
    "ResNet-18", "ShuffleNetV2", "MLP-Mixer", "U-Net", "LSTM classifier", "ConvNext",
    "MobileNetV2", "ViT", "Swin", "BERT", "ALBERT", "GPT-2", "GPTNeoX", "Llama", "Qwen3", "T5",
    "Mamba", "Whisper", "CLIP", "Gemma3", "SmolLM3", "HuBERT",
)  # fmt: skip


LONG = {
    "ShuffleNetV2", "MobileNetV2", "Swin", "Qwen3", "Mamba", "Whisper", "CLIP", "SmolLM3", "HuBERT",
}  # fmt: skip


@pytest.mark.parametrize("name", named(NAMES, set(NAMES) - LONG))
@pytest.mark.filterwarnings("ignore")
def test_same_function_and_idempotent(name):
    model, _, explored, group = found(name)
    params = disturbed(model, group)
    for batch_norm in ("keep", "fold"):
        check(group, explored.main, params, batch_norm)


def check(group, program, params, batch_norm):
    canonical = td.canonicalize(group, params, batch_norm=batch_norm)
    before, after = (program.run(p, wide=True) for p in (params, canonical))
    for a, b in zip(after, before, strict=True):
        assert (a - b).abs().max() < 1e-10 * b.abs().max()
    again = td.canonicalize(group, canonical, batch_norm=batch_norm)
    for key in group.parameters:
        scale = canonical[key].abs().max().clamp_min(1)
        assert (again[key] - canonical[key]).abs().max() < 1e-12 * scale, key
    assert td.Toroid(group, batch_norm=batch_norm).distance(canonical, again) < 1e-9
