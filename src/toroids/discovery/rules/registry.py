"""The registry of rules: what an operator demands of the places and exponents of its values.

A rule is a function `(constraints, *arguments, **keywords)`. Its arguments are those of the
operator, with a `Value` for every tensor; it returns one `Value` per tensor of the result. An
operator without a rule pins what it touches, which is always right and often a loss.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from toroids.errors import ToroidsError

Rule = Callable[..., Any]
F = TypeVar("F", bound=Rule)
RULES: dict[str, Rule] = {}


def rule(*operators: str) -> Callable[[F], F]:
    """Registers a rule for operators, by name without overload, as "aten::relu".

    Args:
        operators: names as `torch.ops.aten.relu.default.name()` gives them, overloads left out. An
            in-place operator (`relu_`) uses the rule of the functional one.

    Returns:
        A decorator that registers the function and returns it.

    Raises:
        ToroidsError: no names, or something else than names.

    Example:
        >>> from toroids.discovery.axes import elementwise
        >>> @rule("mylib::leaky_square_root")  # f(-x) = -f(x), not homogeneous
        ... def odd(c, x):
        ...     return elementwise(c, x, sign=True)
        >>> del RULES["mylib::leaky_square_root"]
    """
    if not operators or not all(isinstance(operator, str) for operator in operators):
        raise ToroidsError(
            f'the operators of a rule are {operators}; name one or more, as @rule("aten::relu").'
        )

    def register(function: F) -> F:
        for operator in operators:
            RULES[operator] = function
        return function

    return register
