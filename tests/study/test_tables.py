import pandas
import pytest
from small_study import of_kind

from toroids.errors import ToroidsError
from toroids.landscape.joined import WAYS
from toroids.study.export import export_run
from toroids.study.run import run_study
from toroids.study.tables import make_tables


@pytest.fixture(scope="module")
def tables(rows):
    return make_tables(rows)


def test_every_measurement_is_a_line(rows, tables):
    networks, pairs = of_kind(rows, "network"), of_kind(rows, "pair")
    assert [line["name"] for line in tables["networks"]] == [row.name for row in networks]
    assert len(tables["flatness"]) == 2 * len(networks)
    assert len(tables["training"]) == sum(len(row.history) for row in networks)
    assert len(tables["pairs"]) == len(pairs)
    assert len(tables["barriers"]) == len(WAYS) * 8
    assert len(tables["profiles"]) == 3 * len(WAYS) * 8
    assert len(tables["claims"]) == 8
    for table in tables.values():
        assert all(line.keys() == table[0].keys() for line in table if len(line) == len(table[0]))
        for line in table:
            assert all(isinstance(x, str | float | int | bool | None) for x in line.values())


def test_values_are_those_of_the_rows(rows, tables):
    row = next(row for row in of_kind(rows, "pair") if row.profiles)
    lines = [x for x in tables["profiles"] if (x["a"], x["b"]) == (row.a, row.b)]
    raw = [line["error"] for line in lines if line["path"] == "raw"]
    assert raw == row.profiles["raw"].error
    pair = next(x for x in tables["pairs"] if (x["a"], x["b"]) == (row.a, row.b))
    assert pair["mean_angle_after"] == row.mean_angle.after
    layers = [x["after"] for x in tables["layers"] if (x["a"], x["b"]) == (row.a, row.b)]
    assert layers == [layer.after for layer in row.layers]


def test_parquet_files_are_read_by_pandas_and_duckdb(run, tables, tmp_path):
    duckdb = pytest.importorskip("duckdb")
    files = export_run(run, tmp_path / "out")
    assert sorted(path.stem for path in files) == sorted(tables)
    frame = pandas.read_parquet(tmp_path / "out" / "networks.parquet")
    assert frame["test_error"].tolist() == [line["test_error"] for line in tables["networks"]]
    query = f"select path, max(error) from '{tmp_path}/out/profiles.parquet' group by path"
    found = dict(duckdb.sql(query).fetchall())
    for path, largest in found.items():
        errors = [line["error"] for line in tables["profiles"] if line["path"] == path]
        assert largest == max(errors)


def test_results_are_read_by_duckdb_as_they_are_written(run, rows):
    duckdb = pytest.importorskip("duckdb")
    query = f"select count(*) from read_json('{run}/results/pair-*.json')"
    assert duckdb.sql(query).fetchall() == [(15,)]
    everything = f"select count(*) from read_json('{run}/measurements.jsonl') where kind = 'pair'"
    assert duckdb.sql(everything).fetchall() == [(15,)]


def test_tables_can_be_exported_while_the_study_runs(config, tmp_path):
    counts = []

    def export(text, done, total):
        files = {path.stem: path for path in export_run(tmp_path / "r", tmp_path / "out")}
        counts.append(len(pandas.read_parquet(files["networks"])) if "networks" in files else 0)

    run_study(config, tmp_path / "r", export)
    assert counts == sorted(counts)
    assert counts[-1] == 6


def test_a_place_that_is_a_file(run, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ToroidsError, match="is a file; name a folder"):
        export_run(run, tmp_path / "file")
    with pytest.raises(ToroidsError, match="holds no run"):
        export_run(tmp_path, tmp_path / "out")
