"""Settings of a method: bounds in the types of a frozen dataclass."""

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Le

from toroids.errors import ToroidsError
from toroids.settings import Count, Positive, Rate, Share, check_settings


@dataclass(frozen=True)
class Method:
    count: Count = 3
    rate: Rate = 0.1
    limit: Positive | None = None
    two: tuple[Share, Share] = (0.1, 0.2)
    few: Annotated[int, Ge(2), Le(9)] = 2
    word: Literal["a", "b"] = "a"

    def __post_init__(self):
        check_settings(self)


def test_what_fits_is_read():
    made = Method(count=7, rate=1e9, limit=2, two=[0, 0.5], few=9, word="b")
    assert made.two == (0, 0.5) and isinstance(made.two, tuple)
    assert hash(made) == hash(Method(7, 1e9, 2.0, (0.0, 0.5), 9, "b"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 0}, "count is 0; pass a whole number at least 1 and at most 1,000,000"),
        ({"count": 1.5}, "`count` is 1.5; pass a whole number"),
        ({"rate": 0.0}, "rate is 0.0; pass a number above 0"),
        ({"rate": float("inf")}, "rate is inf; pass a number above 0"),
        ({"rate": float("nan")}, "rate is nan; pass a number above 0"),
        ({"limit": -1.0}, "limit is -1.0; pass a number above 0 and at most 1,000,000, or None"),
        ({"two": (0.1, 1.0)}, "pass 2, each a number at least 0 and below 1"),
        ({"two": (0.1,)}, "pass 2 numbers"),
        ({"few": 10}, "few is 10; pass a whole number at least 2 and at most 9"),
        ({"word": "c"}, r"there is no word 'c'; choose from \('a', 'b'\)"),
    ],
)
def test_what_does_not_is_named(settings, message):
    with pytest.raises(ToroidsError, match=message):
        Method(**settings)
