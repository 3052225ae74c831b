from dataclasses import replace

import pytest
from synthetic_rows import synthetic_rows

from toroids.report.study import Study


@pytest.fixture(scope="session")
def finished():
    """Rows of a finished study of one architecture."""
    return synthetic_rows(seeds=4)


@pytest.fixture(scope="session")
def signs():
    """Rows of a finished study of binary networks."""
    return synthetic_rows(seeds=4, binary=True)


@pytest.fixture(scope="session")
def interrupted():
    """Rows of two architectures, not finished: networks diverged, tasks failed, others to do."""
    rows = synthetic_rows(("mlp", "lenet"), seeds=4, diverged=1, failed=2, finished=False)
    *others, run = rows
    return [*others, replace(run, tasks={**run.tasks, "bend": run.tasks["bend"] + 70})]


def of(rows):
    """The only, or the first, architecture of a study."""
    return Study(rows).architectures[0]


@pytest.fixture(scope="session")
def mlp(finished):
    return of(finished)


@pytest.fixture(scope="session")
def binary(signs):
    return of(signs)
