"""Each folder imports only from those above it, and the public names are there."""

import ast
from pathlib import Path

import pytest

import toroids as td

ORDER = [
    "errors",
    "extras",
    "computed",
    "files",
    "arguments",
    "settings",
    "params",
    "result",
    "progress",
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
    "compare",
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
    "__main__",
]
# The same for what lies in `discovery/`.
DISCOVERY = [
    "axes",
    "tracing",
    "rules",
    "inference",
    "matrices",
    "proof",
    "output",
    "unfolding",
    "discover",
    "widen",
    "audit",
    "coverage",
]
ROOT = Path(td.__file__).parent


def part(path, root=ROOT):
    return path.relative_to(root).parts[0].removesuffix(".py")


def imported(path, package="toroids"):
    """The parts of a package that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{package}."):
            below = node.module.removeprefix(package).split(".")[1:]
            yield from below[:1] or [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names if a.name.startswith(f"{package}.")]
            yield from (name.removeprefix(f"{package}.").split(".")[0] for name in names)


def sources(root):
    return [path for path in root.rglob("*.py") if path != root / "__init__.py"]


SOURCES = sources(ROOT)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_import_order(path):
    for name in imported(path):
        assert ORDER.index(name) <= ORDER.index(part(path)), f"{path} imports {name}"


def test_every_part_has_its_place():
    root = ROOT / "discovery"
    assert {part(path) for path in SOURCES} == set(ORDER)
    assert {part(path, root) for path in sources(root)} == set(DISCOVERY)


@pytest.mark.parametrize("path", sources(ROOT / "discovery"), ids=lambda path: path.stem)
def test_import_order_within_discovery(path):
    here = DISCOVERY.index(part(path, ROOT / "discovery"))
    for name in imported(path, "toroids.discovery"):
        assert DISCOVERY.index(name) <= here, f"{path} imports {name}"


def test_public_names_exist():
    assert all(hasattr(td, name) for name in td.__all__)
