"""Which runs lie in a folder, and how far they are."""

import os
from dataclasses import dataclass
from pathlib import Path

from toroids.arguments.checked import checked
from toroids.errors import ToroidsError
from toroids.study.store import MANIFEST, Store, tasks_of


@dataclass(frozen=True)
class Listed:
    """One run in a folder of runs.

    See `run_study` for an example.

    Attributes:
        folder: where it is.
        study: its name.
        tasks: how many it has.
        done: how many are done.
        failed: how many failed when it was run last.
        finished: whether nothing is left to do.
        note: why it cannot be read; empty where it can.
    """

    folder: Path
    study: str
    tasks: int
    done: int
    failed: int
    finished: bool
    note: str = ""


@checked
def list_runs(root: str | Path = "runs") -> tuple[Listed, ...]:
    """Lists the runs in a folder, by name.

    See `run_study` for an example.

    Args:
        root: the folder that holds the runs.

    Returns:
        One entry per run, also of those that cannot be read.

    Raises:
        ToroidsError: there is no such folder.
    """
    root = Path(root)
    if not os.path.isdir(root):
        raise ToroidsError(f"there is no folder `{root}`; name the one that holds your runs.")
    folders = sorted(path.parent for path in root.glob(f"*/{MANIFEST}"))
    return tuple(_listed(folder) for folder in folders)


def _listed(folder: Path) -> Listed:
    store = Store(folder)
    try:
        manifest = store.manifest()
        tasks = list(tasks_of(manifest))
        done = sum(store.result(task) is not None for task in tasks)
    except (ToroidsError, OSError) as error:  # one run must not hide the others
        return Listed(folder, folder.name, 0, 0, 0, finished=False, note=str(error))
    failed = len(manifest.failures)
    return Listed(folder, manifest.study, len(tasks), done, failed, manifest.finished)
