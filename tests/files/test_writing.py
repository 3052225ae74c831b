import os
import stat

import pytest
import torch
from files.strange import KINDS, at_once, make

import toroids as td
from toroids.errors import ToroidsError
from toroids.files.writing import (
    check_room,
    hold,
    new_folder,
    reclaim,
    replacing,
    write_atomically,
)


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
    for place in ("file/x", "x" * 300, f"{'y' * 300}/x", "z/" * 1800 + "x"):
        with pytest.raises(ToroidsError, match="cannot be written: .*; name another place"):
            write_atomically(tmp_path / place, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_name_as_long_as_names_may_be(tmp_path):
    write_atomically(tmp_path / ("\u00e9" * 127), b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"new"]


@pytest.mark.skipif(os.name != "posix", reason="no marks of use here")
def test_what_killed_writes_have_left_is_reclaimed(tmp_path):
    left = [tmp_path / f".out-{8 * letter}.tmp" for letter in "abcde"]
    folder, file, held, empty, _ = left
    other = tmp_path / ".another-aaaaaaaa.tmp"
    for each in (folder, held, empty, other):
        each.mkdir()
    for each in (folder / "shard", held / "shard", other / "shard", file):
        each.write_text("half")
    outside = tmp_path / "data"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    left[-1].symlink_to(outside)
    handle = os.open(held, os.O_RDONLY)
    hold(handle)
    reclaim(tmp_path / "out")
    assert not folder.exists() and not file.exists()
    assert all(each.exists() for each in (held, empty, other, outside / "kept", left[-1]))
    os.close(handle)
    reclaim(tmp_path / "out")
    assert not held.exists()


@pytest.mark.skipif(os.name != "posix", reason="no marks of use here")
def test_what_is_being_written_is_left_alone(tmp_path):
    with new_folder(tmp_path / "out") as folder, replacing(tmp_path / "file") as stream:
        (folder / "shard").write_text("half")
        stream.write(b"half")
        stream.flush()
        reclaim(tmp_path / "out")
        reclaim(tmp_path / "file")
    assert (tmp_path / "out" / "shard").read_text() == (tmp_path / "file").read_text() == "half"


def test_a_disk_that_is_too_small_is_told_beforehand(tmp_path):
    check_room(tmp_path / "not" / "there", 1)
    with pytest.raises(ToroidsError, match=r"out` needs 1e\+09 GB, but its disk has .* GB free"):
        check_room(tmp_path / "out", 10**18)
