"""The top of a report says which solvers did not train, and what to change."""

from dataclasses import replace

import pytest

from toroids.report.page import render
from toroids.report.study import Study
from toroids.report.untrained import untrained

FALLING = [0.9, 0.7, 0.5, 0.4, 0.35, 0.3, 0.2, 0.1]
GUESSING = [0.9, 0.9, 0.89, 0.9, 0.9, 0.9, 0.9, 0.9]
STANDING = [0.9, 0.3, 0.2, 0.15, 0.1, 0.1, 0.1, 0.1]


def changed(finished, errors, count, ended="budget", solver="sgd"):
    """The rows of a study in which some networks of a solver ended at a large error."""
    rows = list(finished)
    own = [n for n, row in enumerate(rows) if row.kind == "network" and row.solver == solver]
    for place in own[:count]:
        epoch = rows[place].history[0]
        history = [replace(epoch, epoch=n, error=e) for n, e in enumerate(errors, 1)]
        rows[place] = replace(rows[place], train_error=errors[-1], ended=ended, history=history)
    return rows


def said(rows):
    return untrained(Study(rows))


def test_a_study_that_trained_says_nothing(finished):
    assert said(finished) == []
    assert said(changed(finished, FALLING, 1)) == []  # one of four
    assert "did not train" not in render(finished)


@pytest.mark.parametrize(
    ("errors", "ended", "advice"),
    [
        (FALLING, "budget", "still fell at the end: raise solvers.sgd.budget"),
        (FALLING[:2], "budget", "raise solvers.sgd.budget"),
        (GUESSING, "budget", "hardly fell at all: change solvers.sgd.lr"),
        (STANDING, "budget", "stood still: make the network wider"),
        (GUESSING, "time", "their time was up: raise solvers.sgd.seconds"),
        (GUESSING, "given", "trained elsewhere"),
        ([0.9, None, None, 0.9], "budget", "raise solvers.sgd.budget"),
    ],
)
def test_it_says_what_to_change(finished, errors, ended, advice):
    rows = changed(finished, errors, 2, ended)
    [sentence] = said(rows)
    assert sentence.startswith("mlp, SGD: 2 of 4 networks, with a median train error of")
    assert advice in sentence
    page = render(rows)
    assert page.index("did not train") < page.index('id="claims"')


def test_what_came_before_the_training_says_nothing(finished):
    rows = changed(finished, STANDING, 2)
    for place, row in enumerate(rows):
        if row.kind == "network" and row.train_error == STANDING[-1]:
            history = [replace(epoch, phase="corrupt") for epoch in row.history[:6]]
            history += [replace(row.history[0], error=e) for e in FALLING]
            rows[place] = replace(row, history=history)
    [sentence] = said(rows)
    assert "still fell at the end" in sentence


def test_the_most_networks_come_first(finished):
    rows = changed(changed(finished, GUESSING, 2), FALLING, 3, solver="replicated_sgd")
    first, second = said(rows)
    assert "3 of 4" in first and "2 of 4" in second


def test_another_threshold_lets_them_count(finished):
    rows = changed(finished, STANDING, 4)
    assert said(rows)
    config = rows[-1].config
    claims = {**config["claims"], "trained": 0.1}
    rows[-1] = replace(rows[-1], config={**config, "claims": claims})
    assert said(rows) == []
