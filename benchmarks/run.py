"""Runs all benchmarks and writes their one table to benchmarks/README.md.

Run it with `make bench [BENCH=--quick]`, which installs the peers, or with the options below, as
`python benchmarks/run.py`. Every benchmark runs in a process of its own, one after the other: none
finds the memory, the threads or the failure of another. `--quick` makes everything smaller, as a
smoke test; `--only NAME` runs one. Either writes no page, unless `--out FILE` names one. The exit
code is 1 if a benchmark failed.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.machine import load, machine
from harness.result import Outcome
from harness.script import read
from harness.table import table

HERE = Path(__file__).resolve().parent
PAGE = HERE / "README.md"
BENCHMARKS = (
    "discovery",
    "canonical_form",
    "align_speed",
    "align_quality",
    "ways",
    "align_many",
    "align_memory",
    "large",
    "language_models",
    "compare",
    "landscape_speed",
    "section",
    "binary_flips",
    "solvers",
    "solver_flatness",
    "study_speed",
)
# Seconds for one benchmark, several times what the longest takes.
LIMIT = 7200

TEXT = """# The table of all benchmarks

Written by `{command}` on {when}, in {minutes:.0f} minutes; the load of
the machine was {before} before and {after} after.{quick}

| | |
|---|---|
{machine}

Every row was measured beside its peer, or beside the least work or the limit that it is held to, in
the same run. Figures are medians, with the least and the largest value in brackets; *runs* counts
them (what a value belongs to, if not to a repetition, is said in the note); *ratio* is that of the
medians, toroids to what stands beside it, and *goal* what it should be. *CPU s* are seconds of the
processor on one thread, *s* those of the clock.

{table}

What is behind the rows, and what was measured on other days:

{pages}
"""
QUICK = """ **A smoke test: everything is reduced in size, few runs; no figure
here is a benchmark.**"""


def run(name: str, quick: bool = False, folder: Path = HERE, limit: float = LIMIT) -> Outcome:
    """Runs one benchmark as a script; whatever happens to it is in what comes back.

    Args:
        name: of its file, without the ending.
        quick: everything smaller.
        folder: where the file is.
        limit: seconds after which it is ended.

    Returns:
        Its rows, and the failure if there was one.
    """
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        results, errors = Path(scratch) / "results.jsonl", Path(scratch) / "errors"
        command = [sys.executable, str(folder / f"{name}.py"), "--results", str(results)]
        try:
            with errors.open("w") as written:
                ended = subprocess.run(
                    [*command, *(["--quick"] if quick else [])], timeout=limit, stderr=written
                )
            failure = f"its process ended with {ended.returncode}" if ended.returncode else ""
        except subprocess.TimeoutExpired:
            failure = f"not ended after {limit:g} s"
        lines = errors.read_text(encoding="utf-8", errors="replace").splitlines()
        print(*lines, sep="\n", end="\n" if lines else "", file=sys.stderr)
        if failure and lines:
            failure += f", its last words: {lines[-1]}"
        return read(name, results, failure, time.monotonic() - begun)


def page(outcomes: Sequence[Outcome], command: str, quick: bool, before: str) -> str:
    """The page with the table.

    Args:
        outcomes: what the benchmarks left.
        command: that ran them.
        quick: they were reduced.
        before: the load of the machine when they began.

    Returns:
        Markdown.
    """
    return TEXT.format(
        command=command,
        when=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        minutes=sum(outcome.seconds for outcome in outcomes) / 60,
        before=before,
        after=load(),
        quick=QUICK if quick else "",
        machine="\n".join(f"| {word} | {value} |" for word, value in machine()),
        table=table(outcomes, verdict=not quick, link=link),
        pages="\n".join(f"- [{title(path)}]({path.name})" for path in pages()),
    )


def pages() -> list[Path]:
    """The pages of single benchmarks."""
    return [path for path in sorted(HERE.glob("*.md")) if path != PAGE]


def title(path: Path) -> str:
    """The title of a page."""
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def link(name: str) -> str:
    """The name of a benchmark, linked to its page or, without one, to its file."""
    target = next(file for file in (f"{name}.md", f"{name}.py", "") if (HERE / file).exists())
    return f"[{name}]({target})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what the arguments say.

    Args:
        arguments: those of the command line without it.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="everything smaller: a smoke test")
    parser.add_argument(
        "--only", action="append", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS)
    )
    parser.add_argument("--out", type=Path, help="the page; README.md beside this file, if all run")
    given = parser.parse_args(arguments)
    before, outcomes = load(), []
    for name in given.only or BENCHMARKS:
        print(f"\n{name}:", flush=True)
        outcomes.append(run(name, given.quick))
        print(outcomes[-1].failure or "done", f"in {outcomes[-1].seconds:.0f} s", flush=True)
    out = given.out or (None if given.quick or given.only else PAGE)
    if out is not None:
        words = sys.argv[1:] if arguments is None else arguments
        command = " ".join(["python benchmarks/run.py", *words])
        out.write_text(page(outcomes, command, given.quick, before), encoding="utf-8")
        print(f"\nthe table is in {out}")
    failed = [outcome for outcome in outcomes if outcome.failure]
    for outcome in failed:
        print(f"{outcome.benchmark} failed: {outcome.failure}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
