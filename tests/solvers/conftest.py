import pytest
import torch

import toroids as td


@pytest.fixture(scope="session")
def make_model():
    return lambda seed: td.models.fully_connected([4, 32, 3], seed=seed)


@pytest.fixture(scope="session")
def data(make_model):
    """Sixty examples that a network of this architecture labels without error."""
    inputs = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    return inputs, make_model(99)(inputs).argmax(dim=1)
