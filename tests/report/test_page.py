import copy
import re

import pytest

from toroids.errors import ToroidsError
from toroids.report.page import render, write_report


@pytest.fixture(scope="module")
def page(rows):
    return render(rows)


def test_nothing_is_loaded_from_elsewhere(page):
    own = page.replace(re.search(r"<script>.*?</script>", page, re.S).group(), "")  # plotly itself
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?https?:""", own)
    assert "cdn.plot.ly" not in own


def test_the_page_shows_every_network_and_five_figures(page, rows):
    for row in rows:
        if row["kind"] == "network":
            name = row["name"].replace("sgd", "SGD")
            assert f"<td>{name}</td>" in page
            assert f"{row['test_error']:.2%} ± {100 * row['test_error_stderr']:.2f}" in page
    assert page.count("Plotly.newPlot(") >= 5
    assert page.count("<figcaption>") == 5
    for title in ("relative weight noise", "test error", "radians", "position t on the path"):
        assert title in page


def test_writing_replaces_the_report(run):
    path = write_report(run)
    assert path == run / "report.html"
    first = path.read_text()
    path.write_text("damaged")
    assert write_report(run).read_text() == first


def test_names_from_the_rows_cannot_inject(rows):
    hostile = copy.deepcopy(rows)
    evil = "<script>alert(1)</script>"
    for row in hostile:
        for key in ("solver", "solver_a", "solver_b", "group"):
            if isinstance(row.get(key), str):
                row[key] = row[key].replace("start", evil)
        if row["kind"] == "network":
            row["name"] = row["name"].replace("start", evil)
        if row["kind"] == "pair":
            row["a"], row["b"] = (row[k].replace("start", evil) for k in "ab")
    assert evil not in render(hostile)


def test_one_network_per_solver_has_no_pairs_within(rows):
    lone = [
        row
        for row in rows
        if (row["kind"] == "network" and row["name"] in ("sgd-0", "start-0"))
        or row["kind"] in ("run", "symmetry")
        or (row["kind"] == "summary" and row["statistic"] in ("increase", "test_error"))
    ]
    assert "One network per solver: no pairs." in render(lone)


def test_an_unfinished_run_is_refused(rows, tmp_path):
    with pytest.raises(ToroidsError, match="not finished"):
        render([row for row in rows if row["kind"] != "run"])
    with pytest.raises(ToroidsError, match="pass the folder of a finished study"):
        write_report(tmp_path)
