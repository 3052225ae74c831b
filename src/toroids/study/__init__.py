"""Studies: data, networks, solvers and seeds from a TOML file to rows, claims and tables."""

import importlib
from typing import TYPE_CHECKING, Any

from toroids.extras import check_extra

if TYPE_CHECKING:
    from toroids.design.config import StudyConfig, load_config
    from toroids.study.engines.choose import make_engine
    from toroids.study.export import export_run
    from toroids.study.listing import Listed, list_runs
    from toroids.study.opened import OpenRun, open_run
    from toroids.study.plan import Plan, make_plan
    from toroids.study.rows import read_rows
    from toroids.study.run import run_study
    from toroids.study.tables import make_tables
    from toroids.study.work import Work, estimate

__all__ = [
    "Listed",
    "OpenRun",
    "Plan",
    "StudyConfig",
    "Work",
    "estimate",
    "export_run",
    "list_runs",
    "load_config",
    "make_engine",
    "make_plan",
    "make_tables",
    "open_run",
    "read_rows",
    "run_study",
]

check_extra("a study", "study", "filelock", "threadpoolctl")

# Where the names are. They are imported when they are first asked for: a worker, which imports its
# own module from this package, must not wait for the statistics.
_HOMES = {
    "design.config": ("StudyConfig", "load_config"),
    "study.plan": ("Plan", "make_plan"),
    "study.engines.choose": ("make_engine",),
    "study.work": ("Work", "estimate"),
    "study.export": ("export_run",),
    "study.listing": ("Listed", "list_runs"),
    "study.opened": ("OpenRun", "open_run"),
    "study.rows": ("read_rows",),
    "study.run": ("run_study",),
    "study.tables": ("make_tables",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"toroids.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
