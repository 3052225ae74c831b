"""What a benchmark does as a script: it measures, and prints its rows as they come."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from harness.result import Outcome, Result, described
from harness.table import head, row


def main(
    rows: Callable[..., Iterable[Result]],
    parts: Sequence[str] = (),
    table: Callable[[], None] | None = None,
) -> None:
    """Runs one benchmark with the arguments of the command line.

    Args:
        rows: takes `quick` and, if there are parts, the names of those to run.
        parts: names that may be given.
        table: prints the longer table of the benchmark's own page.
    """
    script = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(prog=f"{script}.py")
    parser.add_argument("--quick", action="store_true", help="everything smaller: a smoke test")
    parser.add_argument("--results", type=Path, help="a file for the results, for run.py")
    if parts:
        parser.add_argument("part", nargs="*", help=f"of {', '.join(parts)}; all without")
    if table is not None:
        parser.add_argument("--table", action="store_true", help=f"the table of {script}.md")
    given = parser.parse_args()
    chosen = getattr(given, "part", None) or list(parts)
    unknown = [name for name in chosen if name not in parts]
    if unknown:
        parser.error(f"no part is called {unknown[0]!r}; the parts are {', '.join(parts)}")
    if table is not None and given.table:
        table()
        return
    print(head(), flush=True)
    try:
        for result in rows(given.quick, *([chosen] if parts else [])):
            print(row(script, result, verdict=not given.quick), flush=True)
            _write(given.results, dataclasses.asdict(result))
    except Exception as error:
        _write(given.results, {"failure": described(error)})
        raise


def _write(file: Path | None, value: dict[str, object]) -> None:
    if file is not None:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(value) + "\n")


def read(benchmark: str, file: Path, failure: str, seconds: float) -> Outcome:
    """What a script left in its file of results.

    Args:
        benchmark: its name.
        file: which it wrote, or did not come to write.
        failure: how its process failed, if it did; what the script said itself goes before.
        seconds: how long it took.

    Returns:
        The rows, and the failure if there was one.
    """
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    values = [json.loads(line) for line in lines]
    failures = [value["failure"] for value in values if "failure" in value]
    results = [Result(**value) for value in values if "failure" not in value]
    failure = failures[0] if failures else failure
    if not results and not failure:
        failure = "it yielded no rows"
    return Outcome(benchmark, results, failure, seconds)
