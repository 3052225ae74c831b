"""Measures the memory that alignment takes beyond its inputs, in memory and with a scratch folder.

Run it with `python benchmarks/align_memory.py` on Linux; TMPDIR says where the networks are
written. Two networks of 24 layers of 2048 units, 403 MB each in float32, lie in
shards; each way runs in a process of its own. The memory is what belongs to the process alone
(RssAnon), sampled every 2 ms, above what it took before, in copies of one network; pages of mapped
files, which the system drops when it needs them, do not count. What the allocator keeps of freed
blocks differs from run to run, so that the peak is also measured where it keeps none.
"""

import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import safetensors.torch
import torch
from harness.memory import apart, status
from harness.result import Result
from harness.script import main

import toroids as td
from toroids.checkpoint import open_checkpoint, state_dict_names

# Units per layer, layers.
SIZE, QUICK = (2048, 24), (512, 12)
PER_SHARD = 6


def shapes(width: int, layers: int) -> dict[str, tuple[int, ...]]:
    """Those of a fully connected network."""
    names = [f"hidden{i}" for i in range(1, layers)] + ["output"]
    return {
        f"{name}.{kind}": shape
        for name in names
        for kind, shape in (("weight", (width, width)), ("bias", (width,)))
    }


def group(width: int, layers: int) -> td.SymmetryGroup:
    """The symmetries, found from shapes alone."""
    params = {name: torch.empty(shape) for name, shape in shapes(width, layers).items()}
    names = list(dict.fromkeys(name.rpartition(".")[0] for name in params))
    return td.symmetry.fully_connected_group(params, layers=names)


def write(folder: Path, params: td.Params) -> None:
    """Writes shards and their index."""
    folder.mkdir()
    names = list(params)
    size = 2 * PER_SHARD
    shards = [names[i : i + size] for i in range(0, len(names), size)]
    index: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        tensors = {name: params[name].contiguous() for name in shard}
        safetensors.torch.save_file(tensors, folder / file)
        index |= dict.fromkeys(shard, file)
    text = json.dumps({"metadata": {}, "weight_map": index})
    (folder / "model.safetensors.index.json").write_text(text)


def own_memory() -> int:
    """Bytes of memory that are this process's alone."""
    return status("RssAnon")


def measure(folder: Path, width: int, layers: int, scratch: str | None) -> None:
    """Aligns and prints the peak in copies of one network, the seconds, and the similarity."""
    symmetries = group(width, layers)
    b, a = (
        state_dict_names(open_checkpoint(folder / name), symmetries.shapes, {}, {})
        for name in ("b", "a")
    )
    torch.rand(512, 512) @ torch.rand(512, 512)  # what the first product sets up is not ours
    small = {name: torch.rand(shape) for name, shape in shapes(8, 3).items()}
    td.align(group(8, 3), small, to=small)  # nor what the first alignment loads
    before, peak, done = own_memory(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, own_memory())

    thread = threading.Thread(target=watch)
    thread.start()
    begun = time.perf_counter()
    alignment = td.align(symmetries, b, to=a, scratch=scratch)
    seconds = time.perf_counter() - begun
    done.set()
    thread.join()
    size = 4 * sum(torch.Size(shape).numel() for shape in shapes(width, layers).values())
    print(json.dumps([(peak - before) / size, seconds, alignment.similarity]))


def measured_apart(
    folder: Path, width: int, layers: int, scratch: bool, give_back: bool = False
) -> list[float]:
    """The same in a process of its own, which may give freed blocks back to the system at once."""
    where = [str(folder), str(width), str(layers), *([str(folder)] if scratch else [])]
    values: list[float] = apart(__file__, "--measure", *where, give_back=give_back)
    return values


def rows(quick: bool) -> Iterator[Result]:
    """Peak memory, seconds and similarity with a scratch folder beside those in memory."""
    width, layers = QUICK if quick else SIZE
    with tempfile.TemporaryDirectory() as name:
        folder, generator = Path(name), torch.Generator().manual_seed(0)
        a = {
            n: torch.randn(s, generator=generator) * width**-0.5
            for n, s in shapes(width, layers).items()
        }
        write(folder / "a", a)
        symmetries = group(width, layers)
        write(folder / "b", symmetries.apply(symmetries.random(generator), a))
        found = [
            [measured_apart(folder, width, layers, scratch) for _ in range(1 if quick else 3)]
            for scratch in (True, False)
        ]
        needed = [
            [measured_apart(folder, width, layers, scratch, give_back=True)[0]]
            for scratch in (True, False)
        ]
    ours, memory = (list(zip(*values, strict=True)) for values in found)
    what = f"align with a scratch folder, {layers} layers of {width}"
    yield Result(
        f"{what}: peak memory", "copies", needed[0], "in memory", needed[1],
        note="freed blocks given back at once",
    )  # fmt: skip
    yield Result(
        f"{what}: peak memory", "copies", ours[0], "in memory", memory[0],
        note="with blocks that the allocator keeps for later",
    )  # fmt: skip
    yield Result(what, "s", ours[1], "in memory", memory[1])
    yield Result(f"{what}: similarity", "", ours[2], "in memory", memory[2])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        where, units, depth, *scratch = sys.argv[2:]
        measure(Path(where), int(units), int(depth), scratch[0] if scratch else None)
    else:
        main(rows)
