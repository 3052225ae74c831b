"""The same function in disguise: far away as weights, the same point once symmetries are gone.

Disguises a residual network with batch norms by random symmetries with scales of growing size, and
prints and draws how far the disguise seems to be, before and after its symmetries are removed.
"""

import dataclasses

import plotly.graph_objects as go
import torch
from torch import Tensor, nn

import toroids as td
from toroids.report.figures.style import COLOURS, SYMBOLS, laid_out
from toroids.report.pictures import write_picture


class ResidualNetwork(nn.Module):
    """Two residual blocks between a first convolution and a linear classifier."""

    def __init__(self, width: int = 16) -> None:
        """Builds the layers."""
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.Conv2d(width, 2 * width, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(2 * width, width, 3, padding=1),
            )
            for _ in range(2)
        )
        self.last = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Maps images (n, 1, height, width) to logits (n, 10)."""
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        logits: Tensor = self.last(x.mean(dim=(2, 3)))
        return logits


def main() -> None:
    """Disguises, measures, draws."""
    torch.set_num_threads(1)  # this network is too small to gain from a second thread
    torch.manual_seed(0)
    model = ResidualNetwork().double().eval()
    images = torch.randn(8, 1, 8, 8, dtype=torch.float64)
    params = model.state_dict()
    group = td.discover(model, images, output="logits")
    print(group)
    print(f"outputs change by at most {td.verify(group, model, images):.1e}")

    toroid = td.Toroid(group)
    generator = torch.Generator().manual_seed(1)
    element = group.random(generator)
    sizes = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    rows = []
    print("log-scale   weights   scales removed   units aligned too")
    for size in sizes:
        disguise = group.apply(scaled(element, size), params)
        apart = sum(float((disguise[n] - params[n]).square().sum()) for n in group.parameters)
        alignment = td.align(group, disguise, to=params)
        unaligned = td.canonicalize(group, disguise)
        row = (
            apart**0.5,
            toroid.distance(alignment.reference, unaligned),
            toroid.distance(alignment.reference, alignment.params),
        )
        rows.append(row)
        print(f"{size:9.1f} {row[0]:9.3g} {row[1]:16.3g} {row[2]:19.3g}")

    figure = go.Figure()
    names = ("as weights", "scales removed", "units aligned too")
    for number, (name, distances) in enumerate(zip(names, zip(*rows, strict=True), strict=True)):
        figure.add_scatter(
            x=sizes,
            y=distances,
            name=name,
            marker={"color": COLOURS[number], "symbol": SYMBOLS[number], "size": 8},
        )
    figure.update_xaxes(title="standard deviation of the log-scales", range=[-0.1, sizes[-1] + 0.1])
    figure.update_yaxes(title="distance to the original", type="log")
    figure.update_yaxes(exponentformat="power", tickfont_size=11)
    write_picture(
        laid_out(figure),
        "The same function in disguise",
        [
            "One residual network, and the same under random symmetries with scales of growing "
            "size: the distance between them, on a logarithmic scale. What is left once scales are "
            "removed and units aligned is rounding, of float64."
        ],
        "same_function_in_disguise.html",
    )
    print("figure: same_function_in_disguise.html")


def scaled(element: td.symmetry.Element, size: float) -> td.symmetry.Element:
    """The same permutations, the log-scales multiplied by `size`."""
    return td.symmetry.Element(
        {
            name: choice
            if choice.log_scales is None
            else dataclasses.replace(choice, log_scales=size * choice.log_scales)
            for name, choice in element.choices.items()
        }
    )


if __name__ == "__main__":
    main()
