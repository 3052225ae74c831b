import torch

from toroids.evaluation.summary import Evaluation
from toroids.landscape.grid import Grid


def test_an_edge_takes_what_its_finer_side_knows():
    """The left of two cells is flat, the right one is halved and evaluates the middle of the edge."""
    peaks = {(8.0, 0.0): 1.0, (4.0, 2.0): 0.4}
    x, y = torch.arange(9.0).double(), torch.arange(5.0).double()
    asked = []

    def evaluate(*place):
        asked.append(place)
        error = peaks.get(place, 0.0)
        return Evaluation(error, 2 * error, 0.0, 0.0, 1)

    grid = Grid(x, y, evaluate)
    grid.refine(0.5, rows=(), columns=())
    assert len(set(asked)) == len(asked) == grid.evaluated.sum()
    assert not grid.evaluated[1, 4]
    assert grid.values["error"][1, 4] == 0.2
    assert grid.values["loss"][1, 4] == 0.4
    assert (grid.values["error"][:, :4] == 0).all()
    for (column, row), error in peaks.items():
        assert grid.values["error"][int(row), int(column)] == error
