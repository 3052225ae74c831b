"""Public architectures: no wrong symmetry anywhere, no crash anywhere, nothing lost."""

import dataclasses
import logging

import pytest
from discovery.proven import deviation
from discovery.said import beyond_sizes
from zoo.classic import THIN
from zoo.found import found, named

transformers = pytest.importorskip("transformers")
logging.getLogger("transformers").setLevel(logging.ERROR)

from zoo.architectures import ARCHITECTURES  # noqa: E402

# One of every kind: the others of `transformers` resemble one of these.
SAMPLE = (
    ("ConvNextV2", "ViT"),
    ("BERT", "ALBERT", "FNet"),
    ("GPT-2", "GPTNeoX", "BLOOM", "Llama", "Qwen3"),
    ("Gemma3", "Qwen3-MoE"),
    ("T5",),
)
DEEP = {"DenseNet-121", "ResNet-50", "ResNeXt-26 32x4d", "ShuffleNetV2"}
# Counts of spaces, written down from the architectures.
SPACES = {
    "VGG-16-BN": 15,  # 13 convolutions and 2 linear layers
    "ResNet-18": 12,  # 8 inner, 4 residual streams
    "ResNet-50": 37,  # 32 inner, the stem, 4 residual streams
    "ResNet-20, zero-padded shortcuts": 12,  # 9 inner; streams of 16, and 16 more, and 32 more
    "DenseNet-121": 120,  # every convolution
    "ShuffleNetV2": 34,  # stem, end, 8 inner; a stage of n blocks is cut into 2^n parts: 4, 16, 4
    "MLP-Mixer": 13,  # the stream; two per block, and a norm that is scaled as a whole
    "LSTM classifier": 3,  # the words' embedding and two layers
}


@pytest.mark.parametrize("name", named(THIN, THIN.keys() - DEEP))
def test_classic_networks(name):
    model, _, explored, group = found(name)
    assert deviation(explored, model, group, trials=1) < 1e-10
    # the proof can see a wrong symmetry of the first layer: two units swapped where they are
    # written, but not where they are read
    space = group.spaces[0]
    wrong = dataclasses.replace(
        space, legs=space.legs[:1], generators=(), actions=frozenset({"permute"}), norms=()
    )
    assert deviation(explored, model, dataclasses.replace(group, spaces=(wrong,)), trials=1) > 1e-5
    assert beyond_sizes(group) == ()
    assert group.share_moved > 0.99
    assert len(group.spaces) == SPACES.get(name, len(group.spaces))


@pytest.mark.parametrize("name", named(ARCHITECTURES, sum(SAMPLE, ())))
@pytest.mark.filterwarnings("ignore")
def test_architectures_of_transformers(name):
    model, _, explored, group = found(name)
    assert deviation(explored, model, group, trials=1) < 1e-10
    assert group.spaces
    if group.share_moved < 0.9:  # a reason is listed for whatever stays
        assert any(note.startswith("pinned") for note in group.notes)


@pytest.mark.xdist_group("GPT-2")
def test_a_small_gpt2_has_every_space_that_the_architecture_allows():
    *_, group = found("GPT-2")
    spaces = sorted((s.size, s.copies, *sorted(s.actions)) for s in group.spaces)
    block = [
        (4, 1, "permute"),  # heads
        (8, 4, "mix", "permute", "shift"),  # queries with keys
        (8, 4, "mix", "permute", "shift"),  # values with the output map, whose bias absorbs theirs
        (128, 1, "permute"),  # the feed-forward layer, GELU
    ]
    stream = [(32, 1, "flip", "permute", "rescale", "shift")]  # the head is tied: no rotation
    assert spaces == sorted(2 * block + stream)
