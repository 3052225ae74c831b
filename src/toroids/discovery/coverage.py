"""What discovery finds on the public networks that can be built here, as a table.

    python -m toroids.discovery.coverage                     # all families of timm and torchvision
    python -m toroids.discovery.coverage swin convnext       # those with such names
    python -m toroids.discovery.coverage --minutes 20        # as many as fit

Of every family of networks that classify images one is taken, the smallest of a few, with random
weights. Each group is proven with random elements in float64 on disturbed parameters.
"""

import argparse
import importlib
import importlib.util
import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from toroids.discovery.discover import group_of
from toroids.discovery.proof.verify import verify
from toroids.discovery.tracing.explore import explore
from toroids.errors import ToroidsError

Build = Callable[[], tuple[nn.Module, Any]]
Wanted = Callable[[str], bool]

# Holds what is declared in the place of torchvision's operators for as long as this module lives.
OPERATORS: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
COLUMNS = (
    "| network | parameters | spaces | dimension | log10 | touched | deviation | seconds | kept |\n"
    "|---|---|---|---|---|---|---|---|---|"
)
CLASSES = 10
LOOKED_AT = 6  # members of a family whose sizes are compared
LARGEST = 60_000_000  # parameters, of what is built
# What names of small networks contain, the smallest first.
SMALL = (
    "test", "atto", "femto", "pico", "nano", "xxs", "xx_small", "xxt", "xs", "x_small", "micro",
    "mini", "tiny", "_t", "small", "_s", "050", "b0", "18", "11", "x0_5", "x1_0", "400mf", "002",
)  # fmt: skip


def row(name: str, build: Build) -> str:
    """Runs discovery and its proof on one network.

    Args:
        name: what the table calls it.
        build: gives the network and a batch of inputs.

    Returns:
        One line of the table; where discovery refuses, or the network cannot be built, the cause.
    """
    try:
        model, inputs = build()
    except Exception as error:  # whatever its library says
        return f"| {name} | cannot be built | | | | | | | {_cell(str(error))} |"
    size = sum(p.numel() for p in model.parameters())
    start = time.process_time()
    try:
        explored = explore(model, inputs)
        group = group_of(explored)
        found = time.process_time()
        deviation = verify(group, model, inputs)
    except ToroidsError as error:
        cause = str(error).split("cannot be traced: ")[-1].split(". Discovery")[0]
        return f"| {name} | {size:,} | refused | | | | | | {_cell(cause)} |"
    proven = time.process_time()
    said = [note for note in group.notes if not note.startswith("holds for inputs of the sizes")]
    notes = "; ".join(_alike([note.split("; this keeps")[0] for note in said])) or "nothing"
    return (
        f"| {name} | {size:,} | {len(group.spaces)} | {group.dimension:,} | "
        f"{group.log10_order:,.0f} | {100 * group.share_moved:.1f} % | {deviation:.0e} | "
        f"{found - start:.2f} + {proven - found:.2f} | {notes.replace('|', '/')} |"
    )


def _alike(notes: Sequence[str]) -> list[str]:
    """One note of those that differ in names and numbers only, with how many there are."""
    groups: dict[str, list[str]] = {}
    for note in notes:
        groups.setdefault(re.sub(r"`[^`]*`|\d+", "", note), []).append(note)
    return [
        own[0] if len(own) == 1 else f"{own[0]} (and {len(own) - 1} like it)"
        for own in groups.values()
    ]


def _cell(cause: str) -> str:
    lines = cause.strip().splitlines()
    return (lines[0] if lines else "").replace("|", "/")[:120]


def families(words: Sequence[str] = ()) -> Iterator[tuple[str, Build]]:
    """One network of every family of torchvision and timm, of what is installed.

    Args:
        words: of networks whose names contain one of these; of all if there are none.

    Yields:
        Names, and what builds the networks.
    """

    def wanted(name: str) -> bool:
        return not words or any(word in name for word in words)

    for library, found in (("torchvision", _torchvision), ("timm", _timm)):
        if importlib.util.find_spec(library) is not None:
            yield from ((f"{library} {name}", build) for name, build in found(wanted))


def _torchvision(wanted: Wanted) -> Iterator[tuple[str, Build]]:
    models = _torchvision_models()
    own: dict[str, list[str]] = {}
    for name in filter(wanted, models.list_models(module=models)):
        own.setdefault(models.get_model_builder(name).__module__, []).append(name)

    def make(name: str) -> nn.Module:
        module: nn.Module = models.get_model(name, weights=None, num_classes=CLASSES)
        return module

    for names in own.values():
        name = _smallest(names, make)
        yield name, lambda name=name: _ready(make(name), (3, 224, 224))  # type: ignore[misc]


def _torchvision_models() -> Any:
    """The networks of torchvision, also of one whose own operators were built for another torch."""
    # those that classify images call none of these: that they are declared is all that is asked for
    try:
        return importlib.import_module("torchvision.models")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for operator in ("nms", "qnms"):
            OPERATORS.define(f"{operator}(Tensor dets, Tensor scores, float threshold) -> Tensor")
        return importlib.import_module("torchvision.models")


def _timm(wanted: Wanted) -> Iterator[tuple[str, Build]]:
    timm: Any = importlib.import_module("timm")

    def make(name: str) -> nn.Module:
        module: nn.Module = timm.create_model(name, num_classes=CLASSES)
        return module

    def build(name: str) -> tuple[nn.Module, Any]:
        model: Any = make(name)
        return _ready(model, model.default_cfg["input_size"])

    for module in timm.list_modules():
        names = list(filter(wanted, timm.list_models(module=module)))
        if names:
            name = _smallest(names, make)
            yield name, lambda name=name: build(name)  # type: ignore[misc]


def _ready(model: nn.Module, size: tuple[int, ...]) -> tuple[nn.Module, Any]:
    return model.eval(), torch.randn(2, *size)


def _smallest(names: list[str], make: Callable[[str], nn.Module]) -> str:
    """The network with the fewest parameters, of those whose names promise few."""

    def promised(name: str) -> tuple[int, int]:
        return next((i for i, word in enumerate(SMALL) if word in name), len(SMALL)), len(name)

    def size(name: str) -> int:
        try:
            with torch.device("meta"):
                return sum(p.numel() for p in make(name).parameters())
        except Exception:  # not everything can be built without memory
            return LARGEST

    return min(sorted(names, key=promised)[:LOOKED_AT], key=size)


def lines(networks: Iterator[tuple[str, Build]], minutes: float) -> Iterator[str]:
    """Lines of the table, as long as there is time.

    Args:
        networks: names, and what builds them.
        minutes: of the processor; no network is begun after them.

    Yields:
        One line for every network.
    """
    start = time.process_time()
    for name, build in networks:
        if time.process_time() - start > 60 * minutes:
            return
        yield row(name, build)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m toroids.discovery.coverage",
        description="What discovery finds on the public networks that can be built here.",
    )
    parser.add_argument("words", nargs="*", help="only networks whose names contain one of these")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="of the processor")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    print(COLUMNS)
    for line in lines(families(given.words), given.minutes):
        print(line, flush=True)


if __name__ == "__main__":
    main()
