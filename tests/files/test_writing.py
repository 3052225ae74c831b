import os
import stat

import pytest
import torch
from files.strange import KINDS, at_once, make

import toroids as td
from toroids.errors import ToroidsError
from toroids.files.writing import write_atomically


def test_content_is_written_and_the_folder_made(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "b.txt"
    path.write_bytes(b"old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["b.txt"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "null"])
def test_what_is_no_file_is_never_replaced(kind, tmp_path):
    path = make(kind, tmp_path / "x")
    before = stat.S_IFMT(os.lstat(path).st_mode)
    with at_once(), pytest.raises(ToroidsError, match=f"x` .*{KINDS[kind].removeprefix('it ')}"):
        td.save_params({"a": torch.ones(2)}, path)
    assert stat.S_IFMT(os.lstat(path).st_mode) == before
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_device_of_the_system_is_left_alone():
    with pytest.raises(ToroidsError, match="`/dev/null` is a device; name a file"):
        td.save_params({"a": torch.ones(2)}, "/dev/null")


def test_places_where_no_file_can_be(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in ("file/x", "x" * 300, f"{'y' * 300}/x"):
        with pytest.raises(ToroidsError, match="cannot be written: .*; name another place"):
            write_atomically(tmp_path / place, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_name_as_long_as_names_may_be(tmp_path):
    write_atomically(tmp_path / ("\u00e9" * 127), b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"new"]
