"""Nothing that a user names makes a program wait or read for ever."""

import threading

import pytest
import torch
from files.strange import KINDS, at_once, make
from safetensors.torch import save_file

import toroids as td
from toroids.checkpoint import open_checkpoint
from toroids.data.files import load_data
from toroids.design.config import load_config
from toroids.design.config.digest import digest_file
from toroids.errors import ToroidsError
from toroids.files.reading import open_file, read_file, told
from toroids.models.load import load_model
from toroids.study.rows import read_rows
from toroids.study.sealed import DamagedFile, load_network, read_sealed


@pytest.mark.parametrize("kind", KINDS)
def test_only_regular_files_are_opened(kind, tmp_path):
    path = make(kind, tmp_path / "x")
    with at_once(), pytest.raises(OSError, match=KINDS[kind]):
        open_file(path)


def test_a_file_and_a_link_to_it_are_read(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    assert read_file(tmp_path / "link", 5) == b"12345"
    with pytest.raises(OSError, match="it has more than 4 bytes"):
        read_file(tmp_path / "file", 4)


def test_a_pipe_that_took_the_place_of_the_file_meanwhile(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    found = (tmp_path / "file").stat()
    pipe = make("pipe", tmp_path / "pipe")
    monkeypatch.setattr("os.stat", lambda *_: found)
    with at_once(), pytest.raises(OSError, match="it is a pipe"):
        open_file(pipe)


def test_the_sentence_names_the_file_and_says_what_to_do(tmp_path):
    missing = tmp_path / "gone"
    with (
        pytest.raises(ToroidsError, match="there is no map `.*gone`; draw one."),
        told(missing, "map", "draw one"),
    ):
        open_file(missing)


READERS = {
    "weights": td.load_params,
    "element": td.symmetry.Element.load,
    "checkpoint": open_checkpoint,
    "index": open_checkpoint,
    "data": lambda path: load_data(str(path)),
    "study": load_config,
    "digest": digest_file,
    "run": read_rows,
    "training": lambda path: td.solvers.SGD(budget=1).train(lambda seed: td.models.fully_connected([2, 2, 2], seed=seed), (torch.ones(2, 2), torch.tensor([0, 1])), 0, checkpoint=path),
}  # fmt: skip


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("folder", "null")])
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_says_so_in_one_sentence(reader, kind, tmp_path):
    path = make(kind, tmp_path / ("x.json" if reader == "index" else "x"))
    with at_once(), pytest.raises(ToroidsError) as caught:
        READERS[reader](path)
    text = str(caught.value)
    assert KINDS[kind] in text or reader in ("training", "run")  # which say that it is none
    assert f"`{tmp_path}" in text
    assert "\n" not in text


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder", "link"])
def test_a_result_that_is_none_is_damaged(kind, tmp_path):
    path = make(kind, tmp_path / "x")
    for read in (read_sealed, load_network):
        with at_once(), pytest.raises(DamagedFile, match="is damaged"):
            read(path)


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "link"])
def test_inside_of_folders(kind, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    make(kind, folder / "config.json")
    with at_once(), pytest.raises(ToroidsError, match="no readable config.json"):
        load_model(str(folder))
    (folder / "config.json").unlink()
    (folder / "config.json").write_text('{"architectures": ["GPT2Model"]}')
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "in/shard"}}')
    (folder / "in").mkdir()
    make(kind, folder / "in" / "shard")
    with at_once(), pytest.raises(ToroidsError, match=KINDS[kind]):
        load_model(str(folder))
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "shard.safetensors"}}')
    make(kind, tmp_path / "shard.safetensors")
    with at_once(), pytest.raises(ToroidsError, match=KINDS[kind]):
        open_checkpoint(tmp_path)
    images = tmp_path / "train" / "cat"
    images.mkdir(parents=True)
    make(kind, images / "0.png")
    with at_once(), pytest.raises(ToroidsError, match="cannot be read: it is a"):
        td.data.folder(tmp_path)


def test_networks_that_a_study_is_given(tmp_path):
    make("pipe", tmp_path / "0.safetensors")
    text = 'name = "x"\nseeds = [0]\n[solvers.mine]\nmethod = "files"\n'
    (tmp_path / "s.toml").write_text(f'{text}files = "{tmp_path}/{{seed}}.safetensors"\n')
    with (
        at_once(),
        pytest.raises(ToroidsError, match="0.safetensors` cannot be read: it is a pipe"),
    ):
        load_config(tmp_path / "s.toml")


def test_a_study_file_of_any_length_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("toroids.design.config.load.MOST_BYTES", 100)
    (tmp_path / "s.toml").write_text("#" * 101)
    with pytest.raises(ToroidsError, match="s.toml` cannot be read: it has more than 100 bytes"):
        load_config(tmp_path / "s.toml")


def test_a_pipe_with_a_writer_is_refused_as_well(tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors")
    pipe = make("pipe", tmp_path / "pipe")
    writer = threading.Thread(target=lambda: open(pipe, "wb").close(), daemon=True)
    writer.start()
    with at_once(), pytest.raises(ToroidsError, match="it is a pipe"):
        td.load_params(pipe)
    with open(pipe, "rb"):
        writer.join()


def test_a_study_of_a_million_seeds_is_refused_at_once(tmp_path):
    seeds = ",".join(map(str, range(10**6)))
    (tmp_path / "s.toml").write_text(f'name = "x"\nseeds = [{seeds}]\nsolvers.a.method = "sgd"\n')
    with (
        at_once(5),
        pytest.raises(ToroidsError, match="s.toml` cannot be read: it has more than 1,000,000"),
    ):
        load_config(tmp_path / "s.toml")
