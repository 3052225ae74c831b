"""Where the report of a run goes."""

from pathlib import Path

from toroids.files.seal import check_ours
from toroids.study.store import REPORT


def report_place(folder: str | Path, force: bool = False) -> Path:
    """Names the report of a run, and raises, before long work, unless it may be written.

    Args:
        folder: of the run.
        force: whether a page that somebody has changed is replaced.

    Returns:
        The page's path.

    Raises:
        ConfigError: somebody has changed the page.
    """
    path = Path(folder) / REPORT
    if not force:
        check_ours(path, "move it away, or pass force=True to replace it")
    return path
