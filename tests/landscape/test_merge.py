import gc

import pytest
import torch
from landscape.networks import digits, images, normed, own_statistics

import toroids as td
from toroids.errors import DataError, ParamsError, ToroidsError


def test_networks_in_disguise_merge_into_one_of_the_same_function():
    model, group, a, _, data = digits()
    a = {name: tensor.double() for name, tensor in a.items()}
    inputs, labels = data.test
    disguised = [group.apply(group.random(torch.Generator().manual_seed(s)), a) for s in (0, 1)]
    merged = td.merge(group, [a, *disguised])
    expected = td.canonicalize(group, a)
    moved = td.align(group, expected, to=merged).params
    assert td.Toroid(group).distance(moved, merged) < 1e-9
    found = td.evaluate(model, merged, (inputs, labels))
    assert found.error == td.evaluate(model, a, (inputs, labels)).error


def test_repair_helps_and_the_result_loads():
    model, group, a, b, data = digits()
    plain, repaired = (td.merge(group, [a, b], x) for x in (None, td.Landscape(model, data.train)))
    errors = [td.evaluate(model, merged, data.test).error for merged in (plain, repaired)]
    assert errors[1] < errors[0]
    model = td.models.fully_connected([64, 32, 32, 10])
    model.load_state_dict(dict(repaired))
    assert repaired.notes == ("pre-activations were given the statistics of the networks",)
    assert plain.notes == ()


def test_batch_norms_are_recalibrated():
    data = images()
    model = normed()
    networks = [own_statistics(normed(seed), data) for seed in (0, 1)]
    group = td.discover(model, data[0], output="classifier")
    merged = td.merge(group, networks, td.Landscape(model, data))
    anew = td.recalibrate(model, merged, data)
    assert all(torch.allclose(anew[n].double(), merged[n].double()) for n in merged)
    assert merged["1.num_batches_tracked"].dtype == torch.long
    assert "the statistics of batch norms were estimated anew" in merged.notes


def test_the_ensemble_averages_probabilities():
    model, _, a, b, data = digits()
    inputs, labels = data.test
    logits = [torch.func.functional_call(model, x, (inputs,)).detach() for x in (a, b)]
    mean = torch.stack([x.softmax(dim=1) for x in logits]).mean(dim=0)
    found = td.evaluate_ensemble(td.Landscape(model, data.test, batch_size=100), [a, b])
    assert found.error == pytest.approx((mean.argmax(dim=1) != labels).double().mean().item())
    by_hand = -mean.log()[torch.arange(len(labels)), labels].mean().item()
    assert found.loss == pytest.approx(by_hand, rel=1e-4)
    assert td.evaluate_ensemble(td.Landscape(model, data.test), [a]).loss == pytest.approx(
        td.evaluate(model, a, data.test).loss, rel=1e-5
    )


@pytest.mark.parametrize("method", ["activations", "loss"])
def test_methods_that_look_at_data_look_at_those_of_the_landscape(method):
    model, group, a, b, data = digits()
    landscape = td.Landscape(model, data.train)
    merged = td.merge(group, [a, b], landscape, method, budget=2)
    assert landscape(merged).error < landscape(td.geometry.Line(a, b)(0.5)).error
    with pytest.raises(ToroidsError, match=f"the method '{method}'"):
        td.merge(group, [a, b], method=method)


def test_bad_input():
    model, group, a, b, data = digits()
    with pytest.raises(ToroidsError, match="1 networks to merge"):
        td.merge(group, [a])
    with pytest.raises(ParamsError, match="not finite|NaN"):
        td.merge(group, [a, {n: x * float("nan") for n, x in b.items()}])
    with pytest.raises(ToroidsError, match="there is no method 'magic'"):
        td.merge(group, [a, b], method="magic")
    with pytest.raises(DataError, match="no examples"):
        td.merge(group, [a, b], td.Landscape(model, (data.train[0][:0], data.train[1][:0])))
    with pytest.raises(ToroidsError, match="there are 0 networks; pass one or more"):
        td.evaluate_ensemble(td.Landscape(model, data.test), [])


def test_networks_in_files_merge_as_in_memory(tmp_path):
    _, group, a, b, _ = digits()
    a, b = ({name: x.double() for name, x in network.items()} for network in (a, b))
    expected = td.merge(group, [a, b])
    found = td.merge(group, [a, b], scratch=tmp_path)
    moved = td.align(group, found, to=expected).params
    assert td.Toroid(group).distance(moved, expected) < 1e-8
    half = [{name: x.bfloat16() for name, x in network.items()} for network in (a, b)]
    merged = td.merge(group, [*half, half[0]], scratch=tmp_path)
    assert {x.dtype for x in merged.values()} == {torch.float32}
    assert merged.notes == ("the projected average instead of the mean on the toroid",)
    with pytest.raises(ToroidsError, match="scratch= is for networks that do not fit"):
        td.merge(group, [a, b], td.Landscape(digits()[0], digits()[-1].train), scratch=tmp_path)
    del found, merged
    gc.collect()
    assert not list(tmp_path.iterdir())
