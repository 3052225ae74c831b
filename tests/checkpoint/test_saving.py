import json
import os
import shutil
import threading

import pytest
import safetensors.torch
import torch

from toroids.checkpoint import check_out, open_checkpoint, save_checkpoint
from toroids.errors import ParamsError, ToroidsError

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = "model.safetensors.index.json"
COMPANIONS = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer.model", "vocab.txt",
    "merges.txt", "preprocessor_config.json", "chat_template.jinja", "README.md", "LICENSE",
    "modeling_own.py", "additional_chat_templates/rag.jinja",
)  # fmt: skip
LEFT_OUT = (
    "pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack",
    "model.onnx", "Model.ONNX", "model.gguf", "optimizer.pt", "old.safetensors", ".gitattributes",
    ".cache/huggingface/x", "onnx/config.json", "model.fp16.safetensors.index.json",
    "consolidated.00.pth", "training_args.bin", "additional_chat_templates/x.bin",
)  # fmt: skip


def fill(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}")


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    first = {"a": torch.randn(3, 4), "n": torch.arange(3), "half": torch.randn(5).bfloat16()}
    second = {"flag": torch.tensor(True), "none": torch.zeros(0, 2), "b": torch.randn(7)}
    for name, tensors in zip(SHARDS, (first, second), strict=True):
        safetensors.torch.save_file(tensors, folder / name, {"format": "pt", "by": name})
    places = {**dict.fromkeys(first, SHARDS[0]), **dict.fromkeys(second, SHARDS[1])}
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 9}, "weight_map": places}))
    fill(folder, COMPANIONS + LEFT_OUT)
    return open_checkpoint(folder)


def contents(folder):
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_the_same_params_give_the_same_bytes(source, tmp_path):
    save_checkpoint(source, source, tmp_path / "a" / "out")
    written = contents(tmp_path / "a" / "out")
    assert written.keys() == {*SHARDS, INDEX, *COMPANIONS}
    assert all((source.folder / name).read_bytes() == content for name, content in written.items())
    assert os.listdir(tmp_path / "a") == ["out"]
    assert (tmp_path / "a" / "out").stat().st_mode & 0o777 == 0o755


def test_other_params_keep_layout_types_and_metadata(source, tmp_path):
    params = {name: tensor.flip(0) if tensor.ndim else tensor for name, tensor in source.items()}
    params["half"] = source["half"].double() * 2
    save_checkpoint(params, source, tmp_path / "out")
    written = open_checkpoint(tmp_path / "out")
    assert written.headers == source.headers and list(written) == list(source)
    assert all(torch.equal(written[name], params[name].to(source[name])) for name in params)
    for name in SHARDS:  # as another reader reads it
        assert safetensors.torch.load_file(tmp_path / "out" / name)[
            "a" if name == SHARDS[0] else "b"
        ].ndim


def test_params_may_be_views_of_any_kind(source, tmp_path):
    params = {**source, "a": torch.randn(4, 3).T, "b": torch.nn.Parameter(torch.ones(1)).expand(7)}
    save_checkpoint(params, source, tmp_path / "out")
    assert torch.equal(open_checkpoint(tmp_path / "out")["a"], params["a"])


def test_names_that_equal_a_tensor_may_be_added(source, tmp_path):
    tied = {**source, "head": source["a"], "again": source["flag"], "wide": source["b"].double()}
    save_checkpoint(tied, source, tmp_path / "out")
    assert open_checkpoint(tmp_path / "out").keys() == source.keys()
    with pytest.raises(ParamsError, match="`head` is in the parameters but not in the checkpoint"):
        save_checkpoint({**source, "head": source["a"] + 1}, source, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b": torch.ones(8)}, "`b` is torch.float32 of shape .8,. but torch.float32 of shape .7,"),
        ({"n": torch.ones(3)}, "`n` is torch.float32 .* but torch.int64"),
        ({"n": torch.arange(3).int()}, "`n` is torch.int32 .* but torch.int64"),
        ({"b": torch.arange(7)}, "`b` is torch.int64"),
        ({"b": torch.ones(7).to(torch.complex64)}, "`b` is torch.complex64"),
        (
            {"b": torch.full((7,), 1e300, dtype=torch.float64)},
            "`b` leaves the range of torch.float32",
        ),
        ({"b": torch.ones(7, device="meta")}, "no plain entries"),
    ],
)
def test_a_failure_leaves_nothing_behind(source, tmp_path, change, message):
    with pytest.raises(ParamsError, match=message):
        save_checkpoint({**source, **change}, source, tmp_path / "out")
    assert os.listdir(tmp_path) == ["source"]


def test_a_missing_name_is_named(source, tmp_path):
    params = {name: tensor for name, tensor in source.items() if name != "b"}
    with pytest.raises(ParamsError, match="`b` is in the checkpoint but not in the parameters"):
        save_checkpoint(params, source, tmp_path / "out")


def test_an_interrupt_leaves_nothing_behind(source, tmp_path):
    class Interrupted(dict):
        def __getitem__(self, name):
            if name == "b":
                raise KeyboardInterrupt
            return super().__getitem__(name)

    (tmp_path / "out").mkdir()
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(Interrupted(source), source, tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["out", "source"] and not os.listdir(tmp_path / "out")


def test_nothing_is_replaced(source, tmp_path):
    (tmp_path / "link").symlink_to(source.folder)
    for out in (source.folder, tmp_path / "link", source.folder / ".." / "source"):
        with pytest.raises(ToroidsError, match="is the checkpoint itself"):
            save_checkpoint(source, source, out)
    with pytest.raises(ToroidsError, match="exists and is not empty"):
        save_checkpoint(source, source, tmp_path)
    with pytest.raises(ToroidsError, match="is a file; name a folder"):
        save_checkpoint(source, source, source.folder / "config.json")
    assert sorted(os.listdir(tmp_path)) == ["link", "source"]


def test_an_empty_folder_is_filled(source, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    save_checkpoint(source, source, tmp_path / "out")
    assert open_checkpoint(tmp_path / "real").keys() == source.keys()


def test_a_folder_that_appears_meanwhile_is_kept(source, tmp_path):
    class Slow(dict):
        def __getitem__(self, name):
            fill(tmp_path, ["out/mine.txt"])
            return super().__getitem__(name)

    with pytest.raises(ToroidsError, match="cannot be made"):
        save_checkpoint(Slow(source), source, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["mine.txt"]
    assert sorted(os.listdir(tmp_path)) == ["out", "source"]


def test_shards_in_inner_folders_keep_their_place(tmp_path):
    (tmp_path / "s" / "inner").mkdir(parents=True)
    safetensors.torch.save_file({"a": torch.ones(2)}, tmp_path / "s" / "inner" / "x.safetensors")
    (tmp_path / "s" / INDEX).write_text(json.dumps({"weight_map": {"a": "inner/x.safetensors"}}))
    checkpoint = open_checkpoint(tmp_path / "s")
    save_checkpoint(checkpoint, checkpoint, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "s")


def test_one_file_gives_one_file(source, tmp_path):
    checkpoint = open_checkpoint(source.folder / SHARDS[1])
    out = tmp_path / "new" / "b.safetensors"
    save_checkpoint(checkpoint, checkpoint, out)
    assert out.read_bytes() == (source.folder / SHARDS[1]).read_bytes()
    assert os.listdir(out.parent) == ["b.safetensors"]
    save_checkpoint({**checkpoint, "b": torch.zeros(7)}, checkpoint, out)
    assert open_checkpoint(out)["b"].sum() == 0
    with pytest.raises(ToroidsError, match="is the checkpoint itself"):
        save_checkpoint(checkpoint, checkpoint, source.folder / SHARDS[1])
    with pytest.raises(ToroidsError, match="is a folder; name a file"):
        save_checkpoint(checkpoint, checkpoint, source.folder)


def test_a_failure_keeps_the_old_file(source, tmp_path):
    checkpoint = open_checkpoint(source.folder / SHARDS[1])
    (tmp_path / "out").write_text("old")
    with pytest.raises(ParamsError):
        save_checkpoint({**checkpoint, "b": torch.ones(1)}, checkpoint, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["out", "source"]


def test_a_source_that_was_replaced_is_noticed(source, tmp_path):
    safetensors.torch.save_file({"b": torch.ones(1)}, source.folder / SHARDS[1])
    with pytest.raises(ParamsError, match="was replaced since it was opened"):
        save_checkpoint(dict.fromkeys(source, torch.ones(1)) | dict(open_checkpoint(source.folder / SHARDS[0])),
                        source, tmp_path / "out")  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_is_no_file_is_not_waited_for(source, tmp_path):
    os.mkfifo(source.folder / "pipe.txt")
    worker = threading.Thread(
        target=save_checkpoint, args=(source, source, tmp_path / "out"), daemon=True
    )
    worker.start()
    worker.join(30)
    assert not worker.is_alive() and not (tmp_path / "out" / "pipe.txt").exists()


def test_a_disk_without_room_is_told_at_the_start(source, tmp_path, monkeypatch):
    assert source.size == sum((source.folder / name).stat().st_size for name in SHARDS)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=source.size - 1))
    with pytest.raises(ToroidsError, match="name a place on another disk"):
        check_out(source, tmp_path / "out")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=source.size))
    check_out(source, tmp_path / "out")


def test_what_a_killed_command_has_left_is_deleted(source, tmp_path):
    left = tmp_path / ".out-abcdefgh.tmp"
    left.mkdir()
    (left / SHARDS[0]).write_text("half")
    check_out(source, tmp_path / "out")
    assert not left.exists()
