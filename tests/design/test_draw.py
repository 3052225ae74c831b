import itertools
import random
from math import comb

import pytest

from toroids.design.draw import combinations, drawn


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4])
def test_ranks_are_the_places_in_the_order_of_itertools(size):
    expected = list(itertools.combinations("abcdefg", size))
    assert list(combinations("abcdefg", size, range(comb(7, size)))) == expected


def test_what_is_drawn_is_what_a_list_of_all_would_give():
    candidates = list(itertools.combinations(range(30), 3))
    kept = sorted(random.Random("sections sgd").sample(range(len(candidates)), 5))
    ranks = drawn(comb(30, 3), 5, "sections sgd")
    assert list(combinations(range(30), 3, ranks)) == [candidates[place] for place in kept]


def test_all_are_drawn_where_there_are_no_more():
    assert (
        list(drawn(3, "all", "x")) == list(drawn(3, 3, "x")) == list(drawn(3, 9, "x")) == [0, 1, 2]
    )


def test_numbers_that_no_list_could_hold():
    (last,) = combinations(range(10**6), 3, [comb(10**6, 3) - 1])
    assert last == (999_997, 999_998, 999_999)
    assert len(drawn(comb(10**6, 3), 4, "x")) == 4
