"""The runner of the benchmarks, on made-up results; nothing is timed here."""

import ast
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import run  # noqa: E402
from harness.result import Outcome, Result, why_absent  # noqa: E402
from harness.table import head, row, table  # noqa: E402

sys.path.remove(str(BENCHMARKS))  # its files have names that others may look for

SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
from harness.result import Result
from harness.script import main

def rows(quick):
    yield Result("sum", "s", [2.0 if quick else 4.0], "peer", [8.0])
    {then}

if __name__ == "__main__":
    main(rows)
"""


def script(folder, name, then="return"):
    (folder / f"{name}.py").write_text(SCRIPT.format(folder=str(BENCHMARKS), then=then))


def cells(line):
    return [cell.strip() for cell in line.strip("|").split(" | ")]


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (
            Result("sum", "s", [3.0, 1.0, 2.0], "loop", [4.0, 5.0, 4.0], goal=0.5),
            ["3", "2 (1 to 3)", "loop", "4 (4 to 5)", "0.5", "≤ 0.5, reached", ""],
        ),
        (
            Result("sum", "s", [3.0], "limit", [2.0], goal=1.0, note="why"),
            ["1", "3", "limit", "2", "1.5", "≤ 1, **missed**", "why"],
        ),
        (
            Result("speed", "tasks / s", [3.4], "one", [2.0], goal=1.7, at_least=True),
            ["1", "3.4", "one", "2", "1.7", "≥ 1.7, reached", ""],
        ),
        (
            Result("sum", "s", [3.0], "rival", absent="not installed", goal=0.5),
            ["1", "3", "rival", "not installed", "", "≤ 0.5, not measured", ""],
        ),
        (Result("sum", "s", [3.0]), ["1", "3", "", "", "", "", ""]),
        (Result("error", "", [0.5], "none", [0.0]), ["1", "0.5", "none", "0", "", "", ""]),
        (
            Result("peak", "copies", [], "limit", [3.5], goal=1.0),
            ["0", "not measured", "limit", "3.5", "", "≤ 1, not measured", ""],
        ),
    ],
)
def test_a_row_says_what_was_measured_and_what_not(result, shown):
    line = row("made_up", result)
    assert cells(line)[:3] == ["made_up", result.name, result.unit]
    assert cells(line)[3:] == [*shown[:-1], shown[-1]]


def test_a_reduced_run_has_no_verdict():
    line = row("made_up", Result("sum", "s", [3.0], "limit", [2.0], goal=1.0), verdict=False)
    assert cells(line)[8] == "≤ 1"


def test_a_name_cannot_break_the_table():
    assert len(row("a", Result("x | y", "s", [1.0])).replace("\\|", "").split("|")) == len(
        head().partition("\n")[0].split("|")
    )


def test_a_failed_benchmark_keeps_its_rows_and_ends_with_its_failure():
    lines = table([Outcome("made_up", [Result("sum", "s", [1.0])], "ValueError: no")]).splitlines()
    assert cells(lines[2])[1] == "sum"
    assert cells(lines[3])[:2] == ["made_up", "**failed**: ValueError: no"]


def test_why_a_peer_is_absent():
    with pytest.raises(ImportError) as caught:
        import no_such_peer  # noqa: F401
    assert why_absent(caught.value) == "no_such_peer is not installed"
    assert why_absent(RuntimeError("shapes differ\nby much")) == "RuntimeError: shapes differ"


@pytest.mark.parametrize(
    ("then", "failure", "count"),
    [
        ("return", "", 1),
        ("raise ValueError('no data')", "ValueError: no data", 1),
        ("import os; os._exit(3)", "its process ended with 3", 1),
    ],
)
def test_what_a_benchmark_leaves(tmp_path, then, failure, count):
    script(tmp_path, "made_up", then)
    outcome = run.run("made_up", quick=True, folder=tmp_path)
    assert outcome.failure == failure
    assert outcome.results == [Result("sum", "s", [2.0], "peer", [8.0])] * count


def test_a_benchmark_that_cannot_be_read_and_one_that_does_not_end(tmp_path):
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    assert "No module named 'no_such_module'" in run.run("broken", folder=tmp_path).failure
    script(tmp_path, "endless", "import time; time.sleep(60)")
    assert run.run("endless", folder=tmp_path, limit=1).failure == "not ended after 1 s"


def test_a_failure_ends_no_other_benchmark_and_is_in_the_exit_code(tmp_path, monkeypatch, capsys):
    outcomes = {
        name: Outcome(name, [Result("sum", "s", [1.0])], "ValueError: no" * (name == "section"))
        for name in run.BENCHMARKS
    }
    monkeypatch.setattr(run, "run", lambda name, quick: outcomes[name])
    page = tmp_path / "page.md"
    assert run.main(["--quick", "--out", str(page)]) == 1
    text = page.read_text()
    assert "`python benchmarks/run.py --quick --out" in text
    assert "A smoke test" in text
    assert "section failed: ValueError: no" in capsys.readouterr().err
    assert all(f"| [{name}](" in text for name in run.BENCHMARKS)
    assert "| [section](section.md) | **failed**: ValueError: no |" in text
    for path in run.pages():
        assert f"]({path.name})" in text
    assert run.main(["--only", "solvers"]) == 0


def test_only_a_run_of_everything_writes_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "run", lambda name, quick: Outcome(name, []))
    monkeypatch.setattr(run, "PAGE", tmp_path / "README.md")
    for arguments in (["--quick"], ["--only", "section"]):
        assert run.main(arguments) == 0
        assert not run.PAGE.exists()
    assert run.main([]) == 0
    assert run.PAGE.read_text().startswith("# The table of all benchmarks\n")


def test_the_runner_knows_every_benchmark():
    """Every file that yields rows is in the list, by its name."""
    found = {
        path.stem
        for path in BENCHMARKS.glob("*.py")
        for part in ast.parse(path.read_text()).body
        if isinstance(part, ast.FunctionDef) and part.name == "rows"
    }
    assert found == set(run.BENCHMARKS)
