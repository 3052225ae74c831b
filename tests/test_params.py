import itertools
import pickle

import pytest
import torch
from discovery.function import Function

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


def test_buffers_may_be_infinite_as_masks_are_and_weights_may_not():
    def forward(m, x):
        scores = m.q(x) @ m.k(x).mT + m.mask[: x.shape[1], : x.shape[1]]
        return (scores.softmax(-1) @ m.v(x)).mean(1)

    mask = torch.nn.Transformer.generate_square_subsequent_mask(8)
    model = Function(forward, **{name: torch.nn.Linear(3, 4) for name in "qkv"}, mask=mask)
    group = td.discover(model, torch.randn(2, 5, 3))
    assert group.masks == {"mask"}
    a, b = (
        {n: x + 0.1 * torch.randn(x.shape) for n, x in model.state_dict().items()} for _ in "ab"
    )
    aligned = td.align(group, b, to=a)
    path = td.Toroid(group).geodesic(aligned.reference, aligned.params)
    for way, t in itertools.product((path, td.geometry.Line(a, b)), (0.0, 0.3, 1.0)):
        assert torch.equal(way(t)["mask"].isinf(), mask.isinf())
    data = torch.randn(6, 5, 3), torch.randint(4, (6,))
    assert td.profile(td.Landscape(model, data), path, 3).error.isfinite().all()
    for name, value, of in (("q.weight", torch.inf, 12), ("mask", torch.nan, 64)):
        wrong = a | {name: torch.full_like(a[name], value)}
        with pytest.raises(ParamsError, match=f"`{name}` in .* {of} of {of} entries"):
            td.canonicalize(group, wrong)
