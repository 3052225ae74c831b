import pickle

import pytest
import torch

import toroids as td
from toroids.errors import ParamsError
from toroids.params import check_alike


def test_safetensors_round_trip(tmp_path):
    tied = torch.randn(3, 4)
    params = {"a": tied, "b": tied, "c": tied.T, "n": torch.tensor(5), "h": tied.bfloat16()}
    td.save_params(params, tmp_path / "w.safetensors")
    read = td.load_params(tmp_path / "w.safetensors")
    assert read.keys() == params.keys()
    assert all(torch.equal(read[name], params[name]) for name in params)
    assert all(read[name].dtype == params[name].dtype for name in params)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ParamsError, match="no weight file .*gone.safetensors"):
        td.load_params(tmp_path / "gone.safetensors")


def test_a_pickle_is_refused_and_not_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the file was unpickled",))

    path = tmp_path / "w.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ParamsError, match="is a pickle, which could execute code; convert it"):
        td.load_params(path)


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    td.save_params({"a": torch.randn(100)}, path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ParamsError, match="not a whole safetensors file"):
        td.load_params(path)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"a": torch.ones(2), "b": torch.ones(3)}, "`b` has shape .3,. in the second network but"),
        ({"a": torch.ones(2)}, "lacks? `b`"),
        ({"a": torch.ones(2), "b": torch.ones(2), "z": torch.ones(1)}, "has `z`, which"),
        (
            {"a": torch.ones(2), "b": torch.tensor([1.0, float("nan")])},
            "`b` in the second .* 1 of 2",
        ),
        ({"a": torch.ones(2), "b": torch.full((2,), float("inf"))}, "`b` in the second .* 2 of 2"),
    ],
)
def test_networks_that_do_not_fit_each_other_are_named(other, message):
    with pytest.raises(ParamsError, match=message):
        check_alike({"a": torch.ones(2), "b": torch.ones(2)}, other)


def test_files_whose_length_looks_like_a_pickle_are_read(tmp_path):
    path = tmp_path / "network.safetensors"
    lengths = set()
    for count in range(1, 200):
        td.save_params({f"{number:04}": torch.zeros(1) for number in range(count)}, path)
        lengths.add(path.read_bytes()[:2])
        assert len(td.load_params(path)) == count
    assert lengths & {b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"}
