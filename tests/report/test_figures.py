"""Figures show the numbers of the rows, in their places and with their intervals."""

from dataclasses import replace

import pytest
from synthetic_rows import synthetic_rows

from toroids.report.figures import barriers, claims, distances, effects, flatness, maps
from toroids.report.figures import sections as faces
from toroids.report.figures import trajectories as ways
from toroids.report.figures.training import training_curves
from toroids.report.study import Study
from toroids.report.text import BENDS, PATHS
from toroids.statistics.claims.verdict import Claim
from toroids.statistics.map import Map
from toroids.study.perform.section import Section
from toroids.study.perform.trajectory import Trajectory

ALL = (
    flatness.flatness_curves,
    training_curves,
    distances.matrices,
    distances.layers,
    distances.dumbbells,
    maps.maps,
    barriers.barrier_profiles,
    barriers.bend_profiles,
    faces.sections,
    ways.trajectories,
    claims.flatness_by_solver,
    claims.flatness_against_test_error,
    claims.barriers_by_solver,
    claims.barriers_over_bends,
    claims.barriers_by_path,
    claims.reach,
)


def ends(trace, axis="y"):
    """Where the error bars of a trace begin and end."""
    bar = getattr(trace, f"error_{axis}")
    values = getattr(trace, axis)
    lows = [v - b for v, b in zip(values, bar.arrayminus, strict=True)]
    highs = [v + b for v, b in zip(values, bar.array, strict=True)]
    return lows, highs


@pytest.mark.parametrize("draw", ALL, ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("study", ["mlp", "binary"])
def test_every_figure_says_units_sample_and_uncertainty_and_gives_its_numbers(draw, study, request):
    drawing = draw(request.getfixturevalue(study))
    if (study, draw) == ("binary", ways.trajectories):
        pytest.skip("binary networks have no principal axes")
    titles = [
        axis.title.text for axis in drawing.chart.select_xaxes() if axis.showticklabels is not False
    ]
    assert all(titles)
    said = drawing.caption + drawing.title
    assert any(word in said for word in ("error", "interval", "stress", "spread", "exact"))
    names = [trace.name or "" for trace in drawing.chart.data]
    shown = " ".join([said, *names, *(note.text for note in drawing.chart.layout.annotations)])
    shown += " ".join(
        str(text) for axis in drawing.chart.select_yaxes() for text in axis.ticktext or ()
    )
    assert any(character.isdigit() for character in shown)  # how many there are
    assert drawing.records
    assert "kind" in drawing.source


def test_flatness_curves_show_the_means_and_their_intervals(mlp):
    drawing = flatness.flatness_curves(mlp)
    for trace, solver in zip(drawing.chart.data, mlp.solvers, strict=True):
        curve = mlp.all("increase", solver)
        assert list(trace.x) == [row.sigma for row in curve]
        assert list(trace.y) == [row.estimate for row in curve]
        lows, highs = ends(trace)
        assert highs == pytest.approx([row.high for row in curve])
        assert lows == pytest.approx([row.low for row in curve])
    assert len(drawing.records) == 3 * 7


def test_every_network_is_a_point(mlp):
    chart = claims.flatness_against_test_error(mlp).chart
    shown = {(x, y) for trace in chart.data for x, y in zip(trace.x, trace.y, strict=True)}
    position = mlp.networks[0].flatness.sigma.index(0.5)
    assert shown == {(row.flatness.increase[position], row.test_error) for row in mlp.networks}


def test_networks_that_count_in_no_claim_are_hollow():
    rows = synthetic_rows()
    place, worst = next((n, row) for n, row in enumerate(rows) if row.kind == "network")
    rows[place] = replace(worst, train_error=0.5)
    drawing = claims.flatness_against_test_error(Study(rows).architectures[0])
    symbols = [symbol for trace in drawing.chart.data for symbol in trace.marker.symbol]
    assert [symbol.endswith("-open") for symbol in symbols].count(True) == 1
    assert "Hollow: 1 with" in drawing.caption
    assert [r["network"] for r in drawing.records if not r["counts"]] == [worst.name]


def test_distance_matrices_hold_every_pair_in_its_place(mlp):
    chart = distances.matrices(mlp).chart
    names = [row.name for row in mlp.networks]
    for heatmap, moment in zip(chart.data, ("before", "after"), strict=True):
        for row in mlp.pairs:
            a, b = names.index(row.a), names.index(row.b)
            assert heatmap.z[a][b] == heatmap.z[b][a] == getattr(row.mean_angle, moment)
        assert all(heatmap.z[i][i] == 0 for i in range(len(names)))


def test_a_pair_that_is_missing_leaves_its_cell_empty(finished):
    first = next(row for row in finished if row.kind == "pair")
    rows = [row for row in finished if row is not first]
    chart = distances.matrices(Study(rows).architectures[0]).chart
    assert chart.data[0].z[0][1] is None


@pytest.mark.parametrize(("study", "paths"), [("mlp", 5), ("binary", 3)])
def test_profiles_show_all_paths_with_bands(study, paths, request):
    architecture = request.getfixturevalue(study)
    chart = barriers.barrier_profiles(architecture).chart
    lines = [trace for trace in chart.data if trace.fill is None]
    bands = [trace for trace in chart.data if trace.fill == "toself"]
    expected = [
        curve
        for solver in architecture.solvers
        for path in PATHS
        if (curve := architecture.all("path_error", solver, path=path))
    ]
    assert len(expected) == 3 * paths
    for line, band, curve in zip(lines, bands, expected, strict=True):
        assert list(line.y) == [row.estimate for row in curve]
        assert list(band.y[: len(curve)]) == [row.high for row in curve]
        assert list(band.y[len(curve) :]) == [row.low for row in curve][::-1]
    assert sum(bool(line.showlegend) for line in lines) == paths


def test_bends_stand_beside_the_direct_path(binary):
    drawing = barriers.bend_profiles(binary)
    assert {row["path"] for row in drawing.records} == {"flips", *BENDS}


def test_barriers_by_path_show_every_path_for_every_solver(mlp):
    chart = claims.barriers_by_path(mlp).chart
    for trace, solver in zip(chart.data, mlp.solvers, strict=True):
        rows = [mlp.get("barrier", solver, path=path) for path in PATHS]
        rows = [row for row in rows if row]
        assert list(trace.x) == [row.estimate for row in rows]
        lows, highs = ends(trace, "x")
        assert lows == pytest.approx([row.low for row in rows])
        assert highs == pytest.approx([row.high for row in rows])


def test_reach_counts_partners_within_the_tolerance(mlp):
    for point in claims.reach(mlp).records:
        own = [row for row in mlp.pairs if point["network"] in (row.a, row.b)]
        low = [row for row in own if row.profiles["geodesic"].barrier <= 0.01]
        assert (point["reached"], point["measured"]) == (len(low), len(own))


def test_maps_show_the_points_of_the_rows(mlp):
    drawing = maps.maps(mlp)
    for row in mlp.of(Map):
        points = {
            (r["network"], r["x"], r["y"]) for r in drawing.records if r["moment"] == row.moment
        }
        assert points == set(zip(row.names, row.x, row.y, strict=True))
        assert any(
            f"stress {row.stress:.2f}" in note.text for note in drawing.chart.layout.annotations
        )


def test_sections_hold_every_value(mlp, binary):
    for row, contour in zip(mlp.of(Section), faces.sections(mlp).chart.data[::2], strict=True):
        assert [list(line) for line in contour.z] == row.error
    row = binary.of(Section)[0]
    heatmaps = [trace for trace in faces.sections(binary).chart.data if trace.type == "heatmap"]
    assert len(heatmaps) == 3 * len(binary.of(Section))
    assert heatmaps[0].z[2][5] == row.error[0][5][2]


def test_trajectories_hold_every_value_and_every_epoch(mlp, binary):
    drawing = ways.trajectories(mlp)
    rows, traces = mlp.of(Trajectory), drawing.chart.data
    for row, contour, way in zip(rows, traces[::2], traces[1::2], strict=True):
        assert [list(line) for line in contour.z] == row.error
        assert [[x, y] for x, y in zip(way.x, way.y, strict=True)] == row.points
        assert way.hovertext[1] == "epoch 2: 40.00%, 0.60 from the plane"
        assert way.marker.size[1] == max(way.marker.size) == ways.LARGEST
    assert len(drawing.records) == sum(len(row.x) * len(row.y) for row in rows)
    assert any("(90%)" in note.text for note in drawing.chart.layout.annotations)
    assert ways.trajectories(binary) is None


def test_effects_are_sorted_by_unit(mlp):
    claim = next(row for row in mlp.of(Claim) if row.claim == "R3")
    chart = effects.effects(mlp, claim).chart
    units = list(dict.fromkeys(effect.unit for effect in claim.effects))
    for trace, unit in zip(chart.data, units, strict=True):
        wanted = [effect.estimate for effect in claim.effects if effect.unit == unit]
        assert list(trace.x) == wanted


@pytest.mark.parametrize("draw", ALL, ids=lambda draw: draw.__name__)
def test_nothing_is_drawn_of_nothing(draw, finished):
    assert draw(Study(finished[-1:]).architectures[0]) is None


@pytest.mark.parametrize("draw", ALL, ids=lambda draw: draw.__name__)
def test_one_network_per_solver_is_enough_or_not_drawn(draw):
    rows = synthetic_rows(seeds=1)
    draw(Study(rows).architectures[0])


def test_barriers_that_are_not_finite_are_left_out(finished):
    place, pair = next((n, row) for n, row in enumerate(finished) if row.kind == "pair")
    curve = replace(pair.profiles["geodesic"], barrier=None)
    rows = [*finished[:place], replace(pair, profiles={"geodesic": curve}), *finished[place + 1 :]]
    architecture = Study(rows).architectures[0]
    names = {(row["a"], row["b"]) for row in claims.barriers_by_solver(architecture).records}
    assert (pair.a, pair.b) not in names
    assert claims.reach(architecture).records[0]["measured"] == len(architecture.networks) - 2
