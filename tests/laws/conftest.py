import pytest
from laws.networks import NETWORKS, build


@pytest.fixture(scope="module", params=NETWORKS)
def case(request, device):
    return build(request.param, device)
