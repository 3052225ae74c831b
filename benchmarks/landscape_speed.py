"""Times what is measured in the landscape beside the least that it can cost.

Run it with `python benchmarks/landscape_speed.py [noise] [bend] [profile]`. CPU seconds on one
thread (`time.process_time`), medians of interleaved runs:

- noise: 64 noisy copies of a 64-256-256-10 network on all 1797 digits, beside the bare matrix
  products of the same shapes, and beside a plain loop over `torch.func.functional_call`;
- bend: 1000 steps of training a bend at batch 128, beside a plain loop with autograd and Adam;
- profile: 25 points of a ResNet-20 with batch norm, statistics kept, beside 25 bare forward passes.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.func import functional_call

import toroids as td

sys.path.insert(0, str(Path(__file__).parent))
from align_speed import drawn, resnet20  # noqa: E402

REPEATS = 7
COPIES, STEPS, POINTS = 64, 1000, 25


def interleaved(actions: dict[str, Callable[[], object]], repeats: int = REPEATS) -> None:
    """Prints the median CPU time of every action, and its ratio to the first."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for action in actions.values():
        action()
    for _ in range(repeats):
        for name, action in actions.items():
            begun = time.process_time()
            action()
            times[name].append(time.process_time() - begun)
    medians = {name: statistics.median(found) for name, found in times.items()}
    first = next(iter(medians.values()))
    for name, seconds in medians.items():
        print(f"  {name:24s} {seconds:7.3f} s  {seconds / first:5.2f}")


def small() -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    """The network and all digits."""
    digits = td.data.digits(train=1796)
    inputs, labels = (torch.cat(parts) for parts in zip(digits.train, digits.test, strict=True))
    return td.models.fully_connected([64, 256, 256, 10], seed=0), (inputs, labels)


def noise() -> None:
    """Noisy copies of a small network."""
    model, (inputs, labels) = small()
    params = model.state_dict()
    weights = [tensor.T.contiguous() for tensor in params.values() if tensor.ndim == 2]
    pieces = inputs.split(1024)

    def bare() -> None:
        for _ in range(COPIES):
            for x in pieces:
                for weight in weights:
                    x = x @ weight

    def loop() -> None:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for _ in range(COPIES):
                noisy = {
                    name: w * (1 + 0.3 * torch.randn(w.shape, generator=generator))
                    for name, w in params.items()
                }
                logits = functional_call(model, noisy, (inputs,))
                (logits.argmax(dim=1) != labels).double().mean().item()
                nn.functional.cross_entropy(logits, labels).item()

    def ours() -> None:
        td.local_energy(model, params, (inputs, labels), (0.3,), samples=COPIES)

    interleaved({"bare products": bare, "toroids": ours, "plain loop": loop})


def bend() -> None:
    """Steps of training a bend."""
    model, (inputs, labels) = small()
    a, b = (
        td.models.fully_connected([64, 256, 256, 10], seed=seed).state_dict() for seed in (1, 2)
    )

    def naive() -> None:
        bend = {n: ((a[n] + b[n]) / 2).requires_grad_() for n in a}
        adam = torch.optim.Adam(bend.values(), lr=1e-3)
        for _ in range(STEPS):
            end, share = (a, b)[int(torch.rand(()) < 0.5)], torch.rand(()).item()
            some = torch.randint(len(labels), (128,))
            point = {n: (1 - share) * end[n] + share * bend[n] for n in bend}
            adam.zero_grad()
            loss = nn.functional.cross_entropy(
                functional_call(model, point, (inputs[some],)), labels[some]
            )
            loss.backward()
            adam.step()

    def ours() -> None:
        td.connect(model, a, b, (inputs, labels), steps=STEPS, points=2, temperature=1.0)

    interleaved({"plain loop": naive, "toroids": ours})


def profile() -> None:
    """Points along a line between two residual networks."""
    built, _ = resnet20(16)
    a, b = (drawn(built, seed).eval() for seed in (0, 1))
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 3, 32, 32, generator=generator)
    labels = torch.randint(10, (64,), generator=generator)
    path = td.Line(a.state_dict(), b.state_dict())

    def bare() -> None:
        with torch.no_grad():
            for _ in range(POINTS):
                a(inputs)

    def ours(batch_norm: str) -> None:
        td.profile(a, path, (inputs, labels), POINTS, batch_norm=batch_norm)

    interleaved(
        {
            "bare forward passes": bare,
            "toroids": lambda: ours("keep"),
            "toroids, recalibrated": lambda: ours("recalibrate"),
        }
    )


def main() -> None:
    """Runs the benchmarks named, or all."""
    torch.set_num_threads(1)
    for name in sys.argv[1:] or ("noise", "bend", "profile"):
        print(f"{name}:")
        {"noise": noise, "bend": bend, "profile": profile}[name]()


if __name__ == "__main__":
    main()
