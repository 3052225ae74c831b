import csv
import tomllib

import pytest

from toroids.report.settings import as_toml
from toroids.report.tables import Column, as_csv, table_html

ODD = ['a "quoted" one', "two\nlines", "comma, and ümlaut", "", "\x7f \U0001f642"]


def test_csv_is_read_back():
    records = [{"name": text, "value": 1 / 3} for text in ODD]
    text = as_csv(records)
    assert text.count("\r\n") == len(ODD) + 1
    found = list(csv.DictReader(text.splitlines(keepends=True)))
    assert [row["name"] for row in found] == ODD
    assert float(found[0]["value"]) == 1 / 3


@pytest.mark.parametrize("evil", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_text_that_looks_like_a_formula_is_defused(evil):
    (row,) = csv.DictReader(as_csv([{"name": evil}]).split("\r\n"))
    assert row["name"].startswith("'")


def test_negative_numbers_stay_numbers():
    assert as_csv([{"value": -0.5}]) == "value\r\n-0.5\r\n"


def test_cells_are_escaped_and_rows_named():
    html = table_html([Column("<name>", ["<b>"], numeric=False), Column("n", ["1"])], "a & b")
    assert "<b>" not in html.replace("<tbody>", "")
    assert '<th scope="row">&lt;b&gt;</th><td class="number">1</td>' in html
    assert "a &amp; b" in html


def test_settings_are_read_back_as_toml(finished):
    config = finished[-1].config
    config = {**config, "odd key": {"a.b": [1.5, True, "x"], "": ODD}}

    def without_none(value):
        if not isinstance(value, dict):
            return value
        return {key: without_none(item) for key, item in value.items() if item is not None}

    assert tomllib.loads(as_toml(config)) == without_none(config)
