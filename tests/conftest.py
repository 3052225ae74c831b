import gc
import logging
import os
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# Reproducible in CI: the same examples every time, and no limit on one example's wall time. Few, as
# every law is tested on many networks.
settings.register_profile("toroids", derandomize=True, deadline=None, max_examples=4)
settings.register_profile("long", settings.get_profile("toroids"), max_examples=16)
settings.load_profile("toroids")

HERE = Path(__file__).parent
# What `make check` leaves out: files and folders that take more than a few seconds.
SLOW = tuple(
    (
        "align/test_binary.py align/test_exact.py align/test_fresh.py align/test_loss.py "
        "align/test_many.py align/test_methods.py align/test_sketch.py align/test_trunk.py "
        "align/test_zoo.py canonical/test_circles.py canonical/test_signs.py "
        "canonical/test_zoo.py checkpoint/test_memory.py checkpoint/test_names.py cli compare "
        "discovery/audit discovery/inference/test_absorbed.py discovery/inference/test_ties.py "
        "discovery/matrices/test_rotations.py discovery/test_ discovery/tracing explore "
        "landscape/test_bending.py landscape/test_connect.py landscape/test_curvature.py "
        "landscape/test_flatness.py landscape/test_flips.py landscape/test_median.py "
        "landscape/test_orders.py landscape/test_parts.py laws models operators probe report "
        "solvers study test_"
    ).split()
)

# An eighth of the time went into looking for garbage among what stays for good.
gc.set_threshold(20_000, 20, 20)
torch.set_num_threads(1)  # these networks are too small to gain from a second thread

# PyTorch writes down every step of every trace, which would bury what a failed test has to say.
logging.getLogger("torch.__trace").disabled = True

# A shell makes what it runs in the background ignore Ctrl-C, `nohup` that a terminal is gone, and
# with them all that tests start.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (getattr(signal, "SIGHUP", None), signal.SIG_DFL),
):
    if number is not None and signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


def pytest_configure(config):
    settings.load_profile("long" if config.getoption("--long") else "toroids")


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="test all public networks, not a sample")
    parser.addoption("--device", default="cpu", help="run the tests on this device: cpu or cuda")
    parser.addoption(
        "--operators",
        default="sample",
        help="operators of PyTorch's database to test: all, or names",
    )
    parser.addoption(
        "--generated", type=int, default=12, help="how many random modules discovery is tested on"
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """One process more than there are cores: some tests wait, for Ray and for a browser."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else None


@pytest.fixture(scope="session")
def device(request):
    name = request.config.getoption("--device")
    if name.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return torch.device(name)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """Seeds torch before a test file is read: its networks must not depend on other files."""
    if isinstance(collector, pytest.Module):
        torch.manual_seed(0)
    return (yield)


@pytest.fixture(autouse=True)
def _seeded():
    """Seeds torch before every test: no test depends on which ran before it."""
    torch.manual_seed(0)


def pytest_collection_modifyitems(config, items):
    """Runs the examples first, of which some take a minute: at the end one core would wait."""
    items.sort(key=lambda item: item.path.name != "test_examples.py")
    if not config.getoption("--long"):
        some, rest = [], []
        for item in items:
            (rest if item.get_closest_marker("long") else some).append(item)
        config.hook.pytest_deselected(items=rest)
        items[:] = some
    for item in items:
        if item.path.is_relative_to(HERE) and _is_slow(item.path.relative_to(HERE).as_posix()):
            item.add_marker(pytest.mark.slow)


def _is_slow(path):
    return path.startswith(SLOW)


def pytest_collection_finish(session):
    """Raises where what is marked to run in one process would not: networks are found once."""
    gc.collect()
    gc.freeze()  # modules and tests
    grouped = [item for item in session.items if item.get_closest_marker("xdist_group")]
    if getattr(session.config.option, "loadgroup", False) and any(
        "@" not in item.nodeid for item in grouped
    ):
        raise pytest.UsageError(
            "pytest and pytest-xdist do not fit together: groups are not kept; install what "
            "pyproject.toml asks for."
        )


pytest_plugins = ["small_study"]
