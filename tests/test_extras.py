"""What works without the optional extras, and what is said where one is missing."""

import subprocess
import sys

import pytest

STUDY = ("plotly", "sklearn", "threadpoolctl", "typer")
# Packages that are hidden cannot be imported; some of PyTorch's own do without them.
HIDDEN = "import sys\nfor name in {names!r}:\n    sys.modules[name] = None\n{code}"

LIBRARY = """
import torch, toroids as td
model, inputs = td.models.fully_connected([4, 6, 3], seed=0), torch.randn(8, 4)
group = td.discover(model, inputs)
networks = [td.models.fully_connected([4, 6, 3], seed=s).state_dict() for s in (1, 2)]
alignment = td.align(group, networks[1], to=networks[0])
landscape = td.Landscape(model, (inputs, torch.arange(8) % 3))
print(td.Toroid(group).distance(alignment.reference, alignment.params) > 0)
print(td.profile(landscape, td.Toroid(group).geodesic(alignment.reference, alignment.params)).barrier >= 0)
print(len(td.merge(group, networks, landscape)), td.compare(group, *networks).verdict)
td.save_params(networks[0], "weights.safetensors")
"""


def without(code, *names, folder):
    text = HIDDEN.format(names=names, code=code)
    return subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True)


def test_the_library_needs_no_extra(tmp_path):
    done = without(LIBRARY, *STUDY, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["True", "True"]


@pytest.mark.parametrize(
    ("code", "package", "said"),
    [
        ("import toroids as td; td.data.digits()", "sklearn", "needs the package `sklearn`"),
        ("from toroids.study import load_config", "threadpoolctl", "a study needs the package"),
        ("import toroids.report.pictures", "plotly", "drawing needs the package `plotly`"),
        ("import toroids_shell; toroids_shell.main()", "typer", "the command toroids needs"),
    ],
)
def test_what_lacks_an_extra_says_which(code, package, said, tmp_path):
    done = without(code, package, folder=tmp_path)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert said in last
    assert last.endswith("pip install 'toroids[study]'.")
