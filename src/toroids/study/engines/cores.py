"""How many cores this process may use."""

import os
from pathlib import Path

# Where control groups, version 2 and 1, say how much processor time a container gets.
QUOTA = Path("/sys/fs/cgroup/cpu.max")
OLD_QUOTA, OLD_PERIOD = (Path(f"/sys/fs/cgroup/cpu/cpu.cfs_{x}_us") for x in ("quota", "period"))


def usable_cores() -> int:
    """Counts the cores that this process may use: its affinity, and its container's quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = _quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def _quota() -> float | None:
    try:
        if QUOTA.exists():
            quota, period = QUOTA.read_text().split()
        else:
            quota, period = OLD_QUOTA.read_text(), OLD_PERIOD.read_text()
        share = int(quota) / int(period)
    except (OSError, ValueError):  # no control groups, or "max": no limit
        return None
    return share if share > 0 else None  # version 1 says -1 where there is no limit
