"""Tables whose rows are added, as positions: which of their rows stand beside a bias.

A class token and a table of positions meet in one sum: what is added to the token, the table's
first row takes back, and the other rows a patch's bias. So rows of a table are treated as biases of
their own. Rows that stand in the same equations are one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import fx

from toroids.discovery.inference.absorption.equations import equations_of
from toroids.discovery.inference.absorption.run import ADDING, ARRANGING, INDEXING, KEEPING
from toroids.discovery.inference.absorption.terms import Equation, is_bias_like
from toroids.discovery.tracing.operators import operator_name
from toroids.discovery.tracing.program import Program
from toroids.discovery.tracing.sizes import Sizes, other_sizes

# Larger tables are of words, which no known numbers look up; their arrays would be as large.
MOST = 4_000_000
# So many kinds of rows are looked at: more are rows that each meet a row of another table.
KINDS = 64


@dataclass(frozen=True)
class Rows:
    """Some rows of a table, which take a shift together.

    Attributes:
        table: the parameter, by its first name.
        rows: which, its axes but the last flattened.
    """

    table: str
    rows: tuple[int, ...]


def tables_of(programs: Sequence[Program], whole: bool = False) -> dict[str, int]:
    """Finds parameters of which rows are only arranged, looked up, and added.

    Args:
        programs: the traced module, at all sizes.
        whole: whether what happens to rows that were looked up does not count.

    Returns:
        The lengths of their rows, by first name.
    """
    found: dict[str, bool] = {}
    lengths: dict[str, int] = {}
    for program in programs:
        for node in program.graph.graph.nodes:
            source = program.sources.get(node.name) if node.op == "placeholder" else None
            if source is None or source.kind != "parameter" or not node.users:
                continue
            value = source.value
            wide = value.is_floating_point() and value.ndim > 1 and value.shape[-1] > 1
            if wide and not is_bias_like(value) and (whole or value.numel() <= MOST):
                found[source.name] = found.get(source.name, True) and _is_added(node, whole)
                lengths[source.name] = value.shape[-1]
    return {name: lengths[name] for name, added in found.items() if added}


def _is_added(node: fx.Node, whole: bool) -> bool:
    """Whether a value is only arranged until it is added to something, or looked up."""
    for user in node.users:
        name = operator_name(user) if user.op == "call_function" else ""
        if name in ADDING or name.startswith("aten::sym_") or user.meta.get("val") is None:
            continue
        looked_up = name in INDEXING and user.args[0] is node
        if looked_up and whole:
            continue
        if not (looked_up or name in ARRANGING or name in KEEPING) or not _is_added(user, whole):
            return False
    return True


def row_equations(
    programs: Sequence[Program], conditions: Iterable[str]
) -> tuple[list[Equation], dict[str, Rows]]:
    """States where a traced module would see what is added to its biases, and to rows of tables.

    Args:
        programs: the traced module, at all sizes.
        conditions: buffers that hold what they held when they were traced.

    Returns:
        The equations at two sizes each, in which kinds of rows have names of their own, and what
        these stand for; nothing where no row stands beside a bias.
    """
    tables = frozenset(tables_of(programs))
    known = frozenset(conditions)
    if not tables:
        return [], {}
    first = equations_of(programs[0], tables=tables, conditions=known)
    if not _beside_biases(first or ()):  # most networks are seen to have none at one size
        return [], {}
    found = [own for program in programs for own in _at_two_sizes(program, tables, known)]
    if any(own is None for own in found):
        return [], {}
    equations = [e for own in found for e in own or ()]
    kinds = _kinds(equations, _beside_biases(equations))
    always = [_read(own or ()) for own in found]
    for table, own in kinds.items():  # longer inputs may read more of what only some of them read
        kinds[table] = {
            name: rows for name, rows in own.items()
            if all(set(rows.rows) <= read.get(table, set()) for read in always)
        }  # fmt: skip
    equations = [told for e in equations for told in _told_apart(e, kinds)]
    return equations, {name: rows for own in kinds.values() for name, rows in own.items()}


def _at_two_sizes(
    program: Program, tables: frozenset[str], conditions: frozenset[str]
) -> Iterator[list[Equation] | None]:
    """The equations at the traced size and, of open lengths, at another; None where they fail."""
    yield equations_of(program, Sizes(program), tables, conditions)
    longer = other_sizes(program)
    if not longer:
        return
    shorter = {axis: program.example.size(axis) - 1 for axis in longer}
    for sizes in (longer, shorter) if min(shorter.values()) > 1 else (longer,):
        try:
            yield equations_of(program, Sizes(program, sizes), tables, conditions)
            return
        except Exception:  # whatever it is, as a table that is too short for the length
            continue
    yield None


def _read(equations: Sequence[Equation]) -> dict[str, set[int]]:
    """The rows of every table that are read at one size."""
    found: dict[str, set[int]] = {}
    for equation in equations:
        for part in equation:
            if part.rows is not None:
                found.setdefault(part.source, set()).update(part.rows)
    return found


def _beside_biases(equations: Sequence[Equation]) -> set[str]:
    """The tables that meet biases, or other tables that do."""
    near: set[str] = set()
    while True:
        more = {
            part.source
            for equation in equations
            for part in equation
            if part.rows is not None
            and any(other.rows is None or other.source in near for other in equation)
        }
        if more <= near:
            return near
        near |= more


def _kinds(equations: Sequence[Equation], tables: set[str]) -> dict[str, dict[str, Rows]]:
    """For every table its rows by the equations in which they stand."""
    stands: dict[str, dict[int, list[int]]] = {}
    for number, equation in enumerate(equations):
        for part in equation:
            for row in part.rows if part.source in tables and part.rows is not None else ():
                stands.setdefault(part.source, {}).setdefault(row, []).append(number)
    found: dict[str, dict[str, Rows]] = {}
    for table, rows in stands.items():
        alike: dict[tuple[int, ...], list[int]] = {}
        for row, numbers in sorted(rows.items()):
            alike.setdefault(tuple(numbers), []).append(row)
        if len(alike) <= KINDS:
            found[table] = {
                f"{table} rows {kind}": Rows(table, tuple(own))
                for kind, own in enumerate(alike.values())
            }
    return found


def _told_apart(equation: Equation, kinds: Mapping[str, Mapping[str, Rows]]) -> list[Equation]:
    """One equation for every kind of rows; to tables of which none may move nothing is added."""
    found: list[list[Any]] = [[]]
    for part in equation:
        if part.rows is None:
            found = [[*parts, part] for parts in found]
            continue
        here = [n for n, own in kinds.get(part.source, {}).items() if own.rows[0] in part.rows]
        told = [replace(part, source=name, rows=None) for name in here]
        told_of = {row for name in here for row in kinds[part.source][name].rows}
        beside = found if set(part.rows) - told_of else []  # rows to which nothing is added
        found = [[*parts, new] for parts in found for new in told] + beside
    return [tuple(parts) for parts in found if parts]
