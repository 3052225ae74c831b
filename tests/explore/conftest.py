import pytest
from explore.runs import BINARY, REAL, make_run, serving


@pytest.fixture(scope="session")
def real(tmp_path_factory):
    return make_run(REAL, tmp_path_factory.mktemp("explore"))


@pytest.fixture(scope="session")
def binary(tmp_path_factory):
    return make_run(BINARY, tmp_path_factory.mktemp("explore"))


@pytest.fixture(scope="module")
def server(real):
    with serving(real) as server:
        yield server


@pytest.fixture(scope="module")
def binary_server(binary):
    with serving(binary) as server:
        yield server
