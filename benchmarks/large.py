"""Large networks: discovery without weights, and from shards to shards beside the bare work.

Run it with `python benchmarks/large.py` on Linux with transformers installed; TMPDIR says where the
networks are written. A language model of the Llama kind in bfloat16 lies in shards, and beside it a
copy that a random element has moved, with noise of 0.1 % of every weight, as of a short fine-tune.
Of the largest there is the configuration alone. Every step runs in a process of its own, on one
thread; seconds are those of its processor, and the memory is what belongs to the process alone
(RssAnon) beyond what it took before.

Beside discovery stands drawing all weights in float64 and multiplying them with as many tokens as
the example has, once for each of the proof's two runs. Beside the canonical form
stands reading the network and writing it, beside alignment and merging reading both, multiplying
every matrix with its like once, and writing one, and beside a distance reading both and adding up
the squares of what is between them.
"""

import json
import math
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import safetensors.torch
import torch
from harness.memory import apart, status
from harness.result import Result
from harness.script import main

import toroids as td
from toroids.checkpoint import StateDictView, open_checkpoint, save_checkpoint, state_dict_names
from toroids.computed import Computed
from toroids.models.load import load_model, usual_inputs
from toroids.params import inner_product, products

# Of the model: hidden units, those of the feed-forward layers, layers, heads, heads of keys, words;
# entries of a shard, none where only the configuration is written.
Size = dict[str, int]
SIZES: dict[str, Size] = {
    "133M": {
        "hidden": 1024, "inner": 2816, "layers": 6, "heads": 16, "keys": 4, "words": 32000,
        "shard": 2**25,
    },
    "1.1B": {
        "hidden": 2048, "inner": 5632, "layers": 22, "heads": 32, "keys": 4, "words": 32000,
        "shard": 2**28,
    },
    "7B": {
        "hidden": 4096, "inner": 11008, "layers": 32, "heads": 32, "keys": 32, "words": 32000,
        "shard": 0,
    },
    "70B": {
        "hidden": 8192, "inner": 28672, "layers": 80, "heads": 64, "keys": 8, "words": 32000,
        "shard": 0,
    },
}  # fmt: skip
QUICK: Size = {
    "hidden": 64, "inner": 1056, "layers": 2, "heads": 16, "keys": 4, "words": 500, "shard": 2**16,
}  # fmt: skip
NOISE = 1e-3
GOAL = 3.0


def write_config(folder: Path, size: Size) -> None:
    """Writes the configuration of a model."""
    import transformers  # type: ignore[import-not-found,unused-ignore]

    config = transformers.LlamaConfig(
        vocab_size=size["words"],
        hidden_size=size["hidden"],
        intermediate_size=size["inner"],
        num_hidden_layers=size["layers"],
        num_attention_heads=size["heads"],
        num_key_value_heads=size["keys"],
        dtype="bfloat16",
        architectures=["LlamaForCausalLM"],
    )
    config.save_pretrained(folder)


def write_model(folder: Path, size: Size) -> None:
    """Writes a model with random weights, shard by shard."""
    write_config(folder, size)
    shapes = {n: x.shape for n, x in load_model(str(folder), weights=False).state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    shards: list[dict[str, torch.Size]] = [{}]
    for name, shape in shapes.items():
        if sum(x.numel() for x in shards[-1].values()) + shape.numel() > size["shard"]:
            shards.append({})
        shards[-1][name] = shape
    index: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        tensors = {name: drawn(shape, generator) for name, shape in shard.items()}
        safetensors.torch.save_file(tensors, folder / file, {"format": "pt"})
        index |= dict.fromkeys(shard, file)
    text = json.dumps({"metadata": {}, "weight_map": index})
    (folder / "model.safetensors.index.json").write_text(text)


def drawn(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """A matrix that keeps lengths, or gains near one."""
    noise = torch.randn(shape, generator=generator)
    matrix = noise * shape[-1] ** -0.5 if len(shape) > 1 else 1 + 0.1 * noise
    return matrix.bfloat16()


def view(folder: Path, group: td.SymmetryGroup) -> StateDictView:
    """A network in files, under the model's names."""
    return state_dict_names(open_checkpoint(folder), group.shapes, group.tied)


def plant(work: Path) -> None:
    """Writes the copy: moved, with noise, rounded once."""
    group = td.SymmetryGroup.from_json((work / "group.json").read_text())
    base, source = view(work / "a", group), open_checkpoint(work / "a")
    moved = group.moved(group.random(torch.Generator().manual_seed(1)), base)

    def noisy(name: str) -> torch.Tensor:
        generator = torch.Generator().manual_seed(sum(map(ord, name)))
        x = moved[name].float()
        return x * (1 + NOISE * torch.randn(x.shape, generator=generator))

    save_checkpoint(base.file_params(Computed(base, noisy)), source, work / "b")


def discovery(work: Path) -> list[float]:
    """Finds and proves the group from the configuration alone."""
    model = load_model(str(work / "a"), weights=False)
    found = []
    figures = watched(lambda: found.append(td.discover(model, usual_inputs(model))))
    if any((work / "a").glob("*.safetensors")):
        (work / "group.json").write_text(found[0].to_json())
    return figures


def drawing(work: Path) -> list[float]:
    """The bare work of two runs: all weights drawn and multiplied, each time."""
    model = load_model(str(work / "a"), weights=False)
    tokens = usual_inputs(model)["input_ids"].numel()
    shapes = [x.shape for x in model.parameters() if x.ndim == 2]

    def draw() -> None:
        generator = torch.Generator().manual_seed(0)
        for shape in 2 * shapes:
            weight = torch.randn(shape, generator=generator, dtype=torch.float64)
            torch.ones(tokens, shape[1], dtype=torch.float64) @ weight.T

    return watched(draw)


def canonical_form(work: Path) -> list[float]:
    """From shards to shards, the canonical form."""
    group = td.SymmetryGroup.from_json((work / "group.json").read_text())
    network = view(work / "a", group)

    def action() -> None:
        fixed = td.canonicalize(group, network, scratch=work)
        save_checkpoint(network.file_params(fixed), network.checkpoint, work / "canonical")

    return watched(action)


def copying(work: Path) -> list[float]:
    """The bare work: one network read and written."""
    network = open_checkpoint(work / "a")
    return watched(lambda: save_checkpoint(doubled(network), network, work / "copied"))


def doubled(network: td.Params) -> td.Params:
    """A network whose every entry was touched."""
    return Computed(network, lambda name: network[name] * 2)


def alignment(work: Path) -> list[float]:
    """From shards to shards, the copy moved back; and what is left of the way, as a cosine."""
    group = td.SymmetryGroup.from_json((work / "group.json").read_text())
    a, b = (view(work / name, group) for name in "ab")
    cosine = []

    def action() -> None:
        found = td.align(group, b, to=a, scratch=work)
        save_checkpoint(b.file_params(found.params), b.checkpoint, work / "aligned")
        names = group.parameters
        lengths = [inner_product(x, x, names) for x in (found.reference, found.params)]
        cosine.append(found.similarity / math.sqrt(math.prod(lengths)))

    return [*watched(action), *cosine]


def multiplying(work: Path) -> list[float]:
    """The bare work: both networks read, every matrix times its like, and one written."""
    a, b = (open_checkpoint(work / name) for name in "ab")

    def action() -> None:
        for name in a:
            x, y = a[name].float(), b[name].float()
            if x.ndim == 2:  # what says which units, or directions, are alike
                x.T @ y if len(x) > x.shape[1] else x @ y.T
        save_checkpoint(doubled(b), b, work / "multiplied")

    return watched(action)


def merging(work: Path) -> list[float]:
    """From shards to shards, the mean of the network and the copy."""
    group = td.SymmetryGroup.from_json((work / "group.json").read_text())
    a, b = (view(work / name, group) for name in "ab")

    def action() -> None:
        merged = td.merge(group, [a, b], scratch=work)
        save_checkpoint(a.file_params(merged), a.checkpoint, work / "merged")

    return watched(action)


def distance(work: Path) -> list[float]:
    """The distance of two canonical networks in shards."""
    group = td.SymmetryGroup.from_json((work / "group.json").read_text())
    a, b = (view(work / name, group) for name in ("canonical", "aligned"))
    return watched(lambda: td.Toroid(group).distance(a, b))


def comparing(work: Path) -> list[float]:
    """The bare work: two networks read, and what is between them squared."""
    a, b = (open_checkpoint(work / name) for name in ("canonical", "aligned"))
    return watched(lambda: products(a, b, a))


STEPS: dict[str, Callable[[Path], list[float]]] = {
    step.__name__: step
    for step in (
        discovery,
        drawing,
        canonical_form,
        copying,
        alignment,
        multiplying,
        merging,
        distance,
        comparing,
    )
}


def watched(action: Callable[[], object]) -> list[float]:
    """CPU seconds of an action, and the most megabytes that it holds beyond those before it."""
    torch.set_num_threads(1)
    before, peak, done = status("RssAnon"), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, status("RssAnon"))

    thread = threading.Thread(target=watch)
    thread.start()
    begun = time.process_time()
    try:
        action()
        seconds = time.process_time() - begun
    finally:
        done.set()
        thread.join()
    return [seconds, max(peak - before, 0) / 1e6]


def rows(quick: bool, parts: Sequence[str]) -> Iterator[Result]:
    """Every step beside its bare work."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # large pages, as the shell asks for
    for size in [QUICK] if quick else [SIZES[part] for part in parts]:
        with tempfile.TemporaryDirectory() as name:
            yield from _steps(Path(name), size)


def _steps(work: Path, size: Size) -> Iterator[Result]:
    if not size["shard"]:
        yield from _by_configuration(work, size)
        return
    write_model(work / "a", size)
    entries = sum(math.prod(x) for x in open_checkpoint(work / "a").shapes.values())
    network = f"Llama of {entries / 1e6:.0f} M parameters"
    for ours, bare, title in (
        ("discovery", "drawing", "discovered and proven without weights"),
        ("canonical_form", "copying", "canonical form, shards to shards"),
        ("alignment", "multiplying", "a planted copy aligned, shards to shards"),
        ("merging", "multiplying", "merged with the copy, shards to shards"),
        ("distance", "comparing", "distance of two canonical networks in shards"),
    ):
        if ours == "alignment":
            plant(work)
        found, beside = (apart(__file__, "--measure", x, str(work)) for x in (ours, bare))
        note = f"cosine reached {found[2]:.6f}" if len(found) > 2 else ""
        yield Result(
            f"{network}, {title}", "CPU s", found[:1], "bare work", beside[:1], goal=GOAL, note=note
        )
        yield Result(f"{network}, {title}: peak memory", "MB", found[1:2])


def _by_configuration(work: Path, size: Size) -> Iterator[Result]:
    """What takes no weights: nothing is as large as the network."""
    write_config(work / "a", size)
    model = load_model(str(work / "a"), weights=False)
    network = f"Llama of {sum(x.numel() for x in model.parameters()) / 1e9:.1f} B parameters"
    seconds, memory = apart(__file__, "--measure", "discovery", str(work))
    yield Result(f"{network}, discovered and proven by its configuration", "CPU s", [seconds])
    yield Result(f"{network}, by its configuration: peak memory", "MB", [memory])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(STEPS[sys.argv[2]](Path(sys.argv[3]))))
    else:
        main(rows, tuple(SIZES))
