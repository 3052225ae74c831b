import io
import os

import pytest
import safetensors
import torch
from files.strange import at_once, make
from safetensors.torch import load_file, save_file

import toroids as td
from toroids.files.seal import BLANK, MARK, Sealing, is_sealed
from toroids.params import encode_params


def sealed(path, *pieces):
    with open(path, "wb") as stream:
        sealing = Sealing(stream)
        for piece in pieces:
            sealing.write(piece)
        sealing.close()
    return path


def test_a_file_is_sealed_until_any_of_its_bytes_changes(tmp_path):
    path = sealed(tmp_path / "x", b"before ", BLANK.encode() + b" after", bytes(3 * 2**20))
    assert is_sealed(path)
    content = path.read_bytes()
    place = content.index(MARK) + len(MARK)
    for changed in (0, place, place + 63, place + 64, len(content) - 1):
        path.write_bytes(content[:changed] + b"\x01" + content[changed + 1 :])
        assert not is_sealed(path)
    path.write_bytes(content + b"\0")
    assert not is_sealed(path)
    path.write_bytes(content)
    assert is_sealed(path)


def test_the_metadata_that_another_tool_copies_is_no_seal(tmp_path):
    params = {"a": torch.arange(5.0)}
    path = sealed(tmp_path / "x", encode_params(params, {"toroids": BLANK}))
    assert is_sealed(path)
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(load_file(path), tmp_path / "y", metadata)
    assert is_sealed(tmp_path / "y")  # the same file, byte for byte
    save_file({"a": torch.arange(5.0) + 1}, tmp_path / "y", metadata)
    assert not is_sealed(tmp_path / "y")


def test_what_is_no_file_of_ours(tmp_path):
    td.save_params({"a": torch.ones(2)}, tmp_path / "mine.safetensors")  # by a program of mine
    (tmp_path / "empty").touch()
    (tmp_path / "cut").write_bytes(BLANK.encode()[:-5])
    (tmp_path / "blank").write_bytes(BLANK.encode())
    for name in ("mine.safetensors", "empty", "cut", "blank", "gone"):
        assert not is_sealed(tmp_path / name)
    with at_once():
        assert not is_sealed(make("pipe", tmp_path / "pipe"))


def test_what_has_no_place_for_a_seal_is_written_as_it_is():
    stream = io.BytesIO()
    sealing = Sealing(stream)
    sealing.write(b"{}")
    sealing.close()
    assert stream.getvalue() == b"{}"


def test_a_file_that_may_not_be_read_is_none_of_ours(tmp_path, monkeypatch):
    path = sealed(tmp_path / "x", BLANK.encode())

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(PermissionError):
        os.open(path, os.O_RDONLY)
    assert not is_sealed(path)
