"""A sample of the table of audits in docs/audit.md, which `docs/audit.py` regenerates."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from zoo.found import named  # noqa: E402
from zoo.tiny import TINY  # noqa: E402

PAGE = Path(__file__).parents[3] / "docs" / "audit.py"


@pytest.fixture(scope="module")
def page():
    spec = importlib.util.spec_from_file_location("audit_page", PAGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def broken():
    raise ValueError("a | b")


@pytest.mark.parametrize("name", named(["OLMo2", "GPTBigCode"], ["GPTBigCode"]))
@pytest.mark.filterwarnings("ignore")
def test_a_sample_of_families_is_explained(page, name):
    cells = [cell.strip() for cell in page.row(name, TINY[name]).split("|")]
    assert cells[1] == name
    assert 300 < int(cells[2]) < 2500
    assert int(cells[3]) > 0
    assert cells[6] == "0"
    assert float(cells[7]) < 1e-10  # an element of the group comes back
    assert float(cells[8]) < 1e-10
    assert cells[10] == ""


def test_what_cannot_be_built_is_said(page):
    lines = [page.row("broken", broken), "| fine | 5 | 1 | 0 | 0 | 0 | 0 | 0 | 1.0 |  |"]
    assert lines[0] == "| broken | not built | | | | | | | | a / b |"
    assert "1 of 1 families have no unexplained direction" in page.page(lines, "5")
