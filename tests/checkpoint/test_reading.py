import json
import os
import pickle
import re
import struct

import pytest
import safetensors.torch
import torch

import toroids as td
from toroids.checkpoint import open_checkpoint
from toroids.errors import ParamsError

# What Python says of what it did not expect.
PYTHON = re.compile("NoneType|attribute|indices|argument|unpack|codec|Error|sys\\.")
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = "model.safetensors.index.json"
EVERY_TYPE = {
    **{str(dtype): torch.arange(6).reshape(2, 3).to(dtype) for dtype in (
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn,
        torch.float8_e5m2, torch.complex64, torch.int64, torch.int32, torch.int16, torch.int8,
        torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.bool,
    )},
    "scalar": torch.tensor(3.5),
    "empty": torch.zeros(0, 4),
}  # fmt: skip


def same(a, b):
    bits = [t.reshape(-1).view(torch.uint8) for t in (a, b)]
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(*bits)


@pytest.fixture
def sharded(tmp_path):
    first, second = {"a": torch.randn(3, 4), "b": torch.randn(5)}, {"c": torch.arange(7)}
    for name, tensors in zip(SHARDS, (first, second), strict=True):
        safetensors.torch.save_file(tensors, tmp_path / name, {"format": "pt"})
    places = {"a": SHARDS[0], "c": SHARDS[1], "b": SHARDS[0]}
    (tmp_path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return tmp_path, {**first, **second}


def rewrite(folder, **places):
    (folder / INDEX).write_text(json.dumps({"weight_map": places}))


def by_hand(path, entries, data, size=None):
    text = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(text) if size is None else size) + text + data)


@pytest.mark.parametrize("given", ["", INDEX])
def test_shards_are_one_mapping(sharded, given):
    folder, tensors = sharded
    checkpoint = open_checkpoint(folder / given)
    assert checkpoint.keys() == tensors.keys() and len(checkpoint) == 3
    assert all(same(checkpoint[name], tensors[name]) for name in tensors)
    assert {file: set(names) for file, names in checkpoint.files.items()} == {
        SHARDS[0]: {"a", "b"},
        SHARDS[1]: {"c"},
    }
    assert checkpoint.metadata == dict.fromkeys(SHARDS, {"format": "pt"})
    assert checkpoint.shapes == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert checkpoint.folder == folder and checkpoint.index == INDEX
    assert "a" in checkpoint and "z" not in checkpoint and checkpoint.get("z") is None


def test_a_checkpoint_is_params_everywhere(tmp_path):
    model = td.models.fully_connected([4, 8, 3], seed=0)
    params = model.state_dict()
    group = td.symmetry.fully_connected_group(params)
    td.save_params(params, tmp_path / "model.safetensors")
    checkpoint = pickle.loads(pickle.dumps(open_checkpoint(tmp_path)))
    group.check(checkpoint)
    element = group.random(torch.Generator().manual_seed(0))
    for here, there in (
        (td.canonicalize(group, params), td.canonicalize(group, checkpoint)),
        (group.apply(element, params), group.apply(element, checkpoint)),
        (
            td.align(group, params, to=params).params,
            td.align(group, checkpoint, to=checkpoint).params,
        ),
    ):
        assert here.keys() == there.keys() and all(torch.equal(here[n], there[n]) for n in here)


def test_every_type_reads_as_safetensors_reads_it(tmp_path):
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(EVERY_TYPE, path)
    checkpoint, expected = open_checkpoint(path), safetensors.torch.load_file(path)
    assert checkpoint.keys() == EVERY_TYPE.keys()
    assert all(same(checkpoint[name], expected[name]) for name in expected)


def test_a_folder_may_name_its_only_file_otherwise(tmp_path):
    safetensors.torch.save_file({"a": torch.ones(1)}, tmp_path / "adapter.safetensors")
    (tmp_path / ".adapter.safetensors").write_text("a temporary file")
    assert list(open_checkpoint(tmp_path)) == ["a"]
    safetensors.torch.save_file({"a": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ParamsError, match="2 files as `adapter.safetensors` and `other"):
        open_checkpoint(tmp_path)


def test_writing_into_a_tensor_changes_nothing_else(sharded):
    folder, tensors = sharded
    checkpoint = open_checkpoint(folder)
    before = (folder / SHARDS[0]).read_bytes()
    checkpoint["a"].zero_()
    assert same(checkpoint["a"], tensors["a"])
    assert (folder / SHARDS[0]).read_bytes() == before


def test_a_tensor_outlives_its_checkpoint_and_its_file(sharded):
    folder, tensors = sharded
    kept = open_checkpoint(folder)["a"]
    (folder / SHARDS[0]).unlink()
    assert same(kept, tensors["a"])


def test_many_tensors_take_no_file_handles(tmp_path):
    tensors = {str(number): torch.full((2,), float(number)) for number in range(3000)}
    safetensors.torch.save_file(tensors, tmp_path / "w.safetensors")
    held = dict(open_checkpoint(tmp_path))
    assert len(os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []) < 1000
    assert all(same(held[name], tensors[name]) for name in tensors)


def test_a_file_larger_than_the_memory_is_read(tmp_path):
    size = 1 << 42  # 4 TB, of which the disk holds nothing but the ends
    entries = {
        "large": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]},
        "small": {"dtype": "U8", "shape": [2], "data_offsets": [size, size + 2]},
    }
    path = tmp_path / "w.safetensors"
    by_hand(path, entries, b"")
    start = path.stat().st_size
    try:
        with open(path, "r+b") as stream:
            stream.seek(start + size)
            stream.write(b"\1\2")
    except OSError:
        pytest.skip("no sparse files of this size here")
    checkpoint = open_checkpoint(path)
    assert checkpoint["small"].tolist() == [1, 2]
    assert int(checkpoint["large"][:10].sum()) == 0


def test_a_tensor_may_begin_at_any_byte(tmp_path):
    entries = {
        "a": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]},
        "b": {"dtype": "F32", "shape": [2], "data_offsets": [3, 11]},
    }
    by_hand(tmp_path / "w.safetensors", entries, bytes(3) + struct.pack("<2f", 1.5, -2))
    assert open_checkpoint(tmp_path)["b"].tolist() == [1.5, -2]


def test_a_default_device_does_not_matter(sharded):
    folder, tensors = sharded
    with torch.device("meta"):
        assert open_checkpoint(folder)["a"].device.type == "cpu"


@pytest.mark.parametrize("cut", [0, 4, 9, 100, -1])
def test_a_truncated_file_is_refused(tmp_path, cut):
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file({"a": torch.randn(100)}, path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ParamsError, match="not a whole safetensors file"):
        open_checkpoint(path)


def test_a_file_that_shrinks_later_is_refused_not_fatal(tmp_path):
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file({"a": torch.randn(100_000)}, path)
    checkpoint = open_checkpoint(path)
    os.truncate(path, 5000)
    with pytest.raises(ParamsError, match="shorter since it was opened"):
        checkpoint["a"]
    path.unlink()
    with pytest.raises(ParamsError, match="cannot be mapped"):
        checkpoint["a"]


def test_a_file_that_another_took_the_place_of_is_refused_not_mixed(tmp_path):
    path = tmp_path / "w.safetensors"
    for value in (1.0, 2.0):
        safetensors.torch.save_file({"a": torch.tensor([value])}, tmp_path / f"{value}")
    (tmp_path / "1.0").replace(path)
    checkpoint = open_checkpoint(path)
    assert checkpoint["a"] == 1
    os.utime(tmp_path / "2.0", (1, 1))
    (tmp_path / "2.0").replace(path)
    with pytest.raises(ParamsError, match="w.safetensors` has been changed since it was opened"):
        checkpoint["a"]


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("entries", "data"),
    [
        ([], b""),
        ("text", b""),
        ({"a": 3}, b""),
        ({"a": {}}, b""),
        ({"a": {**ENTRY, "dtype": "F31"}}, bytes(8)),
        ({"a": {**ENTRY, "dtype": ["F32"]}}, bytes(8)),
        ({"a": {**ENTRY, "shape": [3]}}, bytes(8)),
        ({"a": {**ENTRY, "shape": [-1, -2]}}, bytes(8)),
        ({"a": {**ENTRY, "shape": [2.0]}}, bytes(8)),
        ({"a": {**ENTRY, "shape": [True, 2]}}, bytes(8)),
        ({"a": {**ENTRY, "data_offsets": [8, 16]}}, bytes(16)),
        ({"a": {**ENTRY, "data_offsets": [0]}}, bytes(8)),
        ({"a": {**ENTRY, "data_offsets": "ab"}}, bytes(8)),
        ({"a": ENTRY, "b": {**ENTRY, "data_offsets": [4, 12]}}, bytes(12)),
        ({"a": ENTRY}, bytes(9)),
        ({"__metadata__": {"format": 3}, "a": ENTRY}, bytes(8)),
        ({"__metadata__": ["x"], "a": ENTRY}, bytes(8)),
        ({"__metadata__": {"x": "\ud800"}, "a": ENTRY}, bytes(8)),
        ({"\ud800": ENTRY}, bytes(8)),
        ({"a": {**ENTRY, "shape": [0, 10**20], "data_offsets": [0, 0]}}, b""),
        ({"a": {**ENTRY, "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}}, b""),
        ({"a": {**ENTRY, "shape": [1] * 2000, "data_offsets": [0, 4]}}, bytes(4)),
    ],
)
def test_a_wrong_header_is_refused(tmp_path, entries, data):
    by_hand(tmp_path / "w.safetensors", entries, data)
    with pytest.raises(ParamsError, match="not a whole safetensors file") as refused:
        open_checkpoint(tmp_path)
    assert not PYTHON.search(str(refused.value))


@pytest.mark.parametrize("size", [10**9, 2**64 - 1, 0])
def test_a_wrong_header_size_is_refused(tmp_path, size):
    by_hand(tmp_path / "w.safetensors", {"a": ENTRY}, bytes(8), size=size)
    with pytest.raises(ParamsError, match="not a whole safetensors file"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[1]", "{}", '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": {"a": 1}}',
     '{"weight_map": null}', '"text"', "\ufeff{}", "[" * 100_000, "9" * 5000,
     '{"weight_map": {"a": "b", "a": "c"}}'],
)  # fmt: skip
def test_a_wrong_index_is_refused(sharded, content):
    folder, _ = sharded
    (folder / INDEX).write_text(content)
    with pytest.raises(ParamsError, match="is no index of safetensors shards") as refused:
        open_checkpoint(folder)
    assert not PYTHON.search(str(refused.value))


def test_an_index_that_is_no_text_is_refused(sharded):
    folder, _ = sharded
    (folder / INDEX).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ParamsError, match="is no index of safetensors shards"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    "file", ["../x.safetensors", "/etc/passwd", "a/../../x", "..", "C:\\x", "..\\x", "\\x", "C:x"]
)
def test_a_shard_outside_the_folder_is_refused(sharded, file):
    folder, _ = sharded
    rewrite(folder, a=file)
    with pytest.raises(ParamsError, match="lies outside its folder"):
        open_checkpoint(folder)


@pytest.mark.parametrize("file", ["gone.safetensors", "", ".", "x" * 5000, "nul\0"])
def test_a_missing_shard_is_named(sharded, file):
    folder, _ = sharded
    rewrite(folder, a=file)
    with pytest.raises(ParamsError, match="which is not there"):
        open_checkpoint(folder)


def test_a_shard_and_the_index_must_agree(sharded):
    folder, _ = sharded
    rewrite(folder, a=SHARDS[0], b=SHARDS[0], z=SHARDS[1], c=SHARDS[1])
    with pytest.raises(ParamsError, match="disagree: `z` is in the index but not in the shard"):
        open_checkpoint(folder)
    rewrite(folder, a=SHARDS[0], c=SHARDS[1])
    with pytest.raises(ParamsError, match="disagree: `b` is in the shard but not in the index"):
        open_checkpoint(folder)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(ParamsError, match="there is no checkpoint .*gone"):
        open_checkpoint(tmp_path / "gone")
    with pytest.raises(ParamsError, match="holds no weights; expected `model.safetensors`"):
        open_checkpoint(tmp_path)


def test_a_pickle_is_refused_and_not_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the file was unpickled",))

    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(pickle.dumps(Bomb()))
    for given in (path, tmp_path):
        with pytest.raises(ParamsError, match="pytorch_model.bin` is not .*save_pretrained"):
            open_checkpoint(given)
    path.rename(tmp_path / "model.safetensors")
    with pytest.raises(ParamsError, match="not a whole safetensors file"):
        open_checkpoint(tmp_path)


def test_a_pointer_of_git_lfs_is_explained(tmp_path):
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    (tmp_path / "model.safetensors").write_text(text)
    with pytest.raises(ParamsError, match="git lfs pull"):
        open_checkpoint(tmp_path)


def test_links_as_in_the_hub_cache_are_followed(sharded, tmp_path):
    folder, tensors = sharded
    snapshot = tmp_path / "snapshots" / "x"
    snapshot.mkdir(parents=True)
    for name in (*SHARDS, INDEX):
        (snapshot / name).symlink_to(folder / name)
    assert same(open_checkpoint(snapshot)["a"], tensors["a"])


def test_shards_without_an_index_are_told_apart_from_several_networks(tmp_path):
    for number in (1, 2):
        place = tmp_path / f"model-0000{number}-of-00002.safetensors"
        safetensors.torch.save_file({"a": torch.zeros(2)}, place)
    with pytest.raises(ParamsError, match=r"but no index, as `model.safetensors.index.json`"):
        open_checkpoint(tmp_path)
