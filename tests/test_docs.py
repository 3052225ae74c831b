"""The documentation: every example runs and prints what the page says; the reference is whole."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import toroids as td
from toroids import study
from toroids.design.config import StudyConfig

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
EXAMPLE = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?", re.S | re.M)
NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
# What is trained differs a little from one processor to the next, what is rounding altogether.
RELATIVE, ABSOLUTE, ROUNDING = 0.3, 0.03, 1e-6


def written(page: Path) -> list[tuple[str, str]]:
    return EXAMPLE.findall(page.read_text(encoding="utf-8"))


WITH_EXAMPLES = [page for page in PAGES if written(page)]


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda p: str(p.relative_to(DOCS)))
def test_the_examples_of_a_page_print_what_it_says(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    for code, expected in written(page):
        exec(compile(code, str(page), "exec"), namespace)
        assert_alike(capsys.readouterr().out, expected)


def assert_alike(printed: str, expected: str) -> None:
    """Words must be equal, numbers about so."""
    assert NUMBER.sub("#", printed).split() == NUMBER.sub("#", expected).split(), printed
    for found, said in zip(NUMBER.findall(printed), NUMBER.findall(expected), strict=True):
        a, b = abs(float(found)), abs(float(said))
        if max(a, b) < ROUNDING:
            continue
        assert abs(float(found) - float(said)) <= max(RELATIVE * b, ABSOLUTE), printed


def test_every_public_name_is_in_the_reference_once():
    text = "\n".join(page.read_text() for page in (DOCS / "reference").rglob("*.md"))
    found = re.findall(r"^::: ([\w.]+)$", text, re.M)
    folders = {n: m for n in td.__all__ if isinstance(m := getattr(td, n), ModuleType)}
    names = {f"toroids.{name}" for name in td.__all__ if name not in folders}
    names |= {
        f"toroids.{folder}.{name}"
        for folder, m in folders.items()
        for name in m.__all__
        if name not in td.__all__
    }
    names |= {f"toroids.study.{name}" for name in study.__all__}
    names |= {"toroids.report.page.write_report", "toroids.explore.explore.explore"}
    assert sorted(found) == sorted(names)


def load_hook(name: str):
    spec = importlib.util.spec_from_file_location(name, DOCS / "hooks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_of_study_files_names_every_table_and_key():
    text = load_hook("generated").study_file()
    for name in StudyConfig.model_fields:
        assert f"`{name}`" in text or f"`[{name}" in text
    assert "| `coupling` | list of 2 numbers | > 0; ≤ 1 000 000 | `[0.01, 1.0]` |" in text
    assert '| `schedule` | `"cosine"` or `"constant"` or `"step"` |  | `"cosine"` |' in text


def test_the_reference_of_the_shell_names_every_command():
    text = load_hook("generated").command_line()
    for command in ("study", "show", "symmetries", "align", "merge", "flatness"):
        assert f"## `toroids {command}`" in text
    assert "| `--points <int>`" in text or "| `--points INTEGER`" in text
    assert "| `--workers" in text


def test_files_and_pages_that_pages_name_are_there():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+\.(?:md|svg))[#)]", page.read_text()):
            name = target.removeprefix("../")  # of pages that the site takes from elsewhere
            if name in ("changelog.md", "contributing.md"):
                continue
            file = ROOT / name if name.startswith("benchmarks/") else page.parent / target
            assert "://" in target or file.exists(), f"{page}: {target}"


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    pytest.importorskip("mkdocstrings", reason="needs the extra docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(
        [*command, "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="https?:', text), page
        assert "arithmatex" not in text, page
