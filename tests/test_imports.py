"""Each folder imports only from those above it, and the public names are there."""

import ast
from pathlib import Path

import pytest

import toroids as td

ORDER = [
    "errors",
    "files",
    "arguments",
    "params",
    "statistics",
    "binary",
    "checkpoint",
    "evaluation",
    "symmetry",
    "discovery",
    "probe",
    "canonical",
    "geometry",
    "align",
    "landscape",
    "solvers",
    "data",
    "models",
    "public",
    "design",
    "study",
    "report",
    "explore",
    "cli",
]
ROOT = Path(td.__file__).parent


def part(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("toroids"):
            below = node.module.split(".")[1:]
            yield from below[:1] or [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("toroids."))


SOURCES = [path for path in ROOT.rglob("*.py") if path.name != "__init__.py" or path.parent != ROOT]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_import_order(path):
    for name in imported(path):
        assert ORDER.index(name) <= ORDER.index(part(path)), f"{path} imports {name}"


def test_every_part_has_its_place():
    assert {part(path) for path in SOURCES} == set(ORDER)


def test_public_names_exist():
    assert all(hasattr(td, name) for name in td.__all__)
