import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_lines_of_python_run(capsys):
    first, second = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    exec(first, {})
    table, verified, distance = capsys.readouterr().out.strip().rsplit("\n", 2)
    shown = re.findall(r"```\n( space.*?)```", README.read_text(), re.S)[0]
    assert table.split() == shown.split()
    assert float(verified.split(":")[0]) < 1e-12
    assert float(distance) < 1e-5
    exec(second, {})
    rows = capsys.readouterr().out.strip().splitlines()
    (barrier, stderr, mean), (before, after), (error,), (increase, spread) = (
        map(float, row.split()) for row in rows
    )
    assert 0 < mean < barrier < 0.5
    assert stderr > 0
    assert after < before
    assert error < 0.2
    assert 0 < spread <= 0.005
    assert increase > 0


def test_the_files_that_it_names_are_there():
    for name in re.findall(r"\]\(([^):#]+)\)", README.read_text()):
        assert (README.parent / name).exists(), name
