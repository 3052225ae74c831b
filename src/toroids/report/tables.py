"""Tables of the page, and numbers as CSV."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import Any

from toroids.statistics.row import Plain

# What makes a spreadsheet take the text of a cell for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")

# A cell of more letters is kept wide, and the table scrolls, where the page is narrow.
LONG = 30


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        title: what its head says.
        texts: its cells, as a person reads them.
        numeric: whether they are set flush right.
    """

    title: str
    texts: Sequence[str]
    numeric: bool = True


def table_html(columns: Sequence[Column], caption: str) -> str:
    """Writes a table that scrolls inside its box where it is too wide.

    Args:
        columns: of equal length; the first names the rows.
        caption: what the table shows.

    Returns:
        The table as HTML.
    """
    head = "".join(_cell("th", column, column.title, ' scope="col"') for column in columns)
    body = "".join(f"<tr>{_row(columns, number)}</tr>" for number in range(len(columns[0].texts)))
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _row(columns: Sequence[Column], number: int) -> str:
    first, *others = columns
    cells = [_cell("th", first, first.texts[number], ' scope="row"')]
    return "".join([*cells, *(_cell("td", other, other.texts[number]) for other in others)])


def _cell(tag: str, column: Column, text: str, more: str = "") -> str:
    kind = "number" if column.numeric else "long" if len(text) > LONG else ""
    named = f' class="{kind}"' if kind else ""
    return f"<{tag}{named}{more}>{escape(text)}</{tag}>"


def as_csv(records: Iterable[Plain]) -> str:
    r"""Writes flat dictionaries as CSV (RFC 4180), numbers in full.

    Text that a spreadsheet would take for a formula gets an apostrophe in front.

    Args:
        records: one per line; what a record lacks stays empty.

    Returns:
        The text, with a head.

    Example:
        >>> as_csv([{"a": 1.5, "b": "=1+1"}, {"a": None}])
        "a,b\r\n1.5,'=1+1\r\n,\r\n"
    """
    records = list(records)
    names = list(dict.fromkeys(name for record in records for name in record))
    stream = StringIO()
    writer = csv.writer(stream)
    writer.writerow([_harmless(name) for name in names])
    writer.writerows([_harmless(record.get(name)) for name in names] for record in records)
    return stream.getvalue()


def _harmless(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value
