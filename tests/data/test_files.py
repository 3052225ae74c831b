import pytest
import torch
from safetensors.torch import save_file

import toroids as td
from toroids.data.files import load_data
from toroids.errors import DataError, ParamsError


def test_inputs_and_targets_of_a_file(tmp_path):
    x, y = torch.randn(4, 3), torch.arange(4)
    for name in ("targets", "labels"):
        save_file({"inputs": x, name: y}, tmp_path / "data.safetensors")
        inputs, targets = load_data(str(tmp_path / "data.safetensors"))
        assert torch.equal(inputs, x)
        assert torch.equal(targets, y)


def test_other_names_are_keyword_arguments(tmp_path):
    tensors = {"input_ids": torch.zeros(4, 3).long(), "attention_mask": torch.ones(4, 3)}
    save_file({**tensors, "targets": torch.arange(4)}, tmp_path / "data.safetensors")
    inputs, _ = load_data(str(tmp_path / "data.safetensors"))
    assert inputs.keys() == tensors.keys()


def test_embedded_sets():
    assert torch.equal(load_data("digits")[0], td.data.digits().train[0])
    assert torch.equal(load_data("digits:test")[1], td.data.digits().test[1])


def test_bad_files(tmp_path):
    path = tmp_path / "data.safetensors"
    with pytest.raises(ParamsError, match="no weight file"):
        load_data(str(path))
    for tensors in (
        {"inputs": torch.ones(3)},
        {"targets": torch.ones(3)},
        {"inputs": torch.ones(3), "targets": torch.ones(3), "labels": torch.ones(3)},
    ):
        save_file(tensors, path)
        with pytest.raises(DataError, match="expected `inputs` and `targets`"):
            load_data(str(path))
    save_file({"inputs": torch.ones(3, 2), "targets": torch.ones(2)}, path)
    with pytest.raises(DataError, match="3 inputs but 2 labels"):
        load_data(str(path))
