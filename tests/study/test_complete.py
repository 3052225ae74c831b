"""Rows with anything in the place of any field: refused, or read without a traceback."""

import copy
import functools
import io
import shutil
from contextlib import redirect_stderr, redirect_stdout

import pytest
from cli.commands import run as shell
from synthetic_rows import derived, plain_rows, typed

from toroids.report.page import render
from toroids.statistics.row import plain
from toroids.study.complete import result_of
from toroids.study.sealed import read_sealed, write_sealed
from toroids.study.store import Store, tasks_of
from toroids.study.tables import make_tables

MISSING = object()
WRONG = (None, True, "x", 7, -1.5, [], {}, [None], 10**400, MISSING)


def places(value, at=()):
    """Where there is something in plain data; of lists the first entry stands for all."""
    if at:
        yield at
    held = {0: value[0]} if isinstance(value, list) and value else value
    for key, inner in held.items() if isinstance(held, dict) else ():
        yield from places(inner, (*at, key))


def damaged(value, at, what):
    value = copy.deepcopy(value)
    holder = value
    for key in at[:-1]:
        holder = holder[key]
    if what is MISSING:
        del holder[at[-1]]
    else:
        holder[at[-1]] = what
    return value


@pytest.fixture(scope="module")
def results(run):
    """What tasks left, one of every kind; a pair with profiles."""
    found = {}
    for task in tasks_of(Store(run).manifest()):
        row = plain(Store(run).result(task))
        if task.kind not in found or row.get("profiles"):
            found[task.kind] = row
    return found


def at_place(value, at):
    return functools.reduce(lambda holder, key: holder[key], at, value)


def is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_complete(kind, row):
    return result_of(kind, row) is not None


def alike(before, after):
    """Whether something is of a type that may be where something else was: null for a number."""
    if is_number(before):
        return is_number(after) or after is None
    return type(before) is type(after)


def test_every_field_of_a_result_has_to_be_there_and_of_its_type(results):
    for kind, row in results.items():
        assert is_complete(kind, row)
        for at in places(row):
            if at[0] in ("random_seed", "config"):  # of which nobody reads anything
                continue
            kept = [x for x in WRONG if is_complete(kind, damaged(row, at, x))]
            # of a list, and of several paths, there may be fewer
            assert (
                MISSING not in kept or len(at) > 1 and at[-2] in ("history", "layers", "profiles")
            )
            assert all(alike(at_place(row, at), x) for x in kept if x is not MISSING), (
                kind,
                at,
                kept,
            )


@pytest.fixture(scope="module", params=[False, True], ids=["real", "binary"])
def measured(request):
    return plain_rows(seeds=3, binary=request.param)


def nulled(row, *kinds):
    """A row that still counts as whole, with null for every number that may be null."""
    for at in [at for at in places(row) if is_number(at_place(row, at))]:
        changed = damaged(row, at, None)
        row = changed if all(is_complete(kind, changed) for kind in kinds) else row
    return row


def test_a_curve_without_a_point_is_no_result(results):
    emptied = {
        "measure": {"flatness": dict.fromkeys(("sigma", "increase", "stderr"), [])},
        "pair": {"profiles": {"raw": dict.fromkeys(("t", "error", "error_stderr", "loss"), [])}},
    }
    for kind, parts in emptied.items():
        row = copy.deepcopy(results[kind])
        for name, part in parts.items():
            for key, value in part.items():
                held = row[name]
                held[key] = {**held[key], **value} if isinstance(value, dict) else value
        assert not is_complete(kind, row)


def test_whatever_may_be_null_is_shown_and_exported(measured):
    rows = list(measured)
    for kinds in (("train", "measure"), ("pair",), ("bend",), ("section",)):
        number = next(n for n, x in enumerate(rows) if all(is_complete(k, x) for k in kinds))
        rows[number] = nulled(rows[number], *kinds)
        assert rows[number] != measured[number]
    *rows, run = typed(rows)
    found = derived([*rows, run])
    assert "</html>" in render([*rows, *found, run])
    assert make_tables([*rows, *found, run])


CALLS = (["show", "r"], ["list", "."])


@pytest.mark.parametrize("name", ["run.json", "derived.json", "train", "pair", "symmetry"])
def test_a_file_that_somebody_sealed_anew_is_no_traceback(run, tmp_path, name):
    shutil.copytree(run, tmp_path / "r")
    file = tmp_path / "r" / name
    if not name.endswith("json"):
        file = sorted((tmp_path / "r" / "results").glob(f"{name}-*"))[0]
    content = read_sealed(file)
    found = [at for at in places(content) if at[0] not in ("config", "versions", "row")]
    for number, at in enumerate([*found, ("row",)] if "row" in content else found):
        write_sealed(file, damaged(content, at, WRONG[number % len(WRONG)]))
        error = io.StringIO()
        with redirect_stdout(io.StringIO()), redirect_stderr(error):
            code = shell(tmp_path, *CALLS[number % len(CALLS)])
        assert code in (0, 2), at
        assert error.getvalue().count("\n") == (code == 2), (at, error.getvalue())
