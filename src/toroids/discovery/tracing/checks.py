"""Checks of data in a forward: questions whose other answer only raises an error.

`assert not x.isnan().any()`, or a distribution that looks whether its parameters are valid: a trace
needs no answer for other data, because the module takes none of those for which it would differ.
"""

import dis
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

# Questions that are looked at, each by a call of the module.
MOST = 64


class Answered(TorchFunctionMode):
    """Answers questions whether tensors are true, in order, and notes all answers.

    Attributes:
        answers: what was answered so far.
    """

    def __init__(self, answers: Sequence[bool] = ()) -> None:
        """Answers the first questions so, and the others truly."""
        super().__init__()
        self._given = answers
        self.answers: list[bool] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Calls an operator, or answers in its place."""
        if func is not Tensor.__bool__:
            return func(*args, **(kwargs or {}))
        asked = len(self.answers)
        answer = self._given[asked] if asked < len(self._given) else bool(func(*args))
        self.answers.append(answer)
        return answer


def checks_of(called: Callable[[], Any]) -> tuple[bool, ...] | None:
    """What a forward asks of its data, if it raises an error wherever one answer is another.

    Args:
        called: calls it on the example.

    Returns:
        The answers, in order; None where there are none, or one of them decides something else.
    """
    with Answered() as heard:
        called()
    answers = heard.answers
    if not 0 < len(answers) <= MOST:
        return None
    for place, answer in enumerate(answers):
        try:
            with Answered([*answers[:place], not answer]):
                called()
        except Exception as error:
            if is_raised(error):
                continue
        return None
    return tuple(answers)


def is_raised(error: BaseException) -> bool:
    """Whether a `raise` or an `assert` made an error, not an operator that fails on its numbers."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    return dis.opname[trace.tb_frame.f_code.co_code[trace.tb_lasti]] == "RAISE_VARARGS"
