"""Every example prints numbers and leaves its figures; in this process, which saves its imports."""

import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
# What an example needs beyond the package itself.
EXTRAS = {"align_two_transformers": "transformers"}


def run(path, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_prints_numbers_and_leaves_its_figures(path, tmp_path, monkeypatch, capsys):
    if path.stem in EXTRAS:
        pytest.importorskip(EXTRAS[path.stem])
    run(path, tmp_path, monkeypatch)
    printed = capsys.readouterr().out
    *lines, last = printed.splitlines()
    assert any(re.search(r"\d", line) for line in lines), printed
    named = re.fullmatch(r"figures?: (.*)", last)
    assert named, last
    names = named[1].split(", ")
    assert f"{path.stem}.html" in names
    assert {file.name for file in tmp_path.iterdir()} == set(names)
    for name in names:
        page = (tmp_path / name).read_text(encoding="utf-8")
        assert "<!doctype html>" in page[:100].lower()
        assert '"data":[{' in page.replace(" ", ""), f"{name} draws nothing"


@pytest.mark.parametrize(("name", "extra"), EXTRAS.items())
def test_an_example_says_which_extra_it_needs(name, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, extra, None)
    path = next(path for path in EXAMPLES if path.stem == name)
    with pytest.raises(SystemExit) as left:
        run(path, tmp_path, monkeypatch)
    assert left.value.code == f"this example needs pip install 'toroids[{extra}]'"
