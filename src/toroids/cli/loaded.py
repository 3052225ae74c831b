"""A model, its group and its networks' files, as the commands on the landscape take them."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from torch import nn

from toroids.align.trunk import own_shapes, shared_names
from toroids.checkpoint import (
    Checkpoint,
    StateDictView,
    open_checkpoint,
    original_pieces,
    state_dict_names,
)
from toroids.cli.shared import (
    check_inputs,
    example_inputs,
    output_mode,
)
from toroids.compare.surrogate import moved_axes
from toroids.data.files import EMBEDDED
from toroids.discovery.discover import discover
from toroids.errors import ParamsError
from toroids.evaluation.batches import Data
from toroids.evaluation.landscape import Landscape
from toroids.geometry.hypercube import Hypercube
from toroids.geometry.toroid import Toroid
from toroids.models.load import load_model
from toroids.params import Params
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import OutputMode

# Parts of a network that a sentence names.
MOST_PARTS = 4
DATA = "A safetensors file with `inputs` and `targets`; or digits, digits:test."
Examples = Annotated[str, typer.Option("--data", help=DATA)]
Training = Annotated[
    str | None, typer.Option("--train", help="Training data, in the same form; --data when not.")
]
Picture = Annotated[Path, typer.Option(help="Where the picture goes, an HTML file.")]
Measure = Annotated[
    str, typer.Option(help="classification, top-K (as top-5), next-token or squared-error.")
]
# What a reader of errors does not see is removed, unless said otherwise.
Mode = Annotated[str, typer.Option(help="values, logits or classifier.")]
Width = Annotated[int, typer.Option(help="Examples that are run at once.")]


class Loaded:
    """A model with its group, and its networks' files."""

    def __init__(
        self,
        model: str,
        inputs: list[str] | None,
        tokens: int | None,
        output: str,
        output_key: str | None,
        files: Sequence[Path],
    ) -> None:
        """Finds the model's group and opens the files under the model's names."""
        mode = output_mode(output)
        check_inputs(inputs, tokens)
        self.model: nn.Module = load_model(model)
        examples = example_inputs(inputs, tokens, self.model)
        self.group: SymmetryGroup = discover(self.model, examples, mode, output_key=output_key)
        self.output_key = output_key
        pieces = original_pieces(self.model)
        self.sources = [open_checkpoint(file) for file in files]
        self.named = [
            state_dict_names(x, self.group.shapes, self.group.tied, pieces) for x in self.sources
        ]
        self.networks: list[Params] = [dict(x) for x in self.named]

    def landscape(self, data: Data, **settings: Any) -> Landscape:
        """The model's landscape on some data, on the manifold of its networks."""
        manifold = Hypercube if self.group.binary else Toroid
        shared = {"on": manifold(self.group), "output_key": self.output_key}
        return Landscape(self.model, data, **{**shared, **settings})


def group_and_files(
    model: str,
    inputs: list[str] | None,
    tokens: int | None,
    mode: OutputMode,
    output_key: str | None,
    sources: Sequence[Checkpoint],
    only: Sequence[str] | None = None,
) -> tuple[SymmetryGroup, list[StateDictView]]:
    """A model's group, and files under the model's names; its own weights are not kept.

    Args:
        model: its name, as `load_model` takes it.
        inputs: shapes of its example; those that it takes where there are none.
        tokens: below which number inputs are drawn as integers.
        mode: what the reader of the outputs cannot see.
        output_key: the entry of a structured output that counts.
        sources: the files.
        only: parts of the model of which the files must have the shapes; all of it when None.

    Returns:
        Both; no tensor is read yet.
    """
    network = load_model(model, weights=False)
    examples = example_inputs(inputs, tokens, network)
    group = discover(network, examples, mode, output_key=output_key)
    pieces = original_pieces(network)
    shared = shared_names(group, only) if only else group.shapes

    def view(source: Checkpoint) -> StateDictView:
        shapes = own_shapes(source.shapes, group.shapes, shared)
        try:
            return state_dict_names(source, shapes, group.tied, pieces)
        except ParamsError as error:
            if only is None and len(sources) < 2:  # no part of it can be asked for
                raise
            raise ParamsError(f"{str(error).rstrip('.')}; {_fitting(group, source)}.") from error

    return group, [view(source) for source in sources]


def _fitting(group: SymmetryGroup, source: Checkpoint) -> str:
    """Says how much of a file fits an architecture, and which part can be compared."""
    held = own_shapes(source.shapes, group.shapes, ())
    there = {n for n in group.shapes if any(f".{x}".endswith(f".{n}") for x in source.shapes)}
    wrong = {name for name in there if held[name] != tuple(group.shapes[name])}
    fit = f"{len(there) - len(wrong)} of {len(group.shapes)} tensors fit"
    moved = moved_axes(group)
    turned = {
        name
        for name in wrong
        if len(held[name]) != len(group.shapes[name])
        or any(held[name][axis] != group.shapes[name][axis] for axis in moved.get(name, ()))
    }
    bad = wrong | (group.shapes.keys() - there)
    parts = list(dict.fromkeys(_part(name, bad) for name in group.shapes if name not in bad))
    if not parts or turned or there != group.shapes.keys():
        return f"{fit}, but no part can be compared where hidden units differ or are missing"
    shown = " ".join(f"--only {part}" for part in parts[:MOST_PARTS])
    return f"{fit}: compare them with {shown}{' ...' * (len(parts) > MOST_PARTS)}"


def _part(name: str, bad: Collection[str]) -> str:
    """The largest module of a tensor in which nothing is bad."""
    pieces = name.split(".")
    for end in range(1, len(pieces)):
        prefix = ".".join(pieces[:end])
        if not any(other.startswith(f"{prefix}.") for other in bad):
            return prefix
    return name


def data_files(*sources: str | None) -> list[Path]:
    """The files among what data are read from."""
    return [Path(source) for source in sources if source is not None and source not in EMBEDDED]


def names_of(files: Sequence[Path]) -> list[str]:
    """What tells files apart: their names, or all of their paths."""
    names = [file.name for file in files]
    return names if len(set(names)) == len(names) else [str(file) for file in files]


def axis_of(metric: str) -> str:
    """What a picture calls the error of a metric."""
    return {"classification": "error (fraction wrong)", "squared-error": "squared error"}.get(
        metric, f"error ({metric})"
    )
