"""Random small modules: whatever is granted holds on other sizes, values and buffers, on every call.

`pytest tests/discovery/test_generated.py` checks few modules, the same ones every time; with
`--generated 2000` as many, drawn anew. What is wrong is shrunk to a short program, which prints as
the Python that builds it: `violations_of(Program(...))` checks it again.
"""

import random
from collections import Counter

import pytest
import torch
from discovery.beyond import violations
from generated.features import FEATURES
from generated.images import IMAGES
from generated.program import Program
from generated.scope import Scope
from generated.sequences import SEQUENCES
from generated.strategy import PROGRAMS, program_of
from hypothesis import HealthCheck, Phase, given, settings

FEW = 25
# What PyTorch says of how it computes is no fault of a module.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'", "ignore:torch.searchsorted")
# One example, one token, lengths that differ from every width, and the longest that tables hold.
SIZES = (
    {"B": 1, "T": 1, "S": 2},
    {"B": 2, "T": 3, "S": 1},
    {"B": 3, "T": 8, "S": 5},
)


# Programs that once were granted too much.
ONCE_WRONG = (
    Program(  # a gain of every entry of a table, cut to lengths that are numbers in every trace
        given=("x = floats(B, T, 4)",),
        held=(
            "a1 = nn.RNN(4, 4, batch_first=True)",
            "a2 = parameter(8, 8)",
            "a3 = buffer(torch.ones(8, 8).tril())",
            "a4 = nn.Linear(4, 4)",
        ),
        lines=(
            "h1 = a1(x)[0]",
            "h2 = (a2 * a3)[:h1.shape[1], :h1.shape[1]] @ h1",
            "h3 = a4(h2)",
        ),
        returns="h3",
        sizes={"B": 2, "T": 2},
    ),
    Program(  # a single unit laid beside a zero, both of one position
        given=("x = floats(B, T, 4)",),
        held=("a1 = nn.Linear(4, 2)", "a4 = nn.BatchNorm1d(2)"),
        lines=(
            "h1 = a1(x)",
            "h2 = h1.mean(1)",
            "h3 = a4(h2)",
            "h4 = torch.cat([h3[..., :1] * 0, h3[..., 1:]], -1)",
            "h5 = h4.roll(1, -1)",
        ),
        returns="h5",
        sizes={"B": 2, "T": 2},
    ),
    Program(  # a gain of every entry of a table, which is cut along both axes
        given=("x = floats(B, T, 4)",),
        held=(
            "a1 = nn.Linear(4, 4)",
            "a2 = parameter(8, 8)",
            "a3 = buffer(torch.ones(8, 8).tril())",
            "a4 = nn.Linear(4, 4)",
        ),
        lines=(
            "h1 = a1(x)",
            "h2 = (a2 * a3)[:h1.shape[1], :h1.shape[1]] @ h1",
            "h3 = a4(h2)",
        ),
        returns="h3",
        sizes={"B": 2, "T": 2},
    ),
    Program(  # entries of a unit that no space moves, in another order in every unit
        given=("x = floats(B, 5, T, T)",),
        held=(
            "a1 = nn.Conv2d(5, 4, 2, padding=1)",
            "a2 = parameter(4, 1, 1)",
            "a3 = buffer(torch.linspace(-1, 1, 3))",
            "a4 = nn.Linear(48, 6)",
        ),
        lines=(
            "h1 = a1(x)",
            "h2 = h1.flatten(1).softmax(-1).view_as(h1)",
            "h3 = h2 * a2",
            "h4 = F.adaptive_max_pool2d(h3, 2).flatten(1)",
            "h5 = (h4[..., None] - a3).abs().flatten(-2)",
            "h6 = h5.unflatten(-1, (6, 8))",
            "h7 = h6.transpose(-1, -2)",
            "h8 = h7.flatten(-2)",
            "h9 = h8.softmax(-1)",
            "h10 = a4(h9)",
        ),
        returns="h10",
        sizes={"B": 2, "T": 2},
    ),
)


def violations_of(program: Program):
    """Sentences that say what is wrong with what a program's module is granted."""
    others = [
        program.inputs({name: sizes[name] for name in program.sizes}, seed=number)
        for number, sizes in enumerate(SIZES, start=1)
    ]
    found = violations(program.module(), program.inputs(), others)
    if program.remembers:
        found = [sentence for sentence in found if not sentence.startswith("the module is refused")]
    return found


def test_what_is_granted_holds_beyond_the_example(request):
    count = request.config.getoption("--generated")

    @settings(
        max_examples=count,
        derandomize=count <= FEW,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(PROGRAMS)
    def holds(program):
        found = violations_of(program)
        assert not found, "\n".join(found)

    holds()


@pytest.mark.parametrize("program", ONCE_WRONG)
def test_what_was_wrong_is_right(program):
    assert not violations_of(program)


def test_programs_print_as_the_python_that_builds_them():
    for seed in range(30):
        program = program_of(random.Random(seed))
        again = eval(repr(program), {"Program": Program})
        assert again == program
        assert program.pruned() == program
        with torch.no_grad():
            outputs = [p.module()(*p.inputs()) for p in (program, again)]
        firsts = [y[0] if isinstance(y, tuple) else y for y in outputs]
        assert torch.equal(*(y.nan_to_num() for y in firsts)) or "training=True" in repr(program)


def test_every_step_is_drawn(monkeypatch):
    seen = Counter()
    attempt = Scope.attempt

    def counted(scope, step, value):
        after = attempt(scope, step, value)
        seen[step] += after is not value
        return after

    monkeypatch.setattr(Scope, "attempt", counted)
    for seed in range(700):
        program_of(random.Random(seed))
    rare = {step.__name__: seen[step] for step in FEATURES | SEQUENCES | IMAGES if seen[step] < 5}
    assert not rare
