"""The examination itself: it finds what is missing, what is wrong, and nothing else."""

import pytest
import torch
from operators import brute_force
from operators.database import Sample
from operators.examine import examine
from operators.granted import grants_factors, grants_permutation
from operators.sandwich import draws, further, near
from torch.utils import _pytree

import toroids as td
from toroids.discovery.axes import elementwise
from toroids.discovery.discover import group_of
from toroids.discovery.rules import RULES
from toroids.discovery.tracing.explore import explore


def call(function, *arguments):
    """A call as a sample; floating tensors are written by parameters."""
    torch.manual_seed(0)
    leaves, structure = _pytree.tree_flatten((arguments, {}))
    written = [
        i for i, leaf in enumerate(leaves) if torch.is_tensor(leaf) and leaf.is_floating_point()
    ]
    return Sample("own", function, tuple(leaves), structure, tuple(written), torch.float64)


def tensor(*shape):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def trials(sample):
    generator = torch.Generator().manual_seed(0)
    return draws(sample, near(sample, generator), generator)


def names(found):
    return {symmetry.name for symmetry in found}


@pytest.mark.parametrize(
    ("sample", "swapped", "rescaled", "flipped"),
    [
        (call(torch.relu, tensor(3, 4)), {"a.0", "a.1"}, {"a.0", "a.1"}, set()),
        (call(torch.tanh, tensor(3, 4)), {"a.0", "a.1"}, set(), {"a.0", "a.1"}),
        (call(torch.add, tensor(3, 4), tensor(4)), {"a.0", "a.1 b.0"}, {"a.1 b.0"}, {"a.1 b.0"}),
        (
            call(torch.matmul, tensor(2, 3), tensor(3, 4)),
            {"a.0", "b.1", "a.1 b.0"},
            {"a.0", "b.1", "a.1 b.0⁻¹"},
            {"a.0", "b.1", "a.1 b.0"},
        ),
        (call(torch.cumsum, tensor(3, 4), 1), {"a.0"}, {"a.0"}, {"a.0"}),
        (call(torch.softmax, tensor(3, 4), 1), {"a.0", "a.1"}, set(), set()),
        # repeated entries may be exchanged, those that nothing reads are no loss
        (call(lambda x: x.expand(3, 2), tensor(3, 1)), {"a.0", "y0.1"}, {"a.0"}, {"a.0"}),
        (call(lambda x: x[:, :2], tensor(3, 4)), {"a.0", "a.1"}, {"a.0", "a.1"}, {"a.0", "a.1"}),
        (call(torch.zeros_like, tensor(3, 4)), set(), set(), set()),
    ],
)  # fmt: skip
def test_trial_finds_what_is_true_of_an_operator(sample, swapped, rescaled, flipped):
    drawn = trials(sample)
    assert names(brute_force.permutations(sample, drawn, whole=True)) == swapped
    assert names(brute_force.factors(sample, drawn, brute_force.FACTOR)) == rescaled
    assert names(brute_force.factors(sample, drawn, -1)) == flipped


def test_a_symmetry_holds_for_any_index():
    index = torch.tensor([2, 2, 0])
    sample = call(lambda x, i: x.index_select(0, i), tensor(4, 3), index)
    assert names(brute_force.permutations(sample, trials(sample), whole=True)) == {"a.1"}


def test_a_complete_operator_lacks_nothing():
    found = examine(call(torch.relu, tensor(3, 4)))
    assert found.verdict == "complete"
    assert (found.permute, found.copies, found.rescale, found.flip) == ((),) * 4
    assert found.seconds > 0


def test_entries_that_nothing_reads_may_stay():
    found = examine(call(lambda x: torch.relu(x[:, :2]), tensor(3, 4)))
    assert (found.verdict, found.permute, found.copies, found.rescale) == ("complete", (), (), ())
    assert "meet nothing but zeros" in found.note


def test_numbers_that_an_operator_looks_at_are_tried():
    sample = call(torch.heaviside, tensor(3, 4), tensor(4))  # reads the second where the first is 0
    found = brute_force.permutations(sample, trials(sample), whole=True)
    assert "b.0" not in names(found) and {"a.0", "a.1"} <= names(found)
    examined = examine(sample)
    assert (examined.verdict, examined.permute, examined.copies) == ("complete", (), ())


def test_a_symmetry_found_on_some_indices_is_tried_on_others():
    generator = torch.Generator().manual_seed(0)
    sample = call(lambda x, i: x.index_fill(0, i, 0.0), tensor(5, 2), torch.tensor([0]))
    place = near(sample, generator)
    still = torch.arange(10)
    swapped = still.reshape(5, 2)[[0, 1, 2, 4, 3]].reshape(-1)
    found = brute_force.Found("a.0", [swapped], [swapped])
    few = trials(sample)[:1]  # of which the index is 0
    assert brute_force.holds(sample, few, found)
    assert not brute_force.holds(sample, further(sample, place, [swapped], generator), found)
    assert not brute_force.holds(sample, few, brute_force.Found("a.0", [swapped], [still]))


def test_a_rule_that_grants_too_little_is_incomplete(monkeypatch):
    monkeypatch.setitem(RULES, "aten::relu", elementwise)
    found = examine(call(torch.relu, tensor(3, 4)))
    assert (found.verdict, set(found.rescale)) == ("complete", {"a.0", "a.1"})
    monkeypatch.delitem(RULES, "aten::relu")
    monkeypatch.setattr("toroids.discovery.inference.run.decomposition", lambda node: None)
    found = examine(call(torch.relu, tensor(3, 4)))
    assert (found.verdict, set(found.permute)) == ("incomplete", {"a.0", "a.1"})
    assert set(found.copies) == {"a.0", "a.1"}
    assert "`aten::relu` has no rule" in found.note


def test_a_rule_that_grants_too_much_fails_the_proof_and_is_wrong_without_it(monkeypatch):
    monkeypatch.setitem(RULES, "aten::gelu", lambda c, x, **_: elementwise(c, x, scale=True))
    sample = call(torch.nn.functional.gelu, tensor(3, 4))
    assert examine(sample).verdict == "failed proof"
    monkeypatch.setattr(td, "discover", lambda model, inputs: group_of(explore(model, inputs)))
    found = examine(sample)
    assert found.verdict == "wrong"
    assert found.deviation > 1e-3


def test_an_error_that_is_not_the_projects_own_is_foreign(monkeypatch):
    def fails(model, inputs):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(td, "discover", fails)
    found = examine(call(torch.relu, tensor(3, 4)))
    assert (found.verdict, found.note) == ("foreign exception", "ZeroDivisionError: by zero")


def test_random_numbers_are_refused():
    found = examine(call(torch.rand_like, tensor(3, 4)))
    assert found.verdict == "refused"
    assert "random" in found.note


@pytest.mark.parametrize(
    "sample",
    [call(lambda x: 3, tensor(2)), call(lambda x: x + "a", tensor(2)), call(lambda x: x * torch.nan, tensor(2))],
    ids=["no tensor", "an error", "no numbers"],
)  # fmt: skip
def test_what_no_sandwich_can_be_made_of_is_unusable(sample):
    assert examine(sample).verdict == "unusable"


def group(legs, generators=(), size=3, copies=1):
    actions = frozenset({"permute", *(g.action for g in generators)})
    space = td.symmetry.Space("units", size, copies, actions, legs, generators)
    return td.SymmetryGroup((space,), {"writers.0": (6, 2), "readers.0": (2, 6)})


ROWS = (  # three rows of two entries, moved as wholes
    td.symmetry.Leg("writers.0", 0, "write", "writers", positions=(0, 1, 2, 3, 4, 5)),
    td.symmetry.Leg("readers.0", 1, "read", "readers", positions=(0, 1, 2, 3, 4, 5)),
)


@pytest.mark.parametrize(
    ("writer", "reader", "granted"),
    [
        ([2, 3, 0, 1, 4, 5], [2, 3, 0, 1, 4, 5], True),
        ([4, 5, 0, 1, 2, 3], [4, 5, 0, 1, 2, 3], True),
        ([2, 3, 0, 1, 4, 5], [0, 1, 2, 3, 4, 5], False),
        ([1, 0, 2, 3, 4, 5], [1, 0, 2, 3, 4, 5], False),
        ([3, 2, 0, 1, 4, 5], [3, 2, 0, 1, 4, 5], False),
    ],
)
def test_whether_a_group_grants_a_permutation(writer, reader, granted):
    sources = {"writers.0": torch.tensor(writer), "readers.0": torch.tensor(reader)}
    assert grants_permutation(group(ROWS), sources) == granted


def test_copies_move_within_what_carries_them():
    outer = td.symmetry.Space("rows", 3, 1, frozenset({"permute"}), ROWS)
    inner = td.symmetry.Space("entries", 2, 3, frozenset({"permute"}), ROWS, within=("rows",))
    both = td.SymmetryGroup((outer, inner), {"writers.0": (6, 2), "readers.0": (2, 6)})
    for order, granted in (([3, 2, 0, 1, 4, 5], True), ([0, 2, 1, 3, 4, 5], False)):
        sources = dict.fromkeys(("writers.0", "readers.0"), torch.tensor(order))
        assert grants_permutation(both, sources) == granted


@pytest.mark.parametrize(
    ("action", "sign", "reader", "granted"),
    [
        ("rescale", False, [1, 1, 0, 0, 0, 0], True),
        ("rescale", False, [1, 1, 0, 0, 0, torch.nan], True),
        ("rescale", False, [2, 2, 0, 0, 0, 0], False),
        ("rescale", True, [1, 1, 0, 0, 0, 0], False),
        ("flip", True, [1, 1, 0, 0, 0, 0], True),
        ("flip", True, [3, 1, 2, 0, 0, 0], True),
        ("flip", True, [1, 0, 0, 0, 0, 0], False),
    ],
)
def test_whether_a_group_grants_factors(action, sign, reader, granted):
    exponents = (1.0, 1.0) if action == "flip" else (1.0, -1.0)
    found = group(ROWS, (td.symmetry.Generator(action, exponents),))
    powers = {
        "writers.0": torch.tensor([1.0, 1, 0, 0, 0, 0]),
        "readers.0": torch.tensor(reader).double(),
    }
    assert grants_factors(found, powers, sign) == granted
