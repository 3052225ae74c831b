"""How much memory an action takes; on Linux only."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Writing 5 there forgets the peak so far.
PEAK = Path("/proc/self/clear_refs")
MEASURABLE = PEAK.exists()


def peak(action: Callable[[], object]) -> int:
    """The most bytes that an action holds beyond what is held before it."""
    PEAK.write_text("5")
    before = status("VmRSS")
    action()
    return status("VmHWM") - before


def status(key: str) -> int:
    """Bytes that the system reports of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))


def apart(script: str, *arguments: str, give_back: bool = True) -> Any:
    """What a script prints as JSON, run in a process of its own.

    Args:
        script: its file.
        arguments: for it.
        give_back: freed blocks go back to the system at once; those that the allocator keeps would
            hide a peak, or make one.

    Returns:
        The value.
    """
    environment = {"MALLOC_MMAP_THRESHOLD_": "65536"} if give_back else {}
    found = subprocess.run(
        [sys.executable, script, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(found.stdout)
