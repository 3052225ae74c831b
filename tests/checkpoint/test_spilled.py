import gc
import os
import subprocess
import sys
import threading

import pytest
import torch

from toroids.checkpoint import Spilled
from toroids.errors import ParamsError, ToroidsError
from toroids.files.writing import UNFINISHED

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2,
          torch.complex128, torch.int64, torch.int8, torch.uint16, torch.bool)  # fmt: skip
SHAPES = ((2, 3), (), (1,), (0,), (3, 0, 2), (2, 1, 3))


def same(a, b):
    bits = [t.reshape(-1).view(torch.uint8) for t in (a, b)]
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(*bits)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_what_is_set_is_read(dtype, shape):
    tensor = torch.randint(0, 2, shape).to(dtype)
    with Spilled({"a": tensor}) as spilled:
        assert same(spilled["a"], tensor)


def test_it_is_a_mapping_in_order(tmp_path):
    spilled = Spilled(folder=tmp_path)
    for name in ("b", "a", "c"):
        spilled[name] = torch.ones(1)
    spilled["b"] = torch.zeros(2)
    assert list(spilled) == ["b", "a", "c"] and len(spilled) == 3
    assert "a" in spilled and "z" not in spilled and spilled.get("z") is None
    del spilled["a"]
    assert list(spilled) == ["b", "c"]
    assert len(list(next(tmp_path.iterdir()).iterdir())) == 2
    with pytest.raises(KeyError):
        spilled["a"]
    with pytest.raises(KeyError):
        del spilled["a"]
    spilled.close()


def test_a_name_that_is_set_again_leaves_earlier_tensors_alone():
    with Spilled({"a": torch.ones(100_000)}) as spilled:
        old = spilled["a"]
        spilled["a"] = old * 2
        spilled["a"] = spilled["a"].double()
        assert bool((old == 1).all()) and bool((spilled["a"] == 2).all())
        assert spilled["a"].dtype == torch.float64


def test_a_tensor_may_be_set_to_itself():
    with Spilled({"a": torch.arange(5)}) as spilled:
        spilled["a"] = spilled["a"]
        assert spilled["a"].tolist() == [0, 1, 2, 3, 4]


def test_writing_into_a_tensor_does_not_change_what_is_kept():
    with Spilled({"a": torch.ones(3)}) as spilled:
        spilled["a"].zero_()
        assert spilled["a"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(12.0).reshape(3, 4).T,
        torch.arange(12.0)[::5],
        torch.ones(1).expand(4),
        torch.tensor([1 + 2j, 3]).conj(),
        torch.tensor([1 + 2j, 3]).conj().imag,
        torch.nn.Parameter(torch.ones(2)),
        torch.ones(2, requires_grad=True) * 3,
    ],
)
def test_tensors_are_kept_by_value(tensor):
    with Spilled({"a": tensor}) as spilled:
        assert torch.equal(spilled["a"], tensor.detach()) and not spilled["a"].requires_grad


@pytest.mark.parametrize("tensor", [torch.ones(2, device="meta"), torch.eye(2).to_sparse()])
def test_tensors_without_plain_entries_are_refused(tensor, tmp_path):
    with pytest.raises(ParamsError, match="no plain entries"):
        Spilled({"a": tensor}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_folder_goes_with_the_block_and_tensors_stay(tmp_path):
    with Spilled({"a": torch.ones(5)}, tmp_path) as spilled:
        kept = spilled["a"]
        [folder] = tmp_path.iterdir()
        assert str(folder) in UNFINISHED  # also for who ends the process at once
    assert not list(tmp_path.iterdir()) and str(folder) not in UNFINISHED
    assert kept.sum() == 5
    with pytest.raises(ToroidsError, match="scratch folder is closed"):
        spilled["a"]
    with pytest.raises(ToroidsError, match="scratch folder is closed"):
        spilled["b"] = torch.ones(1)
    spilled.close()


def test_the_folder_goes_with_the_last_reference(tmp_path):
    spilled = Spilled({"a": torch.ones(5)}, tmp_path)
    del spilled
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_the_folder_goes_with_the_process(tmp_path):
    code = f"import torch; from toroids.checkpoint import Spilled; s = Spilled({{'a': torch.ones(5)}}, {str(tmp_path)!r}); t = s['a']"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_leaves_the_folder(tmp_path):
    spilled = Spilled({"a": torch.ones(5)}, tmp_path)
    child = os.fork()
    if child == 0:
        spilled.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert spilled["a"].sum() == 5


def test_threads_may_set_names_at_once():
    with Spilled() as spilled:

        def fill(number):
            for turn in range(50):
                spilled[f"{number}"] = torch.full((100,), float(turn))

        threads = [threading.Thread(target=fill, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(bool((spilled[str(number)] == 49).all()) for number in range(4))


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ToroidsError, match="no scratch folder can be made in .*gone"):
        Spilled(folder=tmp_path / "gone")


def test_a_full_disk_keeps_the_old_tensor(tmp_path, monkeypatch):
    spilled = Spilled({"a": torch.ones(3)}, tmp_path)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("toroids.checkpoint.spilled.raw", full)
    with pytest.raises(ToroidsError, match="`a` cannot be moved .*No space left"):
        spilled["a"] = torch.zeros(3)
    assert spilled["a"].sum() == 3
    assert len(list(next(tmp_path.iterdir()).iterdir())) == 1


@pytest.mark.skipif(os.name != "posix", reason="no marks of use here")
def test_scratch_folders_of_killed_processes_are_reclaimed(tmp_path):
    killed, foreign = (tmp_path / f"toroids-scratch-{8 * letter}" for letter in "ab")
    for folder, name in ((killed, "0"), (foreign, "notes.txt")):
        folder.mkdir()
        (folder / name).write_text("left")
    first = Spilled({"a": torch.ones(5)}, tmp_path)
    second = Spilled({"a": torch.ones(5)}, tmp_path)
    assert not killed.exists() and foreign.exists()
    assert first["a"].sum() == second["a"].sum() == 5
