"""What the table of public networks is made of, without those libraries."""

import importlib

import pytest
import torch

import toroids as td
from toroids.discovery import coverage


def test_torchvision_built_for_another_torch_is_looked_at_all_the_same(monkeypatch):
    asked = []

    def load(name):
        asked.append(name)
        if len(asked) == 1:
            raise RuntimeError("operator torchvision::nms does not exist")
        return "the networks"

    monkeypatch.setattr(importlib, "import_module", load)
    library = torch.library.Library("toroids_test", "FRAGMENT")  # defined once for all tests
    monkeypatch.setattr(coverage, "OPERATORS", library)
    assert coverage._torchvision_models() == "the networks"
    assert asked == ["torchvision.models"] * 2
    assert "float" in str(torch.ops.toroids_test.nms.default._schema)


def test_other_errors_of_torchvision_are_its_own(monkeypatch):
    def load(name):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(importlib, "import_module", load)
    with pytest.raises(RuntimeError, match="out of luck"):
        coverage._torchvision_models()


def test_a_row_says_what_was_found_or_why_not():
    def small():
        return td.models.fully_connected([4, 5, 3], seed=0), torch.randn(2, 4)

    cells = [cell.strip() for cell in coverage.row("small", small).split("|")]
    assert cells[1:4] == ["small", "43", "1"]
    assert float(cells[7]) < 1e-8

    def broken():
        raise ImportError("no such library")

    assert "| broken | cannot be built |" in coverage.row("broken", broken)
    assert "no such library" in coverage.row("broken", broken)


def test_notes_that_differ_in_names_are_told_once():
    notes = [f"later biases absorb `norm{n}.bias`, but {n} of its entries stay" for n in (1, 2, 30)]
    told = coverage._alike([*notes, "something else"])
    assert told == [f"{notes[0]} (and 2 like it)", "something else"]
