"""Times what is measured in the landscape beside the least that it can cost.

Run it with `python benchmarks/landscape_speed.py [noise] [bend] [profile]`. CPU seconds on one
thread (`time.process_time`), medians of interleaved runs:

- noise: 64 noisy copies of a 64-256-256-10 network on all 1797 digits, beside the bare matrix
  products of the same shapes, and beside a plain loop over `torch.func.functional_call`;
- bend: 1000 steps of training a bend at batch 128, beside a plain loop with autograd and Adam;
- profile: 25 points of a ResNet-20 with batch norm, statistics kept, beside 25 bare forward passes.
"""

from collections.abc import Iterator, Sequence

import torch
from harness.networks import drawn, resnet20
from harness.result import Result
from harness.script import main
from harness.timing import interleaved
from torch import nn
from torch.func import functional_call

import toroids as td

REPEATS = 7


def small() -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    """The network and all digits."""
    digits = td.data.digits(train=1796)
    inputs, labels = (torch.cat(parts) for parts in zip(digits.train, digits.test, strict=True))
    return td.models.fully_connected([64, 256, 256, 10], seed=0), (inputs, labels)


def noise(quick: bool) -> Iterator[Result]:
    """Noisy copies of a small network."""
    copies = 16 if quick else 64
    model, (inputs, labels) = small()
    params = model.state_dict()
    weights = [tensor.T.contiguous() for tensor in params.values() if tensor.ndim == 2]
    pieces = inputs.split(1024)  # type: ignore[no-untyped-call]

    def bare() -> None:
        for _ in range(copies):
            for x in pieces:
                for weight in weights:
                    x = x @ weight

    def loop() -> None:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for _ in range(copies):
                noisy = {
                    name: w * (1 + 0.3 * torch.randn(w.shape, generator=generator))
                    for name, w in params.items()
                }
                logits = functional_call(model, noisy, (inputs,))
                (logits.argmax(dim=1) != labels).double().mean().item()
                nn.functional.cross_entropy(logits, labels).item()

    def ours() -> None:
        td.local_energy(td.Landscape(model, (inputs, labels)), params, (0.3,), copies)

    times = interleaved({"bare": bare, "ours": ours, "loop": loop}, 3 if quick else REPEATS)
    name = f"local energy, {copies} noisy copies of 64-256-256-10"
    yield Result(name, "CPU s", times["ours"], "bare products", times["bare"], goal=1.2)
    yield Result(name, "CPU s", times["ours"], "plain loop", times["loop"])


def bend(quick: bool) -> Iterator[Result]:
    """Steps of training a bend."""
    steps = 100 if quick else 1000
    model, (inputs, labels) = small()
    a, b = (
        td.models.fully_connected([64, 256, 256, 10], seed=seed).state_dict() for seed in (1, 2)
    )

    def naive() -> None:
        bend = {n: ((a[n] + b[n]) / 2).requires_grad_() for n in a}
        adam = torch.optim.Adam(bend.values(), lr=1e-3)
        for _ in range(steps):
            end, share = (a, b)[int(torch.rand(()) < 0.5)], torch.rand(()).item()
            some = torch.randint(len(labels), (128,))
            point = {n: (1 - share) * end[n] + share * bend[n] for n in bend}
            adam.zero_grad()
            loss = nn.functional.cross_entropy(
                functional_call(model, point, (inputs[some],)), labels[some]
            )
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()

    def ours() -> None:
        landscape = td.Landscape(model, (inputs, labels), temperature=1.0)
        td.connect(landscape, a, b, td.landscape.BendRecipe(steps), points=2)

    times = interleaved({"loop": naive, "ours": ours}, 3 if quick else REPEATS)
    name = f"connect, {steps} steps at batch 128"
    yield Result(name, "CPU s", times["ours"], "plain loop", times["loop"], goal=0.76)


def profile(quick: bool) -> Iterator[Result]:
    """Points along a line between two residual networks."""
    points = 3 if quick else 25
    torch.manual_seed(0)
    built, _ = resnet20(16)
    a, b = (drawn(built, seed).eval() for seed in (0, 1))
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 3, 32, 32, generator=generator)
    labels = torch.randint(10, (64,), generator=generator)
    path = td.geometry.Line(a.state_dict(), b.state_dict())

    def bare() -> None:
        with torch.no_grad():
            for _ in range(points):
                a(inputs)

    def ours(batch_norm: str) -> None:
        td.profile(td.Landscape(a, (inputs, labels), statistics=batch_norm), path, points)

    times = interleaved(
        {
            "bare": bare,
            "keep": lambda: ours("keep"),
            "recalibrate": lambda: ours("recalibrate"),
        },
        3 if quick else REPEATS,
    )
    name, least = f"profile, {points} points of ResNet-20", "bare forward passes"
    yield Result(name, "CPU s", times["keep"], least, times["bare"], goal=1.1)
    yield Result(f"{name}, recalibrated", "CPU s", times["recalibrate"], least, times["bare"])


PARTS = {"noise": noise, "bend": bend, "profile": profile}


def rows(quick: bool, parts: Sequence[str] = tuple(PARTS)) -> Iterator[Result]:
    """The rows of the parts named."""
    torch.set_num_threads(1)
    for name in parts:
        yield from PARTS[name](quick)


if __name__ == "__main__":
    main(rows, tuple(PARTS))
