"""A scale that others make together is counted once."""

import torch
from torch import nn

import toroids as td
from toroids.symmetry.repeated import repeated
from toroids.symmetry.space import Generator, Leg, Space


class Members(nn.Module):
    """Two networks that share matrices and have gains of their own before and behind them."""

    def __init__(self):
        super().__init__()
        sizes = {"before": 3, "gain": 4, "bias": 4, "between": 4, "after": 2}
        for name, size in sizes.items():
            setattr(self, name, nn.Parameter(torch.randn(2, size)))
        self.into, self.out = nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(2, 4))

    def forward(self, x):
        h = (x.unsqueeze(1) * self.before) @ self.into.T * self.gain + self.bias
        h = nn.functional.leaky_relu(h)
        return (h * self.between) @ self.out.T * self.after


def scales(name, size, *legs):
    """A space of units that scale with the powers of its legs."""
    generator = Generator("rescale", tuple(float(power) for _, power in legs))
    return Space(name, size, 1, frozenset({"rescale"}), tuple(x for x, _ in legs), (generator,))


def leg(tensor, axis, positions=None, span=1):
    return Leg(tensor, axis, "write", tensor, span, positions)


def test_rows_columns_and_the_whole_of_a_matrix():
    shapes = {"w": (4, 3), "r": (3,), "s": (4,)}
    rows = scales("rows", 4, (leg("w", 0), 1), (leg("s", 0), -1))
    columns = scales("columns", 3, (leg("w", 1), 1), (leg("r", 0), -1))
    through = scales("through", 1, (leg("r", 0, (0, 1, 2)), 1), (leg("s", 0, (0, 1, 2, 3)), -1))
    assert repeated([rows, columns], shapes) == 0
    assert repeated([rows, columns, through], shapes) == 1
    # one that is felt by a part of the entries only is another
    part = scales("part", 1, (leg("r", 0, (0, 1)), 1), (leg("s", 0, (0, 1, 2, 3)), -1))
    assert repeated([rows, columns, part], shapes) == 0


def test_positions_over_several_axes():
    shapes = {"g": (2, 3), "h": (2, 3)}
    grid = scales("grid", 6, (leg("g", 0, tuple(range(6)), 2), 1), (leg("h", 0, None, 2), -1))
    along = scales("along", 3, (leg("g", 1), 1), (leg("h", 1), -1))
    upper = scales("upper", 1, (leg("g", 0, (0, 1, 2), 2), 1), (leg("h", 0, (0,)), -1))
    assert repeated([grid, along], shapes) == 1
    assert repeated([grid, upper], shapes) == 0


def test_the_dimension_of_a_network_is_that_of_what_no_output_tells():
    torch.manual_seed(0)
    model, inputs = Members().double(), 2 * torch.randn(200, 3).double()
    group = td.discover(model, inputs[:4])
    assert repeated(group.spaces, group.shapes) == 2
    names, start = zip(*model.state_dict().items(), strict=True)

    def outputs(*tensors):
        params = dict(zip(names, tensors, strict=True))
        return torch.func.functional_call(model, params, (inputs,)).flatten()

    jacobian = torch.autograd.functional.jacobian(outputs, start)
    columns = torch.cat([x.flatten(1) for x in jacobian], dim=1)
    assert group.dimension == columns.shape[1] - int(torch.linalg.matrix_rank(columns, rtol=1e-10))
