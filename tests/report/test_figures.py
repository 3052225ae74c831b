import pytest

from toroids.report import figures
from toroids.report.findings import Summary

PATHS = ("raw", "normalised", "aligned", "both", "geodesic")


@pytest.fixture(scope="module")
def summary(rows):
    return Summary(rows)


def test_flatness_curves_show_the_means_and_their_intervals(rows, summary):
    figure = figures.flatness_curves(rows, summary)
    for trace, solver in zip(figure.data, summary.solvers, strict=True):
        curve = summary.all("increase", solver)
        assert list(trace.x) == [row["sigma"] for row in curve]
        assert list(trace.y) == [row["estimate"] for row in curve]
        highs = [y + bar for y, bar in zip(trace.y, trace.error_y.array, strict=True)]
        lows = [y - bar for y, bar in zip(trace.y, trace.error_y.arrayminus, strict=True)]
        assert highs == pytest.approx([row["high"] for row in curve])
        assert lows == pytest.approx([row["low"] for row in curve])


def test_every_network_is_a_point(rows, summary):
    figure = figures.flatness_against_test_error(rows, summary)
    shown = {(x, y) for trace in figure.data for x, y in zip(trace.x, trace.y, strict=True)}
    networks = [row for row in rows if row["kind"] == "network"]
    assert shown == {(row["flatness"]["increase"][1], row["test_error"]) for row in networks}


def test_distance_matrices_hold_every_pair_in_its_place(rows, summary):
    figure = figures.distance_matrices(rows, summary)
    names = [row["name"] for row in rows if row["kind"] == "network"]
    for heatmap, moment in zip(figure.data, ("before", "after"), strict=True):
        for row in rows:
            if row["kind"] == "pair":
                a, b = names.index(row["a"]), names.index(row["b"])
                assert heatmap.z[a][b] == heatmap.z[b][a] == row["mean_angle"][moment]
        assert all(heatmap.z[i][i] == 0 for i in range(len(names)))


def test_barrier_profiles_show_five_paths_with_bands(rows, summary):
    figure = figures.barrier_profiles(rows, summary)
    lines = [trace for trace in figure.data if trace.fill is None]
    bands = [trace for trace in figure.data if trace.fill == "toself"]
    expected = [(solver, path) for solver in summary.solvers for path in PATHS]
    for line, band, (solver, path) in zip(lines, bands, expected, strict=True):
        curve = summary.all("path_error", solver, path=path)
        assert list(line.x) == [row["t"] for row in curve]
        assert list(line.y) == [row["estimate"] for row in curve]
        assert list(band.y[: len(curve)]) == [row["high"] for row in curve]
        assert list(band.y[len(curve) :]) == [row["low"] for row in curve][::-1]


def test_barrier_heights_show_every_path_for_every_group(rows, summary):
    figure = figures.barrier_heights(rows, summary)
    groups = ["sgd", "sgd / start", "start"]
    for bars, path in zip(figure.data, PATHS, strict=True):
        wanted = [summary.get("barrier", group, path=path)["estimate"] for group in groups]
        assert list(bars.y) == wanted
