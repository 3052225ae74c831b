"""Operators of PyTorch's own database between parameters: a few of every family, or all of them.

`pytest --operators all` takes ten minutes; `--operators sort,topk` examines some. What is known to
fall short is recorded in docs/operators.md, which `docs/operators.py` regenerates.
"""

import re
from pathlib import Path

import pytest
from operators import database
from operators.causes import CAUSES
from operators.examine import VERDICTS, examine_operator, worst

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"
SAMPLE = (
    # pointwise, of one, two and three arguments
    "nn.functional.relu", "tanh", "abs", "sign", "nn.functional.gelu", "sqrt", "add", "mul", "div.no_rounding_mode",
    "maximum", "where", "lerp", "clamp",
    # reductions, scans, sorts, normalisation
    "sum", "mean", "amax", "prod", "var", "logsumexp", "argmax", "cumsum", "sort", "topk",
    "softmax", "nn.functional.layer_norm", "nn.functional.group_norm", "histogram", "searchsorted",
    # linear algebra
    "matmul", "bmm", "einsum", "nn.functional.linear", "nn.functional.conv2d", "linalg.inv",
    # arranging and picking
    "reshape", "permute", "cat", "stack", "flip", "repeat", "expand", "gather", "index_select",
    "scatter_add", "nn.functional.pad.constant", "nn.functional.embedding", "triu", "tensor_split",
    # resampling, losses, complex numbers, random numbers
    "nn.functional.avg_pool2d", "nn.functional.mse_loss", "fft.rfft", "uniform",
)  # fmt: skip

pytestmark = pytest.mark.skipif(not database.is_here(), reason=database.MISSING)


def pytest_generate_tests(metafunc):
    if "operator" not in metafunc.fixturenames:
        return
    asked = metafunc.config.getoption("--operators")
    if asked == "sample" or not database.is_here():
        # one worker reads the database, which takes a few seconds
        group = pytest.mark.xdist_group("operators")
        metafunc.parametrize("operator", [pytest.param(name, marks=group) for name in SAMPLE])
    else:
        known = list(database.operators())
        wanted = known if asked == "all" else asked.split(",")
        if not set(wanted) <= set(known):
            raise pytest.UsageError(f"no operators of PyTorch: {sorted(set(wanted) - set(known))}")
        metafunc.parametrize("operator", wanted)


def recorded() -> dict[str, str]:
    """The verdict of every operator in the documentation."""
    return dict(re.findall(r"^\| `([^`]+)` \| ([a-z ]+) \|", PAGE.read_text(), re.M))


def test_an_operator_is_no_worse_than_the_documentation_says(operator, request):
    limit = 2 if request.config.getoption("--operators") == "sample" else 4
    findings = examine_operator(operator, limit)
    if not findings:
        pytest.skip("no small sample")
    found, known = worst(findings), recorded().get(operator, "complete")
    assert VERDICTS.index(found.verdict) <= VERDICTS.index(known), found


def test_the_documentation_names_the_operators_of_the_sample():
    assert set(SAMPLE) <= recorded().keys()
    assert set(recorded().values()) <= set(VERDICTS)


def test_the_documentation_says_why_an_operator_is_incomplete():
    told = [name for names in CAUSES.values() for name in names]
    assert sorted(told) == sorted(n for n, verdict in recorded().items() if verdict == "incomplete")
