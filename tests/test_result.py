"""Results are readable where they are printed."""

import torch

import toroids as td
from toroids.result import brief

X, Y = torch.randn(8, 3), torch.arange(8) % 2


def test_no_result_prints_its_weights():
    a, b = (td.models.fully_connected([3, 300, 2], seed=seed) for seed in (1, 2))
    group, ends = td.discover(a, X), (a.state_dict(), b.state_dict())
    landscape = td.Landscape(a, (X, Y))
    results = [
        group,
        landscape,
        td.align(group, ends[1], to=ends[0]),
        td.compare(group, *ends),
        td.profile(landscape, td.geometry.Line(*ends)),
        group.random(),
        *group.random().choices.values(),
    ]
    for result in results:
        lines = repr(result).splitlines()
        assert "tensor([" not in repr(result)
        assert len(lines) <= 25
        assert max(map(len, lines)) < 200
    assert any("loss_barrier_over_chord" in repr(result) for result in results)


def test_values_on_one_line():
    assert brief(float("nan")) == "nan"
    assert brief(torch.tensor([float("nan"), 1.0])) == "(2,) tensor, 1 to 1"
    assert brief(torch.empty(0, 2)) == "(0, 2) tensor"
    assert brief(torch.zeros(2, dtype=torch.complex64)) == "(2,) tensor"
    assert brief(torch.tensor(2.5)) == "2.5"
    assert brief(["one", "two"]) == "one; two"
    assert brief({"a": 1.0, "b": None}) == "a: 1, b: None"
    assert brief({"a": torch.ones(1), "b": torch.nn.Parameter(torch.ones(1))}) == "2 x tensor"
    assert brief(list(range(1000))) == "1000 x int"
    assert brief(object()) == "object"
    assert brief(()) == "none"
