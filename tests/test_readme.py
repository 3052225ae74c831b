import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_lines_of_python_run(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    exec(block, {})
    angle, barrier = map(float, capsys.readouterr().out.split())
    assert 0 < angle < 3
    assert 0 <= barrier < 0.5


def test_the_files_that_it_names_are_there():
    for name in re.findall(r"\]\(([^):]+)\)", README.read_text()):
        assert (README.parent / name).exists(), name
