"""Merging three networks into one: the mean of their weights, and the mean on the toroid.

Three networks see a third of the training images each. The mean of their weights has forgotten
nearly everything. Aligned to a common centre first, their mean on the toroid is one network about
as good as each of them; the ensemble of the three is better, and takes three times the work.
The whole is repeated with other images and other seeds.
"""

import plotly.graph_objects as go
import torch
from torch import nn

import toroids as td
from toroids.report.figures.style import COLOURS, laid_out
from toroids.report.pictures import write_picture

REPEATS, IMAGES, NETWORKS = 6, 600, 3


def make_model(seed: int) -> nn.Module:
    """A fully connected ReLU network."""
    return td.models.fully_connected([64, 128, 128, 10], seed=seed)


def main() -> None:
    """Trains, merges, draws."""
    torch.set_num_threads(1)  # these networks are too small to gain from a second thread
    repeats = [test_errors(seed) for seed in range(REPEATS)]
    table = {name: torch.tensor([errors[name] for errors in repeats]) for name in repeats[0]}
    means = {name: errors.mean().item() for name, errors in table.items()}
    stderrs = {name: errors.std().item() / REPEATS**0.5 for name, errors in table.items()}
    print(f"test error, mean of {REPEATS} repeats ± its standard error")
    for name, mean in means.items():
        print(f"  {name:24} {mean:6.2%} ± {stderrs[name]:.2%}")
    difference = table["mean on the toroid"] - table["one of the three"]
    print(
        f"the mean on the toroid minus one of the three: {difference.mean():+.2%} "
        f"± {difference.std() / REPEATS**0.5:.2%}"
    )

    figure = go.Figure()
    figure.add_bar(
        orientation="h",
        x=list(means.values()),
        y=list(means),
        error_x={"array": list(stderrs.values())},
        marker={"color": COLOURS[0]},
    )
    figure.update_xaxes(title="test error", rangemode="tozero", tickformat=".0%")
    figure.update_yaxes(autorange="reversed")
    write_picture(
        laid_out(figure),
        "Merging three networks",
        [
            "Each of the three saw a third of the training images. "
            f"Means of {REPEATS} repeats, with their standard errors."
        ],
        "merge_three_networks.html",
    )
    print("figure: merge_three_networks.html")


def test_errors(seed: int) -> dict[str, float]:
    """Trains three networks on a third of the images each, and puts them together in four ways."""
    digits = td.data.digits(train=IMAGES, seed=seed)
    inputs, labels = digits.train
    networks = [
        td.solvers.SGD()
        .train(make_model, (inputs[part::NETWORKS], labels[part::NETWORKS]), NETWORKS * seed + part)
        .params
        for part in range(NETWORKS)
    ]
    whole = td.solvers.SGD().train(make_model, digits.train, seed).params
    model = make_model(0)
    group = td.discover(model, inputs[:4], output="classifier")
    naive = {
        name: torch.stack([network[name] for network in networks]).mean(dim=0)
        for name in networks[0]
    }

    train, test = td.Landscape(model, digits.train), td.Landscape(model, digits.test)

    def error(params: td.Params) -> float:
        return test(params).error

    return {
        "one of the three": sum(map(error, networks)) / NETWORKS,
        "mean of the weights": error(naive),
        "mean on the toroid": error(td.merge(group, networks)),
        "the same, repaired": error(td.merge(group, networks, train)),
        "ensemble of the three": td.evaluate_ensemble(test, networks).error,
        "one that saw all images": error(whole),
    }


if __name__ == "__main__":
    main()
