"""Times a solver's training beside the same loop written by hand with torch.optim.

Run it with `python benchmarks/solvers.py`. CPU seconds on one thread, medians of interleaved runs:
20 epochs of SGD at batch 50 on 600 digits, a 64-128-128-10 network; error and loss on all training
images are measured after every epoch in both.
"""

import math
from collections.abc import Iterator
from functools import partial

import torch
from harness.result import Result
from harness.script import main
from harness.timing import interleaved
from torch import nn

import toroids as td

SOLVERS = ("sgd", "adam", "sam", "swa", "entropy_sgd", "replicated_sgd")
NOTES = {"sam": "two gradients per mini-batch", "replicated_sgd": "three gradients per mini-batch"}


def rows(quick: bool) -> Iterator[Result]:
    """Seconds of every solver beside the loop."""
    torch.set_num_threads(1)
    epochs = 5 if quick else 20
    inputs, labels = td.data.digits(train=600).train

    def make_model(seed: int) -> nn.Module:
        return td.models.fully_connected([64, 128, 128, 10], seed=seed)

    def by_hand() -> None:
        model, generator = make_model(0), torch.Generator().manual_seed(0)
        sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
        for epoch in range(epochs):
            sgd.param_groups[0]["lr"] = 0.05 * (1 + math.cos(math.pi * epoch / epochs))
            for some in torch.randperm(600, generator=generator).split(50):  # type: ignore[no-untyped-call]
                sgd.zero_grad()
                nn.functional.cross_entropy(model(inputs[some]), labels[some]).backward()  # type: ignore[no-untyped-call]
                sgd.step()
            with torch.no_grad():
                logits = model(inputs)
                (logits.argmax(dim=1) != labels).double().mean().item()
                nn.functional.cross_entropy(logits, labels).item()

    def ours(solver: str) -> None:
        made = td.solvers.SOLVERS[solver](budget=epochs, hold=epochs + 1)
        made.train(make_model, (inputs, labels), 0)

    works = {"by hand": by_hand} | {name: partial(ours, name) for name in SOLVERS}
    times = interleaved(works, 3 if quick else 7)
    for solver in SOLVERS:
        yield Result(
            f"{solver}, {epochs} epochs on 600 digits", "CPU s", times[solver],
            "SGD by hand", times["by hand"],
            goal=1.3 if solver == "sgd" else None, note=NOTES.get(solver, ""),
        )  # fmt: skip


if __name__ == "__main__":
    main(rows)
