"""What is granted holds for every input that a network takes, not only near the example.

Networks of the tests are discovered on their example, and on the smallest one that they take: one
token, one image. The groups are checked on batches and lengths that discovery did not see, with
weights and buffers drawn anew (`discovery.beyond`).
"""

import copy
import logging

import pytest
import torch
from discovery.beyond import Effort, beyond, violations
from discovery.written import NAMES, found
from zoo.classic import THIN
from zoo.found import named

pytest.importorskip("transformers")
logging.getLogger("transformers").setLevel(logging.ERROR)

from zoo.architectures import ARCHITECTURES  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
starts = pytest.mark.parametrize(
    "start", [pytest.param("the example", marks=pytest.mark.long), "the smallest example"]
)

SOME = Effort(trials=1, alone=2, draws=1)
LEAST = Effort(trials=1, alone=1, draws=1, home=False)
# Of every kind one that is quick: encoders, decoders, both, images, states, sounds.
SHORT = (
    "BERT",
    "GPT-2",
    "Llama",
    "T5",
    "ViT",
    "Mamba",
)
DEEP = {
    "VGG-16-BN", "ResNet-50", "ResNeXt-26 32x4d", "DenseNet-121", "MobileNetV3-small",
    "ShuffleNetV2",
}  # fmt: skip


def drawn(tensor, shape, generator):
    """Other values of the same kind, in another shape."""
    if tensor.is_floating_point():
        return torch.randn(shape, generator=generator, dtype=tensor.dtype)
    low, high = int(tensor.min()), int(tensor.max())
    return torch.randint(low, high + 1, shape, generator=generator).to(tensor.dtype)


def resized(inputs, sizes, seed):
    """Inputs in which every size in `sizes` is another one; "batch" stands for the first axis."""
    generator = torch.Generator().manual_seed(seed)

    def one(x):
        shape = [sizes.get(size, size) for size in x.shape]
        shape[:1] = [sizes.get("batch", size) for size in shape[:1]]
        return drawn(x, shape, generator)

    if isinstance(inputs, dict):
        return {name: one(x) for name, x in inputs.items()}
    return tuple(one(x) for x in inputs) if isinstance(inputs, tuple) else one(inputs)


def takes(model, inputs):
    """Whether a module runs on inputs; a copy of it, as some remember what they ran on."""
    model = copy.deepcopy(model)
    try:
        with torch.no_grad():
            if isinstance(inputs, dict):
                model(**inputs)
            else:
                model(*inputs if isinstance(inputs, tuple) else (inputs,))
    except Exception:  # whatever it says to what it does not take
        return False
    return True


def lengths(inputs):
    """The sizes that occur, each once."""
    tensors = inputs.values() if isinstance(inputs, dict) else inputs
    tensors = [tensors] if isinstance(tensors, torch.Tensor) else tensors
    return sorted({size for x in tensors for size in x.shape if size > 1})


def others(model, inputs):
    """Longer inputs and more of them; shorter ones and fewer: as a module takes them."""
    found = []
    for scale, batch in ((1.5, 3), (0.5, 1)):
        sizes = {"batch": batch} | {n: int(scale * n + 0.5) for n in lengths(inputs)}
        taken = {
            n: size for n, size in sizes.items() if takes(model, resized(inputs, {n: size}, 0))
        }
        together = [resized(inputs, taken, 1)] if taken else []
        if not all(takes(model, x) for x in together):
            together = [resized(inputs, {n: size}, 1) for n, size in taken.items()]
        found += together
    return found


def smallest(model, inputs):
    """The example with every size that the module does not fix made one."""
    for n in ("batch", *lengths(inputs)):
        smaller = resized(inputs, {n: 1}, 0)
        if takes(model, smaller):
            inputs = smaller
    return inputs


def check(model, inputs, start, effort):
    """Checks the group that is found from one start."""
    example = inputs if start == "the example" else smallest(model, inputs)
    found = violations(model, example, everywhere(model, inputs), effort=effort)
    assert not found, "\n".join(found)


def everywhere(model, inputs):
    """The example and inputs of other sizes."""
    sizes = [inputs, *others(model, inputs)]
    assert len(sizes) > 1, "no other sizes: nothing would be checked"
    return sizes


@pytest.mark.parametrize("name", NAMES)
def test_networks_written_down_by_hand(name):
    model, inputs, _, group = found(name)
    sizes = everywhere(model, inputs)
    wrong = beyond(group, model, inputs, sizes)
    wrong += violations(model, smallest(model, inputs), sizes, known=group)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", named(THIN, THIN.keys() - DEEP))
def test_classic_networks(name):
    model, inputs = THIN[name]()
    inputs = inputs[:, :, :32, :32] if inputs.ndim == 4 else inputs
    check(model, inputs, "the smallest example", LEAST)


@starts
@pytest.mark.parametrize("name", named(ARCHITECTURES, SHORT))
def test_architectures_of_transformers(name, start):
    model, inputs = ARCHITECTURES[name]()
    if hasattr(model, "set_experts_implementation"):  # the default one has no float64
        model.set_experts_implementation("batched_mm")
    check(model, inputs, start, SOME)
