import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_lines_of_python_run(capsys):
    first, second, third, fourth, fifth = re.findall(
        r"```python\n(.*?)```", README.read_text(), re.S
    )
    exec(first, {})
    angle, barrier = map(float, capsys.readouterr().out.split())
    assert 0 < angle < 3
    assert 0 <= barrier < 0.5
    exec(second, {})
    table, verified, audited = capsys.readouterr().out.strip().rsplit("\n", 2)
    shown = re.findall(r"```\n( space.*?)```", README.read_text(), re.S)[0]
    assert table.split() == shown.split()
    assert float(verified) < 1e-12
    assert "unexplained" in audited
    exec(third, {})
    assert float(capsys.readouterr().out) < 1e-9
    exec(fourth, {})
    best, many = capsys.readouterr().out.strip().splitlines()
    method, similarity, gap = best.split()
    assert method in ("descent", "frank-wolfe")
    assert float(similarity) > 0 <= float(gap)
    before, after, converged = many.split()
    assert float(before) < float(after)
    assert converged == "True"
    exec(fifth, {})
    *rows, eigenvalue = capsys.readouterr().out.strip().splitlines()
    (barrier, stderr, mean), (before, after), (error,), (increase, spread) = (
        map(float, row.split()) for row in rows
    )
    assert 0 < mean < barrier < 0.5
    assert stderr > 0
    assert after < before
    assert error < 0.2
    assert 0 < spread <= 0.005
    assert increase > 0
    assert eigenvalue.startswith("tensor([")


def test_the_files_that_it_names_are_there():
    for name in re.findall(r"\]\(([^):]+)\)", README.read_text()):
        assert (README.parent / name).exists(), name
