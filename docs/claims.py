"""Writes into docs/studies.md which claims hold in which study, from the runs.

Run it with `python docs/claims.py runs/digits runs/digits-conv ...`, after `toroids study` of each.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from toroids.report.text import label
from toroids.statistics.row import Row
from toroids.study import read_rows

PAGE = Path(__file__).with_name("studies.md")
BEGIN, END = "<!-- claims table -->", "<!-- end of claims table -->"


def columns(folders: list[str]) -> dict[str, dict[str, Row]]:
    """The claims of every architecture of every run, by a name for both."""
    found: dict[str, dict[str, Row]] = {}
    for folder in folders:
        rows = read_rows(folder)
        for row in rows:
            if row["kind"] == "claim":
                name = f"{Path(folder).name}: {label(row['architecture'])}"
                found.setdefault(name, {})[row["claim"]] = row
    return found


def made(folder: str) -> str:
    """How a run was made, in one line."""
    run = read_rows(folder)[-1]
    seconds = sum(run["task_seconds"].values())
    versions = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    done = f"{run['done']} of {sum(run['tasks'].values())} tasks"
    return (
        f"`{Path(folder).name}`: {done}, {seconds / 60:.0f} minutes of computing on one core each, "
        f"on {run['machine']} ({versions})."
    )


def written(folders: list[str]) -> Iterator[str]:
    """The lines of the table, of the reasons, and of how the runs were made."""
    found = columns(folders)
    claims = [f"R{number}" for number in range(1, 9)]
    yield "| claim | " + " | ".join(found) + " |"
    yield "|---" * (len(found) + 1) + "|"
    for claim in claims:
        statement = next(iter(found.values()))[claim]["statement"].rstrip(".")
        cells = [column[claim]["verdict"] for column in found.values()]
        yield f"| {claim}: {statement} | " + " | ".join(cells) + " |"
    for name, column in found.items():
        yield f"\n**{name}**\n"
        yield from (
            f"- {claim}, {column[claim]['verdict']}: {column[claim]['reason']}" for claim in claims
        )
    yield "\nHow the runs were made:\n"
    yield from (f"- {made(folder)}" for folder in folders)


def main() -> None:
    """Replaces the table of the page."""
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2] or rest
    table = "\n".join(written(sys.argv[1:]))
    PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}")


if __name__ == "__main__":
    main()
