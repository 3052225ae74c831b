"""Contractions as letters: one for every axis of every operand, as an einsum names them."""

from collections.abc import Sequence
from typing import Any

from torch import fx

ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def letters_of(node: fx.Node, name: str) -> tuple[list[tuple[Any, str]] | None, str]:
    """Names the axes of a contraction.

    Args:
        node: the operator.
        name: of the operator, without its namespace.

    Returns:
        The operands, each with one letter per axis, and the letters of the result; letters that
        the result lacks are summed. None where the contraction is of another kind.
    """
    args: Sequence[Any] = node.args

    def rank(operand: Any) -> int:
        return len(operand.meta["val"].shape)

    if name == "einsum":
        return _equation(args)
    if name == "linear":
        own = ALPHABET[: rank(args[0])]
        return [(args[0], own), (args[1], "Z" + own[-1])], own[:-1] + "Z"
    if name.startswith("conv"):
        groups = args[8] if name == "convolution" else args[6] if len(args) > 6 else 1
        transposed = name == "convolution" and args[6]
        if groups != 1 or transposed or rank(args[0]) != rank(args[1]):
            return None, ""
        space = ALPHABET[2 : rank(args[0])]
        kernel = space.upper()
        return [(args[0], "ab" + kernel), (args[1], "Zb" + kernel)], "aZ" + space
    if name in ("addmm", "baddbmm"):
        args = args[1:]
    a, b = args[:2]
    ranks = rank(a), rank(b)
    if min(ranks) == 0:
        return None, ""
    if name in ("_grouped_mm", "grouped_mm_fallback"):
        ranks_ok = ranks == (2, 3)
        return ([(a, "nk"), (b, "gkZ")], "nZ") if ranks_ok else (None, "")
    batch = max(*ranks, 2) - 2
    shared = ALPHABET[:batch]
    left = "k" if ranks[0] == 1 else shared[batch - (ranks[0] - 2) :] + "yk"
    right = "k" if ranks[1] == 1 else shared[batch - (ranks[1] - 2) :] + "kz"
    out = shared + "y" * (ranks[0] > 1) + "z" * (ranks[1] > 1)
    left, right, out = (
        x.replace("k", "K").replace("y", "Y").replace("z", "Z") for x in (left, right, out)
    )
    return [(a, left), (b, right)], out


def _equation(args: Sequence[Any]) -> tuple[list[tuple[Any, str]] | None, str]:
    equation = str(args[0]).replace(" ", "")
    if "." in equation or "->" not in equation:
        return None, ""
    given, out = equation.split("->")
    operands: Any = args[1]
    return list(zip(operands, given.split(","), strict=True)), out


def bias_of(node: fx.Node, name: str) -> Any:
    """What a linear map or a convolution adds; None where it adds nothing."""
    if name == "linear" or name.startswith("conv"):
        return node.args[2] if len(node.args) > 2 else node.kwargs.get("bias")
    return None
