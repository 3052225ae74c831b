"""Flatness that survives rescaling, and a Hessian trace that does not.

A flat network and a sharp one walk through other weights of the same functions: every step applies
a random symmetry, which permutes units and rescales them (ReLU: what a unit is written with times
c, what reads it divided by c). The trace of the loss's Hessian, a common measure of flatness, moves
by orders of magnitude, and calls now one network the flat one and now the other. Two measures stay
as they are and tell them apart: the trace on the toroid, where scales are removed, and the local
energy, the increase of the error under noise relative to every weight.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp

import toroids as td
from toroids.report.figures.style import COLOURS, SYMBOLS, laid_out, panels
from toroids.report.pictures import write_picture

STEPS, SIGMA, PROBES, SAMPLES = 5, 0.3, 30, 100
SOLVERS = {
    "flat (SGD)": td.solvers.SGD(hold=10),
    "sharp (adversarial start)": td.solvers.AdversarialSGD(hold=10, copies=2),
}


def make_model(seed: int) -> nn.Module:
    """A fully connected ReLU network."""
    return td.models.fully_connected([64, 32, 32, 10], seed=seed)


def main() -> None:
    """Trains, walks, measures, draws."""
    torch.set_num_threads(1)  # these networks are too small to gain from a second thread
    digits = td.data.digits(train=600)
    # float64, so that what stays the same is seen to
    train, test = ((inputs.double(), labels) for inputs, labels in (digits.train, digits.test))
    model = make_model(0).double()
    group = td.discover(model, train[0][:4])
    print(f"random symmetries change the outputs by {td.verify(group, model, train[0][:64]):.0e}")

    titles = ("trace of the Hessian", "trace on the toroid", f"local energy at σ = {SIGMA}")
    figure = panels(titles, shared=False)
    for number, (name, solver) in enumerate(SOLVERS.items()):
        found = solver.train(make_model, digits.train, seed=1)
        params: td.Params = {key: value.double() for key, value in found.params.items()}
        tested = td.evaluate(model, params, test)
        print(f"{name}: test error {tested.error:.2%} ± {tested.error_stderr:.2%}")
        print(f"{'steps':>7}" + "".join(f"{title:>24}" for title in titles))
        generator = torch.Generator().manual_seed(number)
        rows = []
        for step in range(STEPS + 1):
            rows.append(measured(group, model, params, train))
            cells = [f"{value:.4g} ± {stderr:.2g}" for value, stderr in rows[-1]]
            print(f"{step:7}" + "".join(f"{cell:>24}" for cell in cells))
            params = group.apply(group.random(generator), params)
        for column, curve in enumerate(zip(*rows, strict=True), start=1):
            figure.add_scatter(
                x=list(range(STEPS + 1)),
                y=[value for value, _ in curve],
                error_y={"array": [stderr for _, stderr in curve]},
                name=name,
                showlegend=column == 1,
                marker={"color": COLOURS[number], "symbol": SYMBOLS[number], "size": 9},
                row=1,
                col=column,
            )
    figure.update_xaxes(title="symmetries applied", dtick=1)
    figure.update_yaxes(type="log", exponentformat="power", dtick=1, tickfont_size=11, col=1)
    figure.update_yaxes(rangemode="tozero", col=2)
    figure.update_yaxes(rangemode="tozero", tickformat=".0%", col=3)
    write_picture(
        laid_out(figure, width=220),
        "Flatness that survives rescaling, and a trace that does not",
        ["Two functions, each with ever other weights. Bars are one standard error."],
        "flatness_that_survives_rescaling.html",
    )
    print("figure: flatness_that_survives_rescaling.html")


def measured(
    group: td.SymmetryGroup, model: nn.Module, params: td.Params, data: tuple[Tensor, Tensor]
) -> list[tuple[float, float]]:
    """Three measures of flatness, each with its standard error."""
    landscape, toroid = td.Landscape(model, data), td.Toroid(group)
    curved = td.curvature(replace(landscape, on=toroid), params, count=1, probes=PROBES)
    energy = td.local_energy(landscape, params, (SIGMA,), SAMPLES)
    return [
        hessian_trace(model, params, data),
        (curved.trace, curved.trace_stderr),
        (energy.increase.item(), energy.stderr.item()),
    ]


def hessian_trace(
    model: nn.Module, params: td.Params, data: tuple[Tensor, Tensor]
) -> tuple[float, float]:
    """The trace over all weights as they are: the mean of z H z over random signs z."""
    inputs, labels = data
    generator = torch.Generator().manual_seed(0)

    def loss(params: dict[str, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(functional_call(model, params, (inputs,)), labels)

    forms = []
    for _ in range(PROBES):
        z = {
            name: torch.randint(2, value.shape, generator=generator).to(value) * 2 - 1
            for name, value in params.items()
        }
        image = jvp(grad(loss), (dict(params),), (z,))[1]
        forms.append(torch.stack([(z[name] * image[name]).sum() for name in z]).sum())
    values = torch.stack(forms)
    return values.mean().item(), values.std().item() / PROBES**0.5


if __name__ == "__main__":
    main()
