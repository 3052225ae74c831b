"""Figures against size, of studies that have three sizes of one kind of network."""

import copy
from dataclasses import replace

import pytest
from synthetic_rows import synthetic_rows

from toroids.report.figures.sizes import sizes
from toroids.report.page import render
from toroids.report.study import Study

WIDTHS = {"wide": 4000, "thin": 100, "middle": 700}


@pytest.fixture(scope="module")
def rows():
    """Three sizes, not in their order."""
    return sized(synthetic_rows(tuple(WIDTHS), seeds=3), WIDTHS)


def sized(rows, widths):
    return [
        replace(row, parameters=widths[row.architecture]) if row.kind == "symmetry" else row
        for row in rows
    ]


def test_barriers_by_path_and_solver_stand_at_their_sizes(rows):
    study = Study(rows)
    barriers, _ = sizes(study)
    by_name = {architecture.name: architecture for architecture in study.architectures}
    expected = {
        (solver, path, size): by_name[name].get("barrier", solver, path=path).estimate
        for name, size in WIDTHS.items()
        for solver in study.solvers
        for path in ("raw", "geodesic")
    }
    drawn = {(r["group"], r["path"], r["parameters"]): r["estimate"] for r in barriers.records}
    assert expected.items() <= drawn.items()
    traces = [trace for trace in barriers.chart.data if trace.name.startswith("geodesic")]
    assert len(traces) == len(study.solvers) and sum(bool(t.showlegend) for t in traces) == 1
    for trace in traces:
        assert list(trace.x) == [100, 700, 4000]
        assert all(high >= 0 for high in trace.error_y.array)


def test_distance_and_flatness_have_a_line_for_every_solver(rows):
    study = Study(rows)
    _, measures = sizes(study)
    assert {row["statistic"] for row in measures.records} == {"mean_angle_after", "increase"}
    assert len(measures.chart.data) == 2 * len(study.solvers)
    for row in measures.records:
        if row["statistic"] == "increase":
            assert row["sigma"] == study.architectures[0].sigma


def test_the_page_shows_them_between_claims_and_measurements(rows):
    page = render(rows)
    assert page.index('id="claims"') < page.index('id="sizes"') < page.index('id="architecture-')
    assert "Barriers against the number of parameters" in page


def test_fewer_sizes_and_other_kinds_are_no_curve(rows, finished):
    assert sizes(Study(finished)) == []
    same = sized(rows, dict.fromkeys(WIDTHS, 100))
    assert sizes(Study(same)) == []
    other = copy.deepcopy(rows)
    other[-1].config["networks"]["thin"]["model"] = "lenet"
    assert sizes(Study(other)) == []
    assert 'id="sizes"' not in render(finished)
