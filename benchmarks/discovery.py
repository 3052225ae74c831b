"""Times discovery beside the trace alone, and against the number of operators.

Run it with `python benchmarks/discovery.py [large] [families]`. Seconds are of the processor, on
one thread. Beside `td.discover`, proof included, stands `torch.export` of the same module on the
same inputs, the least that a tool must do which looks at operators. The slope is that of the
logarithm of the seconds for inference (from the trace to the group, without the trace and the
proof) against the logarithm of the number of operators, over depths of one family; one is linear.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from harness.result import Result
from harness.script import main
from harness.timing import interleaved
from torch import nn

import toroids as td
from toroids.discovery.discover import group_of
from toroids.discovery.tracing.explore import explore

X = torch.randn(2, 784)
Build = Callable[[], tuple[nn.Module, Any]]


class Residual(nn.Module):
    """Layers that are added to what they read, as in residual and in graph networks."""

    def __init__(self, layers: list[nn.Module], last: nn.Module) -> None:
        """Takes the layers, and what reads their sum."""
        super().__init__()
        self.layers, self.last = nn.ModuleList(layers), last

    def forward(self, x: torch.Tensor) -> Any:
        """Adds layer by layer."""
        for layer in self.layers:
            x = x + layer(x)
        return self.last(x)


class Dense(nn.Module):
    """Layers that read all earlier ones."""

    def __init__(self, depth: int) -> None:
        """Builds as many layers."""
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8 * (n + 1), 8) for n in range(depth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Concatenates layer by layer."""
        for layer in self.layers:
            x = torch.cat([x, layer(x).relu()], 1)
        return x


class Loop(nn.Module):
    """A recurrent cell in a loop over time."""

    def __init__(self, steps: int) -> None:
        """Builds the cell, and notes how often it is called."""
        super().__init__()
        self.read, self.keep, self.out = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)
        self.steps = steps

    def forward(self, x: torch.Tensor) -> Any:
        """Runs over time."""
        h = x.new_zeros(x.shape[0], 8)
        for _ in range(self.steps):
            h = torch.tanh(self.read(x) + self.keep(h))
        return self.out(h)


def convolution() -> nn.Module:
    """A block of a residual network."""
    return nn.Sequential(
        nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1),
        nn.BatchNorm2d(8),
    )  # fmt: skip


def families(depth: int) -> dict[str, tuple[nn.Module, torch.Tensor]]:
    """Eight kinds of networks, as deep as asked for."""
    rows, image, tokens = torch.randn(2, 8), torch.randn(2, 8, 8, 8), torch.randn(2, 5, 8)
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return {
        "fully connected": (td.models.fully_connected([8] * (depth + 2), seed=0), rows),
        "convolutional": (
            nn.Sequential(*(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
                            for _ in range(depth))), image,
        ),
        "residual": (Residual([convolution() for _ in range(depth)], nn.Conv2d(8, 2, 1)), image),
        "residual, normed": (
            Residual([nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8))
                      for _ in range(depth)], nn.Linear(8, 2)), rows,
        ),
        "transformer": (nn.TransformerEncoder(block, depth, enable_nested_tensor=False), tokens),
        "densely connected": (Dense(depth), rows),
        "unrolled recurrent": (Loop(depth), rows),
        "grouped convolutions": (
            nn.Sequential(*(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=4), nn.ReLU(),
                                          nn.ChannelShuffle(4)) for _ in range(depth))), image,
        ),
    }  # fmt: skip


def large(quick: bool) -> dict[str, Build]:
    """Networks of a hundred million parameters."""
    if quick:
        return {"LeNet-300-100": lambda: (td.models.fully_connected([784, 300, 100, 10]), X)}
    from transformers import GPT2Config, GPT2LMHeadModel, ViTConfig, ViTForImageClassification

    def resnet() -> tuple[nn.Module, Any]:
        from harness.networks import classic

        return classic("ResNet-50")

    def vit() -> tuple[nn.Module, Any]:
        return ViTForImageClassification(ViTConfig()).train(False), torch.randn(1, 3, 224, 224)

    def gpt2() -> tuple[nn.Module, Any]:
        return GPT2LMHeadModel(GPT2Config(use_cache=False)).train(False), {
            "input_ids": torch.randint(50257, (1, 16))
        }

    return {"ResNet-50": resnet, "ViT-B": vit, "GPT-2": gpt2}


def exported(model: nn.Module, inputs: Any) -> object:
    """The trace alone."""
    given = ((), dict(inputs)) if isinstance(inputs, dict) else ((inputs,), None)
    return torch.export.export(model, *given, strict=False)


def slope(points: list[tuple[float, float]]) -> float:
    """Of the line of least squares through the logarithms."""
    x, y = (torch.tensor([math.log(p[i]) for p in points], dtype=torch.float64) for i in (0, 1))
    x = x - x.mean()
    return float((x * y).sum() / (x * x).sum())


def rows(quick: bool, parts: Sequence[str]) -> Iterator[Result]:
    """Seconds beside those of the trace, and slopes."""
    torch.set_num_threads(1)
    if "large" in parts:
        yield from beside_the_trace(quick)
    if "families" in parts:
        yield from slopes(quick)


def beside_the_trace(quick: bool) -> Iterator[Result]:
    """Seconds of discovery on large networks."""
    for name, build in large(quick).items():
        model, inputs = build()
        times = interleaved(
            {
                "ours": partial(td.discover, model, inputs),
                "trace": partial(exported, model, inputs),
            },
            1 if quick else 3,
        )
        what = f"discovery of {name}, proven"
        yield Result(what, "CPU s", times["ours"], "torch.export", times["trace"])


def slopes(quick: bool) -> Iterator[Result]:
    """How the seconds of inference grow with the number of operators."""
    found: dict[str, list[tuple[float, float]]] = {}
    for depth in (4, 8) if quick else (8, 16, 32, 64):
        for name, (model, inputs) in families(depth).items():
            explored = explore(model.eval(), inputs)
            operators = len(explored.main.graph.graph.nodes)
            timed = interleaved({"ours": partial(group_of, explored)}, 3)["ours"]
            best = min(timed)
            found.setdefault(name, []).append((operators, best))
    for name, points in found.items():
        note = ", ".join(f"{n:.0f}: {1000 * t:.0f} ms" for n, t in points)
        yield Result(
            f"seconds of inference against operators, {name}", "slope", [slope(points)], "linear",
            [1.0], goal=1.3, note=f"by operators {note}",
        )  # fmt: skip


if __name__ == "__main__":
    main(rows, ("large", "families"))
