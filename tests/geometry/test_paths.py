import pytest
import torch

import toroids as td
from toroids.errors import ParamsError, ToroidsError


def test_line_interpolates_and_keeps_integers():
    a = {"w": torch.tensor([0.0, 2.0]), "steps": torch.tensor(3)}
    b = {"w": torch.tensor([1.0, 0.0]), "steps": torch.tensor(8)}
    line = td.geometry.Line(a, b)
    assert line(0.25)["w"].tolist() == [0.25, 1.5]
    assert line(0.25)["steps"] == 3
    assert torch.equal(line(0.0)["w"], a["w"])
    assert torch.equal(line(1.0)["w"], b["w"])


def test_geodesic_is_the_great_circle():
    """One unit in two dimensions: the angle grows in proportion to t."""
    params = {
        "a.weight": torch.tensor([[1.0, 0.0]]).double(),
        "b.weight": torch.ones(1, 1).double(),
    }
    group = td.symmetry.fully_connected_group(params)
    angle = torch.tensor(2.5).double()
    end = {**params, "a.weight": torch.stack([angle.cos(), angle.sin()])[None]}
    for t in (0.0, 0.3, 0.5, 0.9, 1.0):
        point = td.Toroid(group).geodesic(params, end)(t)["a.weight"][0]
        expected = torch.stack([(t * angle).cos(), (t * angle).sin()])
        assert torch.allclose(point, expected, atol=1e-14)


@pytest.mark.parametrize("t", [-0.1, 1.1, float("nan")])
def test_times_outside_the_path_are_refused(t):
    a = {"w": torch.ones(2)}
    with pytest.raises(ToroidsError, match="from t = 0 to t = 1"):
        td.geometry.Line(a, a)(t)


def test_line_between_architectures_is_refused():
    with pytest.raises(ParamsError, match="`w` has shape"):
        td.geometry.Line({"w": torch.ones(2)}, {"w": torch.ones(3)})
    with pytest.raises(ParamsError, match="`w` in the second network"):
        td.geometry.Line({"w": torch.ones(1)}, {"w": torch.tensor([float("nan")])})
