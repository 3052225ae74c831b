"""Models by name: `package.module:callable`, or a local folder in the Hugging Face format."""

import importlib
import math
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from toroids.arguments.bounds import LARGEST
from toroids.arguments.shown import shown
from toroids.checkpoint.reading import weight_map
from toroids.errors import ConfigError, said
from toroids.files.objects import read_object
from toroids.files.reading import open_file, read_file

# Of a folder in the Hugging Face format, what is read of it; and bytes of its configuration.
READ = (".json", ".safetensors")
# Sizes of at most 64 axes, which is as many as PyTorch takes; no int() alone, which takes "1_0".
SHAPE = re.compile(r" *0*[1-9][0-9]* *(, *0*[1-9][0-9]* *){0,63}")
MOST_BYTES = 16_000_000
# Settings that count what is built one by one.
REPEATED = re.compile("(layers?|depth|blocks|experts)$")
MOST_LAYERS = 10_000
# As many names are made up for labels, of which large sets have tens of thousands.
MOST_LABELS = 1_000_000
# What chooses an implementation; one with an owner is code that is fetched from a hub and run.
IMPLEMENTATION = re.compile("(attn|attention|experts)_implementation")
# Tokens in the example of a text.
LENGTH = 12


def load_model(name: str, weights: bool = True) -> nn.Module:
    """Builds the model that a user named on the command line.

    Args:
        name: `package.module:callable`, which is imported and called without arguments (the
            current folder is searched too), or a local folder with a `config.json` as
            `save_pretrained` writes it (weights, if any, are read with safetensors only).
        weights: whether those of a folder are read; if not, its parameters stay on the meta
            device, and a model of any size is built in next to no memory.

    Returns:
        The model.

    Raises:
        ConfigError: nothing of that name, it fails, or it gives no module.
    """
    if os.path.isdir(name):
        return _pretrained(Path(name), weights)
    if not all(name.partition(":")):
        raise ConfigError(
            f"`{name}` names no model; write package.module:callable, or a folder with config.json."
        )
    try:
        found = imported(name)
        return found if isinstance(found, nn.Module) else called(name, found)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's code does
        raise ConfigError(_failed(name, error)) from error


def imported(name: str) -> Any:
    """Imports what a user named; the current folder is searched first.

    What the module itself raises goes through.

    Args:
        name: `package.module:name`.

    Returns:
        What lies under that name.

    Raises:
        ConfigError: nothing does.
    """
    module, _, attribute = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"`{name}` cannot be imported: {error}.") from error


def called(name: str, function: Any, **arguments: Any) -> nn.Module:
    """Calls what builds a network; what it raises itself goes through.

    Args:
        name: of the function, for messages.
        function: what was imported under that name.
        arguments: passed by name.

    Returns:
        The network.

    Raises:
        ConfigError: it does not take the arguments, or returns something else.
    """
    try:
        model = function(**arguments)
    except TypeError as error:
        # a call that does not fit fails before it is inside of anything
        if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
            raise
        names = ", ".join(f"{argument}=" for argument in arguments)
        given = f"with {names}" if names else "without arguments"
        raise ConfigError(
            f"`{name}` cannot be called {given}: {error}; name a function that can and builds the "
            "model."
        ) from error
    if not isinstance(model, nn.Module):
        raise ConfigError(f"`{name}` gives a {type(model).__name__}; expected a torch.nn.Module.")
    return model


def _failed(name: str, error: BaseException) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f" in line {place.lineno} of `{place.filename}`" if place.filename != __file__ else ""
    what = f"{type(error).__name__}: {said(error) or 'no message'}"
    return f"`{name}` failed{where}: {what}; mend it, or name another."


def _pretrained(folder: Path, weights: bool) -> nn.Module:
    try:
        import transformers  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise ConfigError(
            f"reading the folder `{folder}` needs pip install 'toroids[transformers]'."
        ) from error
    name = _architecture(folder, weights)
    kind: Any = getattr(transformers, name, None)
    # other functions of that library are not called because a file names them
    is_module = isinstance(kind, type) and issubclass(kind, nn.Module)
    if not is_module:
        raise ConfigError(
            f"`{folder}/config.json` names {name}; expected an architecture of transformers."
        )
    try:
        settings = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
        if not weights:
            with _parameters_on_meta():
                model = kind(settings)
        elif any(folder.glob("*.safetensors")):
            model = kind.from_pretrained(
                folder, config=settings, use_safetensors=True, local_files_only=True
            )
        else:
            torch.manual_seed(0)
            model = kind(settings)
    except Exception as error:  # transformers raises whatever it meets
        raise ConfigError(_failed(str(folder), error)) from error
    built: nn.Module = model.eval()
    return built


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """Builds modules whose parameters take no memory; their buffers are computed as always."""
    register = nn.Module.register_parameter

    def on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and not parameter.is_meta:
            empty = torch.empty_like(parameter, device="meta")
            parameter = nn.Parameter(empty, requires_grad=parameter.requires_grad)
        register(module, name, parameter)

    nn.Module.register_parameter = on_meta  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


def _architecture(folder: Path, weights: bool) -> str:
    """The name of the class that a folder in the Hugging Face format is of."""
    # without weights, a configuration and an index are enough
    try:
        for path in folder.iterdir():  # transformers would wait for a pipe
            if path.suffix in READ[: 1 + weights] and not path.is_dir():
                open_file(path).close()
        for index in folder.glob("*.safetensors.index.json") if weights else ():
            for shard in set(weight_map(index).values()):
                open_file(folder / shard).close()
        settings = read_object(read_file(folder / "config.json", MOST_BYTES))
        _check_settings(settings)
        names = settings.get("architectures")
        if not isinstance(names, list) or not names or not isinstance(names[0], str):
            raise ValueError("it names no architecture")
        return names[0]
    except (OSError, ValueError) as error:
        reason: object = error
        if isinstance(error, OSError):
            reason = f"`{error.filename}`: {error.strerror}"
        raise ConfigError(
            f"`{folder}` holds no readable config.json with an architecture ({reason}); pass a "
            "folder as save_pretrained writes it."
        ) from error


def _check_settings(settings: Any) -> None:
    """Raises where there is more to build one by one than anybody has, or code to be fetched."""
    if not isinstance(settings, dict):
        return
    for name, value in settings.items():
        _check_settings(value)
        most = MOST_LABELS if name == "num_labels" else MOST_LAYERS * bool(REPEATED.search(name))
        if most and type(value) is int and value > most:
            raise ValueError(f"{name} is {shown(value)}, more than {most:,}")
        if IMPLEMENTATION.search(name) and _is_elsewhere(value):
            raise ValueError(f"{name} is {shown(value)}, code that is elsewhere and is never run")


def _is_elsewhere(value: Any) -> bool:
    """Whether an implementation, or one of several parts, is named with its owner."""
    parts = value.values() if isinstance(value, dict) else [value]
    return any("/" in str(part) for part in parts)


def usual_inputs(model: nn.Module) -> dict[str, torch.Tensor]:
    """Example inputs of a model of transformers, by its configuration: a text or an image.

    Args:
        model: as `load_model` gives it.

    Returns:
        Its keyword arguments.

    Raises:
        ConfigError: nothing says what the model takes.
    """
    taken, config = getattr(model, "main_input_name", None), getattr(model, "config", None)
    generator = torch.Generator().manual_seed(0)
    if taken == "pixel_values" and isinstance(size := getattr(config, "image_size", None), int):
        shape = (1, getattr(config, "num_channels", 3), size, size)
        return {taken: torch.randn(shape, generator=generator)}
    words = getattr(config, "vocab_size", None)
    if taken == "input_ids" and isinstance(words, int):
        names = [taken, *["decoder_input_ids"] * bool(getattr(config, "is_encoder_decoder", False))]
        return {
            name: torch.randint(words, (1, LENGTH - i), generator=generator)
            for i, name in enumerate(names)
        }
    raise ConfigError(
        f"nothing says what inputs `{type(model).__name__}` takes; pass an example's shape, as "
        "--input 1,3,32,32, or NAME=1,8 for a keyword argument."
    )


def example(shape: str, integers: int | None = None) -> torch.Tensor:
    """An example input of a shape written as "1,3,32,32".

    Args:
        shape: sizes, separated by commas.
        integers: draw integers below this number, as token ids, instead of normal numbers.

    Returns:
        The tensor, seeded.

    Raises:
        ConfigError: the text is no shape or a huge one, or no integer is below the number.
    """
    if integers is not None and not 1 <= integers < 2**63:
        raise ConfigError(
            f"tokens are drawn below {shown(integers)}; pass the size of the vocabulary."
        )
    if not SHAPE.fullmatch(shape):
        raise ConfigError(f"the input shape is {shown(shape)}; write sizes as 1,3,32,32.")
    digits = [size.strip().lstrip("0") for size in shape.split(",")]
    # of more digits Python makes no number
    sizes = [int(size) if len(size) < 19 else LARGEST["entries"] + 1 for size in digits]
    if math.prod(sizes) > LARGEST["entries"]:
        named = shape if len(shape) <= 60 else f"{shape[:60]}..."
        raise ConfigError(
            f"the input shape {named} has more than {LARGEST['entries']:,} entries; an example as "
            "small as 1,3,32,32 is enough."
        )
    generator = torch.Generator().manual_seed(0)
    if integers is not None:
        return torch.randint(0, integers, sizes, generator=generator)
    return torch.randn(sizes, generator=generator)
