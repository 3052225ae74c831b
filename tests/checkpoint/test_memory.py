"""How much memory of its own a network in files takes, by the count of the system."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

STATUS = Path("/proc/self/status")
pytestmark = pytest.mark.skipif(
    not STATUS.exists() or "RssAnon" not in STATUS.read_text(), reason="the system does not count"
)
SHARDS, TENSORS, SIDE = 4, 4, 1024  # of 4 MB each: 64 MB
COMMON = """
import sys
import torch
from toroids.checkpoint import Spilled, open_checkpoint, save_checkpoint
torch.set_num_threads(1)
checkpoint, out = open_checkpoint(sys.argv[1]), sys.argv[2]
def anonymous():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
torch.ones(1024, 1024).sum().item(), anonymous()  # what the first use costs
peak, start = 0.0, anonymous()
def count(*_):
    global peak
    peak = max(peak, anonymous() - start)
"""
USES = {
    "read": "for tensor in checkpoint.values(): tensor.sum(); count()",
    "hold": "held = dict(checkpoint); [tensor.sum() for tensor in held.values()]; count()",
    "spill": """
with Spilled(folder=out) as spilled:
    for name, tensor in checkpoint.items(): spilled[name] = tensor * 2; del tensor; count()
    held = dict(spilled); [tensor.sum() for tensor in held.values()]; count()
""",
    "save": """
class Doubled(dict):
    def __getitem__(self, name): count(); return checkpoint[name].double() * 2
save_checkpoint(Doubled.fromkeys(checkpoint), checkpoint, out + "/new"); count()
""",
    "copy": "held = {name: tensor.clone() for name, tensor in checkpoint.items()}; count()",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import safetensors.torch
    import torch

    path, places = tmp_path_factory.mktemp("large"), {}
    for shard in range(SHARDS):
        tensors = {f"{shard}.{number}": torch.randn(SIDE, SIDE) for number in range(TENSORS)}
        safetensors.torch.save_file(tensors, path / f"{shard}.safetensors")
        places |= dict.fromkeys(tensors, f"{shard}.safetensors")
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return path


def peak(use, folder, out):
    code = f"{COMMON}\n{USES[use]}\nprint(peak)"
    arguments = [sys.executable, "-c", code, str(folder), str(out)]
    # glibc keeps freed blocks below a threshold that grows with use; a fixed one gives them back
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(arguments, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout)


@pytest.mark.parametrize("use", ["read", "hold", "spill", "save"])
def test_one_shard_and_one_tensor_are_enough(use, folder, tmp_path):
    shard, tensor = TENSORS * 4, 4
    assert peak(use, folder, tmp_path) < shard + tensor


def test_the_count_would_show_a_network_in_memory(folder, tmp_path):
    assert peak("copy", folder, tmp_path) > 0.9 * SHARDS * TENSORS * 4
