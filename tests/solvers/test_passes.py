"""What a solver says that a training takes is what one takes that does not end early."""

import pytest

import toroids as td


@pytest.mark.parametrize("name", td.solvers.SOLVERS)
@pytest.mark.parametrize("batch_size", [7, 60])
def test_as_many_gradients_as_were_said(name, batch_size, make_model, data):
    own = {"adversarial_sgd": {"corrupt_budget": 2, "copies": 2}}.get(name, {})
    solver = td.solvers.SOLVERS[name](budget=3, hold=99, batch_size=batch_size, **own)
    found = solver.train(make_model, data, seed=0)
    said = solver.passes(len(data[1]))
    assert said.steps == found.gradient_steps
    assert said.forward == len(found.history) + (2 if own else 0)  # of two copies twice as much
    assert said.batch_size == batch_size


def test_a_limit_of_the_time_is_said():
    assert td.solvers.SGD().passes(10).limit is None
    assert td.solvers.AdversarialSGD(seconds=5.0).passes(10).limit == 5.0
