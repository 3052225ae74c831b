import pytest
import torch

import toroids as td
from toroids.errors import ToroidsError
from toroids.solvers.adversarial_sgd import corrupt


def test_corrupted_copies():
    inputs, labels = torch.ones(500, 20), torch.arange(500) % 10
    copies, random_labels = corrupt((inputs, labels), 3, 0.3, torch.Generator().manual_seed(0))
    assert copies.shape == (1500, 20)
    # 30000 pixels, each zero with probability 0.3: five standard deviations are 0.013
    assert (copies == 0).float().mean().item() == pytest.approx(0.3, abs=0.013)
    assert ((copies == 0) | (copies == 1)).all()
    assert random_labels.min() == 0
    assert random_labels.max() == 9
    agreement = (random_labels == labels.repeat(3)).float().mean().item()
    assert agreement == pytest.approx(0.1, abs=0.04)  # chance, five standard deviations


def test_both_phases_are_recorded(make_model, data, device):
    trained = td.solvers.AdversarialSGD(
        budget=200, copies=1, corrupt_budget=5, batch_size=10
    ).train(make_model, data, seed=1, device=device)
    phases = [epoch.phase for epoch in trained.history]
    assert phases[:5] == ["corrupt"] * 5
    assert set(phases[5:]) == {"train"}
    assert trained.ended == "zero error"
    assert td.evaluate(make_model(0), trained.params, data).error == 0
    assert trained.gradient_steps == 6 * len(trained.history)


def test_random_labels_are_fitted_before_the_true_ones(make_model, data):
    trained = td.solvers.AdversarialSGD(
        budget=1, copies=1, corrupt_budget=300, batch_size=10, zeroed=0.0
    ).train(make_model, data, seed=1)
    fitted = [epoch for epoch in trained.history if epoch.phase == "corrupt"][-1]
    assert fitted.error < 0.1  # chance is 2/3
    assert trained.history[-1].error > 0.1  # one epoch does not undo it


def test_equal_seeds_give_equal_networks(make_model, data):
    one, two = (
        td.solvers.AdversarialSGD(budget=2, corrupt_budget=2).train(make_model, data, 1)
        for _ in range(2)
    )
    assert all(torch.equal(one.params[name], two.params[name]) for name in one.params)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"copies": 0}, "copies is 0; pass a whole number at least 1"),
        ({"zeroed": 1.0}, "zeroed is 1.0; pass a number at least 0 and below 1"),
        ({"zeroed": -0.1}, "zeroed is -0.1; pass a number at least 0 and below 1"),
    ],
)
def test_settings_out_of_range(make_model, data, arguments, message):
    with pytest.raises(ToroidsError, match=message):
        td.solvers.AdversarialSGD(**arguments).train(make_model, data, seed=0)
