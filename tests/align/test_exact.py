"""Against every permutation and sign of small networks, listed without the library's own steps."""

import itertools

import pytest
import torch
from align.networks import SMALL, small

import toroids as td
from toroids.align import restarts
from toroids.errors import ToroidsError


def every_element(group):
    """All products of permutations and signs, as they stand in the definition of an element."""

    def of_space(space):
        home = tuple(range(space.size))
        orders = list(itertools.permutations(home)) if "permute" in space.actions else [home]
        shape = (len(space.of("flip")), space.copies, space.size)
        signs = list(itertools.product((1.0, -1.0), repeat=shape[0] * shape[1] * shape[2]))
        for order in itertools.product(orders, repeat=space.copies):
            for sign in signs:
                flips = torch.tensor(sign, dtype=torch.float64).view(shape) if shape[0] else None
                yield td.symmetry.SpaceElement(torch.tensor(order), signs=flips)

    names = [space.name for space in group.spaces]
    for choices in itertools.product(*(list(of_space(space)) for space in group.spaces)):
        yield td.symmetry.Element(dict(zip(names, choices, strict=True)))


def problem(name, seed):
    (model, inputs), (other, _) = small(name, 2 * seed), small(name, 2 * seed + 1)
    return td.discover(model, inputs), model.state_dict(), other.state_dict()


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("seed", range(2))
def test_exact_and_best_are_the_best_of_all_elements(name, seed):
    group, a, b = problem(name, seed)
    reference, start = td.canonicalize(group, a), td.canonicalize(group, b)
    names = group.parameters
    values = []
    for element in every_element(group):
        moved = group.apply(element, start)
        values.append(sum(float((moved[n] * reference[n]).sum()) for n in names))
    assert len(values) >= 24
    for method in ("exact", "best"):
        alignment = td.align(group, b, to=a, method=method)
        assert alignment.similarity == pytest.approx(max(values), rel=1e-12)
        assert alignment.method == "exact"
    for method in ("descent", "frank-wolfe"):
        reached = td.align(group, b, to=a, method=method).similarity
        assert reached <= max(values) + 1e-9
        assert reached > sum(values) / len(values)
    assert td.align(group, b, to=a).bound >= max(values) - 1e-9


def test_restarts_of_descent_solve_small_networks(monkeypatch):
    """Ten pairs of two hidden layers: restarts find the best element of each."""
    monkeypatch.setattr(restarts, "may_be_copy", lambda problem: True)  # a number, not a time
    for seed in range(10):
        group, a, b = problem("relu, two layers", seed)
        best = td.align(group, b, to=a, method="exact").similarity
        reached = td.align(group, b, to=a).similarity
        assert reached == pytest.approx(best, rel=1e-12)


def test_large_networks_are_refused():
    a = td.models.fully_connected([4, 30, 30, 2], seed=0).state_dict()
    group = td.symmetry.fully_connected_group(a)
    with pytest.raises(ToroidsError, match=r"would have to try about 10\^32 choices, expected at"):
        td.align(group, a, to=a, method="exact")
