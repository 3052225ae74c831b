"""On what and with what a table was measured."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import torch

from toroids.study.engines.cores import usable_cores

PACKAGES = ("torch", "numpy", "scipy", "rebasin", "loss-landscapes")


def machine() -> list[tuple[str, str]]:
    """What the machine is, as pairs of a word and a value."""
    return [
        ("CPU", f"{_cpu()}, {usable_cores()} cores usable"),
        ("memory", _memory()),
        ("GPU", _gpu()),
        ("system", f"{platform.system()} {platform.machine()}"),
        ("Python", platform.python_version()),
        ("toroids", f"{_version('toroids')}, {_commit()}"),
        *((name, _version(name)) for name in PACKAGES),
    ]


def load() -> str:
    """How busy the machine is, as the mean number of running processes over a minute."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"
    except (AttributeError, OSError, ValueError):  # not on every system
        return "unknown"


def _gpu() -> str:
    if not torch.cuda.is_available():
        return "none"
    return f"{torch.cuda.get_device_name()} (not used: every benchmark runs on the CPU)"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    def git(*command: str) -> str:
        found = subprocess.run(
            ["git", *command], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
        return found.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "../../src", "..")
        return f"commit {git('rev-parse', '--short', 'HEAD')}{' with changes' if changed else ''}"
    except (OSError, subprocess.CalledProcessError):
        return "no commit known"
