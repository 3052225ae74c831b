import pickle

import pytest
import torch

from toroids.errors import ParamsError
from toroids.study.sealed import (
    DamagedFile,
    load_network,
    read_sealed,
    save_network,
    write_sealed,
)

CONTENT = {"kind": "x", "values": [0.1, None, 1e-300], "text": "né"}


def test_content_comes_back(tmp_path):
    write_sealed(tmp_path / "r.json", CONTENT)
    assert read_sealed(tmp_path / "r.json") == CONTENT
    assert (tmp_path / "r.json").read_text().count("\n") == 1


def params():
    torch.manual_seed(1)
    scalar = torch.tensor(3, dtype=torch.int64)
    return {"b": torch.randn(3, 4), "a": torch.randn(2).half(), "n": scalar, "e": torch.empty(0, 2)}


def test_networks_come_back(tmp_path):
    save_network(params(), tmp_path / "n.safetensors")
    found = load_network(tmp_path / "n.safetensors")
    assert found.keys() == params().keys()
    for name, tensor in params().items():
        assert torch.equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype


def damaged(content, generator):
    """Cuts a file off, flips one bit of it, or empties it."""
    yield b""
    for _ in range(10):
        yield content[: int(torch.randint(len(content), (), generator=generator))]
    for _ in range(30):
        place = int(torch.randint(len(content), (), generator=generator))
        bit = 1 << int(torch.randint(8, (), generator=generator))
        yield content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]


def test_every_damage_to_a_result_is_seen(tmp_path):
    path = tmp_path / "r.json"
    write_sealed(path, CONTENT)
    for content in damaged(path.read_bytes(), torch.Generator().manual_seed(0)):
        path.write_bytes(content)
        try:
            # white space at the end, or a letter of another case in an escape, changes nothing
            assert read_sealed(path) == CONTENT
        except DamagedFile as error:
            assert "its checksum does not fit" in str(error)
    path.write_text('{"sha256": 3, "content": []}')
    with pytest.raises(DamagedFile):
        read_sealed(path)


def test_every_damage_to_weights_is_seen(tmp_path):
    path = tmp_path / "n.safetensors"
    save_network(params(), path)
    for content in damaged(path.read_bytes(), torch.Generator().manual_seed(0)):
        path.write_bytes(content)
        try:
            found = load_network(path)
            # a bit of the header's own padding, or of a key that nobody reads
            assert all(torch.equal(found[name], tensor) for name, tensor in params().items())
        except DamagedFile as error:
            assert "its checksum does not fit" in str(error)


def test_weights_that_are_a_pickle_are_refused_and_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    (tmp_path / "p").write_bytes(pickle.dumps(Trap()))
    torch.save({"w": torch.ones(1)}, tmp_path / "t")
    for name in "pt":
        with pytest.raises(ParamsError, match="is a pickle.*convert it: safetensors.torch.save"):
            load_network(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_missing_files_are_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_network(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        read_sealed(tmp_path / "gone")
