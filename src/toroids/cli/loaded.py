"""A model, its group and its networks' files, as the commands on the landscape take them."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from torch import nn

from toroids.align.trunk import is_one_of, own_shapes, shared_names
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
from toroids.errors import ParamsError, one_line
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
    cut: bool = False,
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
        cut: whether files need no more than these parts, which may have other shapes.

    Returns:
        Both; no tensor is read yet.
    """
    network = load_model(model, weights=False)
    examples = example_inputs(inputs, tokens, network)
    group = discover(network, examples, mode, output_key=output_key)
    pieces = original_pieces(network)
    shared = shared_names(group, only) if only else group.shapes
    wanted = {n: x for n, x in group.shapes.items() if not cut or n in shared}

    def view(source: Checkpoint) -> StateDictView:
        fixed = () if cut and only else shared
        shapes = own_shapes(source.shapes, wanted, fixed, group.tied)
        try:
            return state_dict_names(source, shapes, group.tied, pieces)
        except ParamsError as error:
            if only is None and len(sources) < 2:  # no part of it can be asked for
                raise
            raise ParamsError(f"{str(error).rstrip('.')}; {fitting(group, source)}.") from error

    return group, [view(source) for source in sources]


def fitting(group: SymmetryGroup, source: Checkpoint, spare: Collection[str] = ()) -> str:
    """Says how much of a file fits an architecture, and which part can be compared.

    Args:
        group: of the architecture.
        source: the file.
        spare: names in the file that the architecture does not have.

    Returns:
        A clause.
    """
    held = own_shapes(source.shapes, group.shapes, (), group.tied)
    firsts = {name: group.tied.get(name, name) for name in group.shapes}
    named = {firsts[n] for n in group.shapes if any(is_one_of(x, (n,)) for x in source.shapes)}
    there = {name for name, first in firsts.items() if first in named}
    wrong = {name for name in there if held[name] != tuple(group.shapes[name])}
    moved = moved_axes(group)
    units = {
        name
        for name in wrong
        if len(held[name]) != len(group.shapes[name])
        or any(held[name][axis] != group.shapes[name][axis] for axis in moved.get(name, ()))
    }
    bad = units | (group.shapes.keys() - there) | set(spare)
    parts = list(dict.fromkeys(_part(name, bad) for name in group.shapes if name not in bad))
    fit = f"{len(there) - len(wrong)} of {len(group.shapes)} tensors fit"
    if not parts:
        return f"{fit}, so that no part can be compared"
    shown = " ".join(f"--only {part}" for part in parts[:MOST_PARTS])
    lengths = ", with as many entries as both have" if wrong - units else ""
    return f"{fit}: compare them with {shown}{' ...' * (len(parts) > MOST_PARTS)}{lengths}"


def _part(name: str, bad: Collection[str]) -> str:
    """The largest module of a tensor in which nothing is bad."""
    pieces = name.split(".")
    for end in range(1, len(pieces)):
        prefix = ".".join(pieces[:end])
        if not any(other.startswith(f"{prefix}.") for other in bad):
            return prefix
    return name


def data_files(*sources: str | None) -> list[Path]:
    """The files among what data are read from; folders are refused where data are read."""
    named = [Path(x) for x in sources if x is not None and x not in EMBEDDED]
    return [path for path in named if not path.is_dir()]


def names_of(files: Sequence[Path]) -> list[str]:
    """What tells files apart: their names, or all of their paths."""
    names = [file.name for file in files]
    return [one_line(x) for x in (names if len(set(names)) == len(names) else files)]


def axis_of(metric: str) -> str:
    """What a picture calls the error of a metric."""
    return {"classification": "error (fraction wrong)", "squared-error": "squared error"}.get(
        metric, f"error ({metric})"
    )
