"""How much of a network may be changed until its child is no longer told as a relative.

Run it with `python benchmarks/compare_power.py`, with names of families for some of them only: it
makes children of one parent of every family by more and more of each kind of edit, compares them,
and writes benchmarks/compare_power.json anew for these families. `--draw` only draws
docs/compare_power.svg from that file, and prints its table.
"""

import json
import sys
from collections.abc import Callable
from html import escape
from pathlib import Path

from harness import lineage
from harness.lineage import Family

import toroids as td
from toroids.compare.scale import shipped

HERE = Path(__file__).parent
NUMBERS, FIGURE = HERE / "compare_power.json", HERE.parent / "docs" / "compare_power.svg"
Edit = Callable[[Family, td.Params, td.Params, float], td.Params]
EDITS: dict[str, tuple[Edit, tuple[float, ...]]] = {
    "trained on, share of the training": (
        lambda f, a, _, x: lineage.tuned(f, a, x), (0.03, 0.3, 1, 3)
    ),
    "pruned, share": (lambda f, a, _, x: lineage.pruned(a, x), (0.5, 0.7, 0.8, 0.9)),
    "quantised, bits": (lambda f, a, _, x: lineage.quantised(a, int(x)), (4, 3, 2)),
    "low-rank update, share of the training": (
        lambda f, a, _, x: lineage.low_rank(f, a, x), (0.25, 1)
    ),
    "averaged, share of a stranger": (
        lambda f, a, b, x: lineage.averaged(a, b, x), (0.3, 0.4, 0.5, 0.6)
    ),
    "distilled, share of tensors kept": (
        lambda f, a, _, x: lineage.distilled(f, a, x), (0.5, 0.25, 0)
    ),
}  # fmt: skip
WIDTH, HEIGHT, LEFT, TOP = 270, 150, 46, 34
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")


def measured(family: Family) -> dict[str, list[list[object]]]:
    """By kind of edit one row per amount: the amount, the verdict, mean and peak beyond chance."""
    a, b = (lineage.parent(family, seed) for seed in (0, 1))
    found: dict[str, list[list[object]]] = {}
    for kind, (make, amounts) in EDITS.items():
        rows = found.setdefault(kind, [])
        for amount in amounts:
            seen = td.compare(family.group, a, make(family, a, b, amount))
            beyond = seen.score if seen.beyond is None else seen.beyond
            rows.append([amount, seen.verdict, round(beyond.mean, 4), round(beyond.peak, 4)])
    print(f"{family.name}: done", file=sys.stderr, flush=True)
    return found


def table(numbers: dict[str, dict[str, list[list[object]]]]) -> list[str]:
    """A Markdown table: verdicts and means beyond chance, one column per family."""
    lines = [f"| edit | how much | {' | '.join(numbers)} |", "|---" * (len(numbers) + 2) + "|"]
    for kind in EDITS:
        for row in zip(*(found[kind] for found in numbers.values()), strict=True):
            cells = " | ".join(f"{verdict}, {mean:.2f}" for _, verdict, mean, _ in row)
            lines.append(f"| {kind} | {row[0][0]:g} | {cells} |")
    return lines


def drawn(numbers: dict[str, dict[str, list[list[object]]]]) -> str:
    """The same as a picture in SVG: filled where the verdict is "related"."""
    limit = shipped().limit("mean", True)
    columns, rows = 3, -(-len(EDITS) // 3)
    width, height = columns * (WIDTH + 24), rows * (HEIGHT + 78) + 26
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="11" fill="#333">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for number, kind in enumerate(EDITS):
        x, y = (number % columns) * (WIDTH + 24), (number // columns) * (HEIGHT + 78)
        parts += [f'<g transform="translate({x},{y})">', *_panel(kind, numbers, limit), "</g>"]
    for number, name in enumerate(numbers):
        x = LEFT + 110 * number
        parts.append(
            f'<circle cx="{x}" cy="{height - 14}" r="4" fill="{COLOURS[number]}"/>'
            f'<text x="{x + 8}" y="{height - 10}">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _panel(
    kind: str, numbers: dict[str, dict[str, list[list[object]]]], limit: object
) -> list[str]:
    amounts = EDITS[kind][1]
    step = (WIDTH - LEFT - 10) / max(len(amounts) - 1, 1)

    def height(value: float) -> float:
        return TOP + HEIGHT * (1 - max(value, 0))

    parts = [f'<text x="{LEFT}" y="20" font-weight="bold">{escape(kind)}</text>']
    for value in (0, 0.5, 1):
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH}" y1="{height(value)}" y2="{height(value)}" '
            f'stroke="#ddd"/><text x="{LEFT - 6}" y="{height(value) + 4}" '
            f'text-anchor="end">{value:g}</text>'
        )
    for value, label in ((limit.related, "related"), (limit.strangers, "strangers")):  # type: ignore[attr-defined]
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH}" y1="{height(value):.1f}" y2="{height(value):.1f}" '
            f'stroke="#888" stroke-dasharray="3 3"><title>{label}</title></line>'
        )
    for place, amount in enumerate(amounts):
        parts.append(
            f'<text x="{LEFT + place * step}" y="{TOP + HEIGHT + 16}" '
            f'text-anchor="middle">{amount:g}</text>'
        )
    for number, found in enumerate(numbers.values()):
        places = [(LEFT + i * step, height(row[2])) for i, row in enumerate(found[kind])]  # type: ignore[arg-type]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        colour = COLOURS[number]
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}"/>')
        for (x, y), row in zip(places, found[kind], strict=True):
            told = row[1] in ("related", "same function")
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" stroke="{colour}" '
                f'fill="{colour if told else "#fff"}"/>'
            )
    return parts


def main(arguments: list[str]) -> None:
    """Measures, unless told only to draw; then draws and prints the table."""
    numbers = json.loads(NUMBERS.read_text()) if NUMBERS.exists() else {}
    families = lineage.families()
    if "--draw" not in arguments:
        for family in families:
            if not arguments or family.name in arguments:
                numbers[family.name] = measured(family)
                text = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in numbers.items())
                NUMBERS.write_text(f"{{{text}}}\n")
    numbers = {family.name: numbers[family.name] for family in families if family.name in numbers}
    FIGURE.write_text(drawn(numbers))
    print("\n".join(table(numbers)))


if __name__ == "__main__":
    main(sys.argv[1:])
