"""Runs of a second to explore: of real networks in two architectures, and of binary ones."""

import threading
from contextlib import contextmanager

from toroids.design.config import StudyConfig
from toroids.explore.answers import Answers
from toroids.explore.server import ExploreServer
from toroids.study.opened import open_run
from toroids.study.run import run_study

REAL = {
    "name": "small",
    "seeds": [0, 1, 2],
    "data": {"name": "digits", "train": 100},
    "networks": {
        "mlp": {"model": "fully_connected", "hidden": [12]},
        "deep": {"model": "fully_connected", "hidden": [8, 8]},
    },
    "solvers": {
        "sgd": {"method": "sgd", "budget": 3},
        "replicated_sgd": {"method": "replicated_sgd", "budget": 3},
    },
    "flatness": {"sigmas": [0.0, 0.5], "samples": 3},
    "profiles": {"points": 5, "across": 1},
    "sections": {"count": 1, "resolution": 5},
}
BINARY = REAL | {
    "name": "bits",
    "seeds": [0, 1],
    "networks": {"bits": {"model": "binary_fully_connected", "hidden": [21]}},
    "flatness": {"sigmas": [0.0, 0.05], "reference": 0.05, "samples": 3},
    "profiles": {"points": 5, "across": 1, "orders": 2, "blocks": 4},
    "sections": {"count": 0, "resolution": 4},
}


def make_run(settings, folder):
    return run_study(StudyConfig.model_validate(settings), folder / settings["name"])


@contextmanager
def serving(folder, port=0):
    with ExploreServer(Answers(open_run(folder)), port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)
