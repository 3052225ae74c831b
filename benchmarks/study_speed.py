"""Times the default study on two processes beside the same study in one.

Run it with `python benchmarks/study_speed.py`. Every run trains, aligns and measures everything in
studies/digits.toml anew, in a folder of its own, one thread per task; the start of the processes is
part of the time, the report is not. Speed is in tasks per second of the clock, in turn. The goal,
1.7 times the speed with two workers, can only be met where two cores are free.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.result import Result
from harness.script import main
from harness.timing import interleaved

from toroids.design.config import StudyConfig, load_config
from toroids.study.engines.choose import make_engine
from toroids.study.engines.cores import usable_cores
from toroids.study.plan import make_plan
from toroids.study.run import run_study

STUDY = Path(__file__).parents[1] / "studies" / "digits.toml"
WORKERS = 2
SHORT: dict[str, Any] = {
    "seeds": [0, 1],
    "flatness": {"sigmas": [0.5], "samples": 8, "reference": 0.5},
    "bends": {"count": 1, "steps": 200},
    "sections": {"count": 0},
}


def study(quick: bool) -> StudyConfig:
    """The default study, or one with fewer networks and shorter measurements."""
    config = load_config(STUDY)
    if not quick:
        return config
    whole = config.model_dump(mode="json")
    solvers = {name: whole["solvers"][name] for name in ("sgd", "replicated_sgd")}
    return StudyConfig.model_validate(whole | SHORT | {"solvers": solvers})


def rows(quick: bool) -> Iterator[Result]:
    """The speed of both engines."""
    config = study(quick)
    tasks = len(make_plan(config).tasks)

    def run(name: str, workers: int | None) -> None:
        with tempfile.TemporaryDirectory() as folder, make_engine(name, workers) as engine:
            run_study(config, Path(folder) / "run", engine=engine)

    times = interleaved(
        {
            "processes": lambda: run("processes", WORKERS),
            "in process": lambda: run("in-process", None),
        },
        1 if quick else 3,
        time.perf_counter,
        warm_up=False,
    )
    speeds = {name: [tasks / found for found in values] for name, values in times.items()}
    cores = usable_cores()
    yield Result(
        f"study, {tasks} tasks, --engine processes, {WORKERS} workers", "tasks / s",
        speeds["processes"], "in process", speeds["in process"], goal=1.7, at_least=True,
        note="" if cores >= WORKERS else f"only {cores} core may be used",
    )  # fmt: skip


if __name__ == "__main__":
    main(rows)
