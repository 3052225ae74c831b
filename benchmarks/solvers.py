"""Times a solver's training beside the same loop written by hand with torch.optim.

Run it with `python benchmarks/solvers.py`. CPU seconds on one thread, medians of interleaved runs:
20 epochs of SGD at batch 50 on 600 digits, a 64-128-128-10 network; error and loss on all training
images are measured after every epoch in both.
"""

import math
import sys
from pathlib import Path

import torch
from torch import nn

import toroids as td

sys.path.insert(0, str(Path(__file__).parent))
from landscape_speed import interleaved  # noqa: E402

EPOCHS = 20


def main() -> None:
    """Prints both times and their ratio."""
    torch.set_num_threads(1)
    inputs, labels = td.data.digits(train=600).train

    def make_model(seed: int) -> nn.Module:
        return td.models.fully_connected([64, 128, 128, 10], seed=seed)

    def by_hand() -> None:
        model, generator = make_model(0), torch.Generator().manual_seed(0)
        sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
        for epoch in range(EPOCHS):
            sgd.param_groups[0]["lr"] = 0.05 * (1 + math.cos(math.pi * epoch / EPOCHS))
            for some in torch.randperm(600, generator=generator).split(50):
                sgd.zero_grad()
                nn.functional.cross_entropy(model(inputs[some]), labels[some]).backward()
                sgd.step()
            with torch.no_grad():
                logits = model(inputs)
                (logits.argmax(dim=1) != labels).double().mean().item()
                nn.functional.cross_entropy(logits, labels).item()

    def ours(solver: str) -> None:
        getattr(td.solvers, solver)(make_model, (inputs, labels), 0, EPOCHS, hold=EPOCHS + 1)

    names = ("sgd", "adam", "sam", "swa", "entropy_sgd", "replicated_sgd")
    interleaved({"by hand": by_hand} | {name: lambda name=name: ours(name) for name in names})


if __name__ == "__main__":
    main()
