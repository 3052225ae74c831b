"""Barriers of the loss between language models trained apart, by what is removed between them.

Run it with `python benchmarks/language_models.py`: two decoders of 0.35 million parameters learn
the language reference of Python, and are brought together by the peer's weight matching, written
anew from its description, and by the methods of `td.align`. A barrier is the largest loss above
the chord at 25 points, on the whole test text. The goal of what takes no data is the peer's; that
of `loss` is 0.1 nats within ten minutes, at no more than two and a half training steps per step.
"""

import time
from collections.abc import Iterator

import torch
from harness.result import LIMIT, Result
from harness.script import main
from harness.weight_matching import matched
from torch import nn

import toroids as td
from toroids.evaluation.metrics import mean_cross_entropy

HEADS = 4
SECONDS = 600


def rows(quick: bool) -> Iterator[Result]:
    """Barriers beside the peer's, and the cost of a step."""
    data = td.data.text(length=16 if quick else 64, most=20_000 if quick else None)
    dim, depth = (16, 1) if quick else (96, 3)

    def make(seed: int) -> nn.Module:
        return td.models.decoder(data.classes, dim, depth, HEADS, seed=seed)

    epochs, lr = (4, 0.02) if quick else (8, 0.003)
    a, b = (
        td.solvers.Adam(budget=epochs, batch_size=32, lr=lr, clip=1.0)
        .train(make, data.train, seed)
        .params
        for seed in (1, 2)
    )
    model = make(0).eval()
    group = td.discover(model, data.train[0][:4])
    unseen = td.Landscape(model, data.test)
    ends = [unseen(x).loss for x in (a, b)]
    note = f"the ends have {ends[0]:.3f} and {ends[1]:.3f}"

    def barrier(path: td.geometry.Line | td.geometry.Geodesic) -> float:
        return td.profile(unseen, path, 25).loss_barrier_over_chord

    raw = barrier(td.geometry.Line(a, b))
    permuted = barrier(td.geometry.Line(*matched(a, b, depth, HEADS, rotate=False)))
    peer = barrier(td.geometry.Line(*matched(a, b, depth, HEADS)))
    yield Result(
        "barrier, peer's permutations", "nats", [permuted], "as they are", [raw], note=note
    )
    yield Result("barrier, peer's weight matching", "nats", [peer], "as they are", [raw])
    inputs = data.train[0][:: max(1, len(data.train[0]) // 64)]
    for method, needs in (
        ("descent", {}),
        ("activations", {"probe": td.probe.Probe(model, group, inputs)}),
        (
            "loss",
            {"landscape": td.Landscape(model, data.train), "budget": 20 if quick else SECONDS},
        ),
    ):
        found = td.align(group, b, to=a, method=method, **needs)
        reached = barrier(td.Toroid(group).geodesic(found.reference, found.params))
        beside, value, goal = ("peer's weight matching", peer, 1.0)
        if method == "loss":
            beside, value = LIMIT, 0.1
        note = f"{found.seconds:.0f} s, {found.sweeps} sweeps or steps"
        yield Result(f"barrier, {method}", "nats", [reached], beside, [value], goal=goal, note=note)
    yield _cost(model, group, (a, b), data)


def _cost(
    model: nn.Module, group: td.SymmetryGroup, ends: tuple[td.Params, td.Params], data: td.data.Text
) -> Result:
    """A step of the method `loss`, its start left out, beside a training step of that batch."""
    landscape = td.Landscape(model, data.train)
    times: list[float] = []

    def seen(text: str, _done: int, _all: int) -> None:
        if text == "loss":
            times.append(time.process_time())

    td.align(
        group, ends[1], to=ends[0], method="loss", landscape=landscape, budget=20, progress=seen
    )
    count = max(1, 1024 // data.train[1].shape[1])
    inputs, targets = (x[:count] for x in data.train)
    optimizer = torch.optim.Adam(model.parameters())

    def step() -> float:
        begun = time.process_time()
        optimizer.zero_grad()
        torch.autograd.backward(mean_cross_entropy(model(inputs), targets))
        optimizer.step()
        return time.process_time() - begun

    plain = [step() for _ in range(12)][2:]
    ours = [(times[-1] - times[0]) / (len(times) - 1)] if len(times) > 1 else []
    note = "a mean over all steps, what judges them included"
    return Result("a step of loss", "CPU s", ours, "training step", plain, goal=2.5, note=note)


if __name__ == "__main__":
    main(rows)
