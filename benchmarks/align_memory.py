"""Measures the memory that alignment takes beyond its inputs, in memory and with a scratch folder.

Run it with `python benchmarks/align_memory.py [FOLDER]` on Linux; it prints the table of
benchmarks/align_memory.md. Two networks of 24 layers of 2048 units, 403 MB each in float32, lie in
shards; each way runs in a process of its own. The memory is what belongs to the process alone
(RssAnon), sampled every 2 ms, above what it took before, in copies of one network; pages of mapped
files, which the system drops when it needs them, do not count.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import safetensors.torch
import torch

import toroids as td
from toroids.checkpoint import open_checkpoint, state_dict_names

WIDTH, LAYERS = 2048, 24
PER_SHARD = 6


def shapes() -> dict[str, tuple[int, ...]]:
    """Those of a fully connected network."""
    names = [f"hidden{i}" for i in range(1, LAYERS)] + ["output"]
    return {
        f"{name}.{kind}": shape
        for name in names
        for kind, shape in (("weight", (WIDTH, WIDTH)), ("bias", (WIDTH,)))
    }


def group() -> td.SymmetryGroup:
    """The symmetries, found from shapes alone."""
    params = {name: torch.empty(shape) for name, shape in shapes().items()}
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in params))
    return td.fully_connected_group(params, layers=layers)


def write(folder: Path, params: td.Params) -> None:
    """Writes shards and their index."""
    folder.mkdir()
    names = list(params)
    size = 2 * PER_SHARD
    shards = [names[i : i + size] for i in range(0, len(names), size)]
    index = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        tensors = {name: params[name].contiguous() for name in shard}
        safetensors.torch.save_file(tensors, folder / file)
        index |= dict.fromkeys(shard, file)
    text = json.dumps({"metadata": {}, "weight_map": index})
    (folder / "model.safetensors.index.json").write_text(text)


def own_memory() -> int:
    """Bytes of memory that are this process's alone."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(x for x in lines if x.startswith("RssAnon")).split()[1])


def measure(folder: Path, scratch: str | None) -> None:
    """Aligns and prints the peak in copies of one network, the seconds, and the similarity."""
    symmetries = group()
    b, a = (
        state_dict_names(open_checkpoint(folder / name), symmetries.shapes, {}, {})
        for name in ("b", "a")
    )
    torch.rand(512, 512) @ torch.rand(512, 512)  # what the first product sets up is not ours
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
    size = 4 * sum(torch.Size(shape).numel() for shape in shapes().values())
    where = "memory" if scratch is None else "scratch folder"
    print(
        f"| {where} | {(peak - before) / size:.2f} | {seconds:.1f} | {alignment.similarity:.9g} |",
        flush=True,
    )


def main() -> None:
    """Prints the table."""
    if sys.argv[2:]:
        measure(Path(sys.argv[1]), sys.argv[2] if sys.argv[2] != "none" else None)
        return
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as name:
        folder = Path(name)
        generator = torch.Generator().manual_seed(0)
        a = {n: torch.randn(s, generator=generator) * WIDTH**-0.5 for n, s in shapes().items()}
        write(folder / "a", a)
        symmetries = group()
        write(folder / "b", symmetries.apply(symmetries.random(generator), a))
        print("| networks lie in | peak, copies of one network | seconds | similarity |")
        print("|---|---|---|---|", flush=True)
        for scratch in ("none", name):
            subprocess.run([sys.executable, __file__, name, scratch], check=True)


if __name__ == "__main__":
    main()
