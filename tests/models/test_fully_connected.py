import pytest
import torch

import toroids as td
from toroids.errors import ToroidsError


def test_layers_and_activations():
    model = td.models.fully_connected([12, 5, 4], bias=False)
    assert list(model.state_dict()) == ["hidden1.weight", "output.weight"]
    inputs = torch.randn(7, 3, 4)
    weights = model.state_dict()
    expected = (inputs.flatten(1) @ weights["hidden1.weight"].T).relu() @ weights["output.weight"].T
    assert torch.allclose(model(inputs), expected)


def test_activation_by_name():
    model = td.models.fully_connected([6, 5, 4, 3], activation="tanh", seed=2)
    assert [name for name, _ in model.named_children()] == [
        "flatten", "hidden1", "tanh1", "hidden2", "tanh2", "output"
    ]  # fmt: skip
    relu = td.models.fully_connected([6, 5, 4, 3], seed=2)
    assert all(map(torch.equal, model.parameters(), relu.parameters()))
    inputs = torch.randn(2, 6)
    hidden = model.hidden2(model.hidden1(inputs).tanh()).tanh()
    assert torch.equal(model(inputs), model.output(hidden))


def test_initialisation_is_pytorchs_and_depends_on_the_seed_alone():
    state = torch.random.get_rng_state()
    one, two, other = (td.models.fully_connected([100, 50, 10], seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.hidden1.weight, other.hidden1.weight)
    for layer, bound in ((one.hidden1, 0.1), (one.output, 50**-0.5)):
        assert layer.weight.abs().max() <= bound
        assert layer.weight.abs().max() > 0.95 * bound
        assert layer.bias.abs().max() <= bound


@pytest.mark.parametrize("widths", [[], [5], [5, 0, 2]])
def test_widths_out_of_range(widths):
    with pytest.raises(ToroidsError, match="pass at least inputs and classes"):
        td.models.fully_connected(widths)
