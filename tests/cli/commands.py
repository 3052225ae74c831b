"""Commands that write a file, on networks so small that each takes a moment."""

import sys
from contextlib import chdir

import torch
from safetensors.torch import save_file

import toroids as td
from toroids.cli import main

MODEL = ("--model", "nets_of_outputs:build", "--input", "2,3")
DATA = ("--data", "data.safetensors")
# What each command reads in these folders, and how it is called but for what it writes.
COMMANDS = {
    "symmetries": ((), ("nets_of_outputs:build", "--input", "2,3")),
    "canonicalize": (("a",), MODEL),
    "align": (("a", "b"), MODEL),
    "compare": (("a", "b"), MODEL),
    "profile": (("a", "b"), (*MODEL, *DATA, "--points", "3")),
    "flatness": (("a",), (*MODEL, *DATA, "--samples", "2", "--sigmas", "0.1")),
    "section": (("a", "b", "c"), (*MODEL, *DATA, "--resolution", "2")),
    "merge": (("a", "b"), MODEL),
}
BUILD = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
"""


def fill(folder):
    """Writes networks, data and the module that builds the networks."""
    (folder / "nets_of_outputs.py").write_text(BUILD)
    for seed, name in enumerate("abc"):
        network = td.models.fully_connected([3, 4, 2], seed=seed).double().state_dict()
        names = ("0.weight", "0.bias", "2.weight", "2.bias")
        params = dict(zip(names, network.values(), strict=True))
        td.save_params(params, folder / f"{name}.safetensors")
    inputs = torch.randn(12, 3, generator=torch.Generator().manual_seed(0)).double()
    save_file({"inputs": inputs, "targets": torch.arange(12) % 2}, folder / "data.safetensors")


def arguments(command, out):
    reads, options = COMMANDS[command]
    option = "--json" if command == "symmetries" else "--out"
    return [command, *(f"{name}.safetensors" for name in reads), *options, option, str(out)]


def run(folder, *words):
    """Runs a command in this process; returns its exit code."""
    before = sys.argv
    sys.argv = ["toroids", *words]
    sys.path.insert(0, str(folder))
    try:
        with chdir(folder):
            main()
    except SystemExit as left:
        return left.code
    finally:
        sys.argv = before
        sys.path.remove(str(folder))
        sys.modules.pop("nets_of_outputs", None)
    return 0
