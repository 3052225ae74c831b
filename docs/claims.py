"""Writes into docs/studies.md which claims hold in a study, from its run.

Run it with `python docs/claims.py runs/digits runs/text ...`, after `toroids study` of each; what
the page says of other studies stays.
"""

import re
import sys
from pathlib import Path

from toroids.report.text import label
from toroids.statistics.claims.verdict import Claim
from toroids.study.rows import Run, read_rows

PAGE = Path(__file__).with_name("studies.md")
BEGIN, END = "<!-- claims table -->", "<!-- end of claims table -->"
CLAIMS = [f"R{number}" for number in range(1, 9)]
HEAD = f"| study: networks | {' | '.join(CLAIMS)} |\n{'|---' * (len(CLAIMS) + 1)}|\n"
REASONS = re.compile(r"<details markdown=\"1\"><summary>(.*?)</summary>\n.*?</details>\n", re.S)


def run_of(folder: str) -> dict[str, str]:
    """What the page says of a run: by the first words of its entry, the entry."""
    rows = read_rows(folder)
    (run,) = (row for row in rows if isinstance(row, Run))
    name = Path(folder).name
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for row in rows:
        if isinstance(row, Claim):
            claims = found.setdefault(f"{name}: {label(row.architecture)}", {})
            claims[row.claim] = row.verdict, row.reason
    entries = {}
    for networks, claims in found.items():
        verdicts = " | ".join(claims[claim][0] for claim in CLAIMS)
        entries[f"| {networks} |"] = f"| {networks} | {verdicts} |\n"
        reasons = "".join(f"- {c}, {claims[c][0]}: {claims[c][1]}\n" for c in CLAIMS)
        entries[f"<details {networks}"] = (
            f'<details markdown="1"><summary>{networks}</summary>\n\n{reasons}\n</details>\n'
        )
    versions = ", ".join(f"{name} {number}" for name, number in run.versions.items())
    minutes = sum(run.task_seconds.values()) / 60
    entries[f"- `{name}`:"] = (
        f"- `{name}`: {run.done} of {sum(run.tasks.values())} tasks, {minutes:.0f} minutes "
        f"of computing on one core each, on {run.machine} ({versions}).\n"
    )
    return entries


def entries_of(text: str) -> dict[str, str]:
    """What the page says so far, as `run_of` gives it."""
    table = text.partition(HEAD)[2]
    entries = {line[1]: line[0] for line in re.finditer(r"^(\| [^|]+ \|).*\n", table, re.M)}
    entries |= {f"<details {found[1]}": found[0] for found in REASONS.finditer(text)}
    return entries | {line[1]: line[0] for line in re.finditer(r"^(- `[^`]+`:).*\n", text, re.M)}


def written(entries: dict[str, str]) -> str:
    """The part of the page between its marks."""
    rows, reasons, runs = (
        [text for start, text in entries.items() if start.startswith(kind)]
        for kind in ("|", "<details", "- ")
    )
    return (
        f"{HEAD}{''.join(rows)}\nEvery verdict with its numbers and their 95 % intervals:\n\n"
        f"{chr(10).join(reasons)}\nHow the runs were made:\n\n{''.join(runs)}"
    )


def main() -> None:
    """Replaces what the page says of the runs."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    known, _, after = rest.partition(END)
    entries = entries_of(known)
    for folder in sys.argv[1:]:
        name = Path(folder).name
        entries = {
            start: text
            for start, text in entries.items()
            if not re.match(rf"(\| |<details |- `){re.escape(name)}[:`]", start)
        } | run_of(folder)
    PAGE.write_text(f"{before}{BEGIN}\n\n{written(entries)}\n{END}{after}")


if __name__ == "__main__":
    main()
