"""The law of activations on every network that discovery is tested on, and on public ones."""

import logging
from dataclasses import replace

import pytest
import torch
import zoo.found
from discovery.written import NAMES, built, found, unsettled
from probe import law
from probe.law import check_law
from probe.odd_networks import ODD
from zoo.weights import disturbed

import toroids as td
from toroids.discovery.discover import group_of
from toroids.discovery.tracing.explore import explore


@pytest.mark.parametrize("name", NAMES)
def test_units_of_small_networks_move_with_the_parameters(name):
    model, inputs, _, group = found(name)
    params = {n: t.double() for n, t in model.state_dict().items()}
    check_law(model, inputs, group, params)


@pytest.mark.parametrize("name", ODD)
def test_units_of_odd_networks_move_with_the_parameters(name):
    torch.manual_seed(4)
    model, inputs = unsettled(ODD[name]()).eval(), torch.randn(6, 4)
    group = td.discover(model, inputs)
    assert group.spaces
    check_law(model, inputs, group, {n: t.double() for n, t in model.state_dict().items()})


# U-Net has transposed convolutions, ResNeXt groups, the mixer observations that another space moves
PUBLIC = ("ResNet-18", "ResNet-20, zero-padded shortcuts", "ShuffleNetV2", "ResNeXt-26 32x4d",
          "U-Net", "MLP-Mixer", "LSTM classifier")  # fmt: skip


@pytest.mark.parametrize("name", zoo.found.named(PUBLIC, set(PUBLIC) - {"ShuffleNetV2"}))
def test_units_of_classic_networks_move_with_the_parameters(name):
    model, inputs, _, group = zoo.found.found(name)
    check_law(model, inputs, group, disturbed(model, group))


# Swin's norm after merging patches gives one channel four signs; T5 shares its stream's norm
TRANSFORMERS = ("GPT-2", "Llama", "BERT", "ViT", "T5", "Swin", "Qwen3", "Mamba")
SAMPLE = set(TRANSFORMERS) - {"Swin", "Qwen3", "Mamba"}  # which take long


@pytest.mark.parametrize("name", zoo.found.named(TRANSFORMERS, SAMPLE))
@pytest.mark.filterwarnings("ignore")
def test_units_of_transformers_move_with_the_parameters(name):
    pytest.importorskip("transformers")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    model, inputs, _, group = zoo.found.found(name)
    check_law(model, inputs, group, disturbed(model, group))


def test_a_wrong_sign_would_be_seen():
    """The law must be able to fail: with the power of one sign changed, it does."""
    model, inputs = built("batch norm")
    params = {n: t.double() for n, t in model.state_dict().items()}
    group = group_of(explore(model, inputs))
    before = law.Probe(model, group, inputs)(params)
    element = law.orthogonal_element(group, torch.Generator().manual_seed(0))
    after = law.Probe(model, group, inputs)(group.apply(element, params))
    (space,) = group.spaces
    for old, new in zip(before[space.name], after[space.name], strict=True):
        wrong = replace(old, signs=tuple(1 - power for power in old.signs))
        expected = law.moved_values(group, element, space, wrong)
        assert (new.values - expected).abs().max() > 1e-2 * expected.abs().max()
