import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
# What an example needs beyond the package itself.
EXTRAS = {"align_two_transformers": "transformers"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_prints_numbers_and_leaves_its_figures(path, tmp_path):
    if path.stem in EXTRAS:
        pytest.importorskip(EXTRAS[path.stem])
    done = subprocess.run(
        [sys.executable, path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,  # the longest takes less than a minute alone; others may use the cores
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    assert any(re.search(r"\d", line) for line in lines), done.stdout
    named = re.fullmatch(r"figures?: (.*)", last)
    assert named, last
    names = named[1].split(", ")
    assert f"{path.stem}.html" in names
    assert {file.name for file in tmp_path.iterdir()} == set(names)
    for name in names:
        page = (tmp_path / name).read_text(encoding="utf-8")
        assert "<!doctype html>" in page[:100].lower()
        assert '"data":[{' in page.replace(" ", ""), f"{name} draws nothing"


def test_an_example_says_which_extra_it_needs(tmp_path):
    for name, extra in EXTRAS.items():
        path = next(path for path in EXAMPLES if path.stem == name)
        hidden = f"import runpy, sys; sys.modules[{extra!r}] = None; runpy.run_path({str(path)!r})"
        done = subprocess.run(
            [sys.executable, "-c", hidden], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode != 0
        assert done.stderr.strip() == f"this example needs pip install 'toroids[{extra}]'"
