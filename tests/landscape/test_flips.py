from collections import OrderedDict

import pytest
import torch
from torch import nn

import toroids as td
from toroids.binary.layers import BinaryLinear, Scale, Sign, latents
from toroids.binary.sign import sign
from toroids.binary.weights import BinaryWeights
from toroids.landscape import sequence, stages
from toroids.landscape.flips import FlipEvaluator, flip_curve

EXAMPLES = 40


class Wrapped(nn.Module):
    """Not a sequence, so that it is evaluated as a whole."""

    def __init__(self, model):
        super().__init__()
        self.inner = model

    def forward(self, x):
        return self.inner(x)


class Centred(nn.Module):
    """Mixes examples."""

    def forward(self, x):
        return x - x.mean(dim=0)


def built(widths, norm="none"):
    return td.models.binary_fully_connected(widths, norm, threshold=0.1)


def tied():
    layer = BinaryLinear(7, 7, "real")
    return nn.Sequential(layer, Sign(), layer, Sign(), BinaryLinear(7, 3, seed=1))


def activations():
    return nn.Sequential(
        OrderedDict(
            first=BinaryLinear(7, 9, "real"),
            tanh=nn.Tanh(),
            inner=nn.Sequential(BinaryLinear(9, 11, "binary", 1), Scale(0.3), nn.GELU()),
            dropout=nn.Dropout(),
            layer_norm=nn.LayerNorm(11),
            last=BinaryLinear(11, 3, seed=2),
        )
    )


# name: network, shape of an example, classes
NETWORKS = {
    "fully connected": (lambda: built([7, 9, 11, 3]), (7,), 3),
    "binary bias": (lambda: built([8, 10, 12, 3]), (8,), 3),
    "thresholds": (lambda: built([7, 9, 11, 3], "real"), (7,), 3),
    "batch norm": (lambda: built([7, 9, 11, 3], "batch_norm"), (7,), 3),
    "real inputs": (lambda: nn.Sequential(*built([7, 9, 11, 3])[2:]), (7,), 3),
    "activations": (activations, (7,), 3),
    "images": (lambda: built([16, 9, 3]), (1, 4, 4), 3),
    "perceptron": (lambda: td.models.binary_perceptron(21), (21,), 2),
    "committee": (lambda: td.models.binary_committee(15, 5), (15,), 2),
    "tree": (lambda: td.models.binary_committee(15, 5, tree=True), (15,), 2),
    "convolutions": (
        lambda: td.models.binary_convolutional((1, 8, 8), 3, (3, 5), 7, "batch_norm"),
        (1, 8, 8),
        3,
    ),
    "whole": (lambda: Wrapped(built([7, 9, 3])), (7,), 3),
    "mixing": (lambda: nn.Sequential(Centred(), *built([7, 9, 3])), (7,), 3),
    "tied": (tied, (7,), 3),
}
WHOLE = {"whole", "mixing", "tied"}


def network(name, device="cpu", dtype=torch.float32, examples=EXAMPLES):
    """A model, its binary parameters and data."""
    make, shape, classes = NETWORKS[name]
    model = make()
    binary = {id(latent) for latent in latents(model)}
    params = {}
    for key, tensor in model.state_dict(keep_vars=True).items():
        drawn = tensor.detach()
        if id(tensor) in binary:
            drawn = sign(drawn)
        elif tensor.is_floating_point():  # norms that do something
            drawn = 0.5 + torch.rand(tensor.shape)
        params[key] = drawn.to(device, dtype if drawn.is_floating_point() else None)
    inputs = torch.randn(examples, *shape)
    return model, params, (inputs.to(device), torch.randint(classes, (examples,), device=device))


def check(evaluator, model, data):
    """Compares with a fresh evaluation of the same parameters."""
    found, expected = evaluator.evaluation(), td.evaluate(model, evaluator.params, data)
    assert (found.error, found.examples) == (expected.error, expected.examples)
    assert found.error_stderr == pytest.approx(expected.error_stderr, rel=1e-12)
    assert found.loss == pytest.approx(expected.loss, rel=1e-6)
    assert found.loss_stderr == pytest.approx(expected.loss_stderr, rel=1e-5)
    assert (evaluator.error, evaluator.loss) == pytest.approx((found.error, found.loss), rel=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_to_evaluate_after_random_flips(name, dtype, device):
    model, params, data = network(name, device, dtype)
    evaluator = FlipEvaluator(model, params, data)
    assert evaluator.incremental == (name not in WHOLE)
    check(evaluator, model, data)
    for count in (1, 1, 2, 5, 1, 20, 100, 1, 3):
        evaluator.flip_at(torch.randint(evaluator.weights.entries, (count,)))
        check(evaluator, model, data)


@pytest.mark.parametrize("cost", [1e-9, 1e9])
@pytest.mark.parametrize("name", ["binary bias", "real inputs", "activations", "batch norm"])
def test_sparse_and_dense_updates_agree(name, cost, monkeypatch):
    monkeypatch.setattr(stages, "FLIP_COST", cost)
    model, params, data = network(name)
    evaluator = FlipEvaluator(model, params, data)
    for tensor, size in zip(evaluator.weights.names, evaluator.weights.sizes, strict=True):
        for count in (1, 2, 4):
            evaluator.flip(tensor, torch.randint(size, (count,)))
            check(evaluator, model, data)
    evaluator.flip_at([0, 10, evaluator.weights.entries - 1])
    check(evaluator, model, data)


@pytest.mark.parametrize("name", NETWORKS)
def test_errors_if_are_those_after_the_flip(name, device):
    model, params, data = network(name, device)
    evaluator = FlipEvaluator(model, params, data)
    before = evaluator.params
    for tensor, size in zip(evaluator.weights.names, evaluator.weights.sizes, strict=True):
        at = torch.randint(size, (6,))
        expected = []
        for position in at:
            evaluator.flip(tensor, position)
            expected.append(evaluator.error)
            evaluator.flip(tensor, position)
        found = evaluator.errors_if(tensor, at)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found.cpu(), torch.tensor(expected, dtype=torch.float64))
    assert evaluator.errors_if(evaluator.weights.names[0], []).shape == (0,)
    assert all(torch.equal(before[n], tensor) for n, tensor in evaluator.params.items())
    check(evaluator, model, data)


def test_errors_if_in_pieces(monkeypatch):
    model, params, data = network("fully connected")
    evaluator = FlipEvaluator(model, params, data)
    expected = evaluator.errors_if("hidden1.weight", torch.arange(63))
    monkeypatch.setattr("toroids.landscape.flips.AT_ONCE", 8 * 3 * EXAMPLES)
    torch.testing.assert_close(evaluator.errors_if("hidden1.weight", range(63)), expected)


@pytest.mark.parametrize("name", ["real inputs", "activations"])
def test_thousands_of_flips_do_not_drift(name):
    model, params, data = network(name)
    evaluator = FlipEvaluator(model, params, data)
    for position in torch.randint(evaluator.weights.entries, (2000,)):
        evaluator.flip_at(position)
    check(evaluator, model, data)
    fresh = FlipEvaluator(model, evaluator.params, data)
    for kept, new in zip(evaluator._stages, fresh._stages, strict=True):
        if isinstance(kept, stages.LinearStage):
            # far below float32, which loses 6e-8 of a sum at each of thousands of updates
            torch.testing.assert_close(kept.sums, new.sums, rtol=1e-6, atol=2e-6)
    first, again = evaluator._stages[0], fresh._stages[0]  # its inputs never change
    assert first.sums.dtype == torch.float64
    torch.testing.assert_close(first.sums, again.sums, rtol=1e-12, atol=1e-12)


def test_sums_of_signs_stay_exact():
    model, params, data = network("fully connected")
    evaluator = FlipEvaluator(model, params, data)
    for position in torch.randint(evaluator.weights.entries, (500,)):
        evaluator.flip_at(position)
    fresh = FlipEvaluator(model, evaluator.params, data)
    for kept, new in zip(evaluator._stages, fresh._stages, strict=True):
        assert kept.sums.dtype == torch.float32 and torch.equal(kept.sums, new.sums)


def test_inputs_beyond_float32_integers_are_kept_in_float64():
    model = td.models.binary_perceptron(3)
    params = {"hidden.weight": torch.ones(1, 3)}
    small, large = torch.full((2, 3), 2.0**20), torch.full((2, 3), 2.0**23)
    for inputs, dtype in ((small, torch.float32), (large, torch.float64)):
        evaluator = FlipEvaluator(model, params, (inputs, torch.ones(2).long()))
        assert evaluator._stages[0].sums.dtype == dtype


def test_flipping_twice_is_not_flipping():
    model, params, data = network("binary bias")
    evaluator = FlipEvaluator(model, params, data)
    before = evaluator.evaluation()
    evaluator.flip("hidden1.bias", [2, 2])
    evaluator.flip("hidden1.weight", [])
    assert all(torch.equal(params[n], tensor) for n, tensor in evaluator.params.items())
    evaluator.flip("hidden2.weight", [1, 4, 1, 1, 5, 5])
    changed = (evaluator.params["hidden2.weight"] != params["hidden2.weight"]).flatten().nonzero()
    assert changed.flatten().tolist() == [1, 4]
    evaluator.flip("hidden2.weight", torch.tensor([[4], [1]]))
    assert evaluator.evaluation() == before


def test_a_unit_flipped_with_all_its_weights_changes_nothing():
    model, params, data = network("fully connected")
    evaluator = FlipEvaluator(model, params, data)
    before = evaluator.evaluation()
    evaluator.flip("hidden1.weight", torch.arange(2 * 7, 3 * 7))
    evaluator.flip("hidden2.weight", torch.arange(11) * 9 + 2)
    assert evaluator.evaluation() == before


def test_the_model_and_the_params_are_left_alone():
    model, params, data = network("batch norm")
    model.train()
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    given = {name: tensor.clone() for name, tensor in params.items()}
    evaluator = FlipEvaluator(model, params, data)
    evaluator.flip_at(range(evaluator.weights.entries))
    evaluator.params["output.weight"].zero_()
    assert all(torch.equal(own[n], tensor) for n, tensor in model.state_dict().items())
    assert all(torch.equal(given[n], tensor) for n, tensor in params.items())
    assert all(module.training for module in model.modules())
    check(evaluator, model, data)


def test_a_shuffling_loader_is_read_once():
    model, params, data = network("fully connected")
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(*data), batch_size=7, shuffle=True
    )
    evaluator = FlipEvaluator(model, params, loader)
    evaluator.flip_at([3, 80, 150])
    check(evaluator, model, data)


def test_transposed_weights_and_hooks():
    model, params, data = network("fully connected")
    params["hidden1.weight"] = params["hidden1.weight"].T.contiguous().T
    evaluator = FlipEvaluator(model, params, data)
    evaluator.flip("hidden1.weight", 1)
    assert (evaluator.params["hidden1.weight"] != params["hidden1.weight"]).nonzero().tolist() == [
        [0, 1]
    ]
    check(evaluator, model, data)
    model.hidden2.register_forward_hook(lambda module, inputs, output: output + 1.5)
    hooked = FlipEvaluator(model, params, data)
    assert not hooked.incremental
    hooked.flip("hidden1.weight", 1)
    check(hooked, model, data)


def test_one_example_is_followed_or_evaluated():
    for name in ("fully connected", "committee"):
        model, params, data = network(name, examples=1)
        evaluator = FlipEvaluator(model, params, data)
        evaluator.flip("hidden1.weight" if name != "committee" else "hidden.weight", 0)
        check(evaluator, model, data)


def test_curve():
    model, params, data = network("binary bias")
    order = torch.randperm(BinaryWeights.of(model).entries)[:25]
    curve = flip_curve(FlipEvaluator(model, params, data), order, every=10)
    fresh = FlipEvaluator(model, params, data)
    expected = [fresh.evaluation()]
    for block in (order[:10], order[10:20], order[20:]):
        for position in block:
            fresh.flip_at(position)
        expected.append(fresh.evaluation())
    assert curve == expected
    assert flip_curve(fresh, []) == expected[-1:]


def test_layers_with_rows_of_their_own_are_told_apart():
    x = torch.randn(6, 4)
    alone = stages.Stage(nn.LayerNorm(4), x, signs=False)
    mixing = stages.Stage(Centred(), x, signs=False)
    assert sequence._treats_rows_alone(alone) and not sequence._treats_rows_alone(mixing)


def test_bad_input():
    model, params, data = network("fully connected")
    with pytest.raises(td.ToroidsError, match=r"`hidden1.weight` .* holds 0.5 at 1, expected"):
        wrong = params["hidden1.weight"].clone()
        wrong[0, 1] = 0.5
        FlipEvaluator(model, {**params, "hidden1.weight": wrong}, data)
    with pytest.raises(td.ToroidsError, match="the model has no binary weights"):
        plain = td.models.fully_connected([7, 3])
        FlipEvaluator(plain, plain.state_dict(), data)
    with pytest.raises(td.ToroidsError, match="lacks? `output.weight`"):
        FlipEvaluator(model, {n: t for n, t in params.items() if n != "output.weight"}, data)
    with pytest.raises(td.ToroidsError, match="label 9 .* is not one of the network's 3 classes"):
        FlipEvaluator(model, params, (data[0], torch.full_like(data[1], 9)))
    evaluator = FlipEvaluator(model, params, data)
    for call in (evaluator.flip, evaluator.errors_if):
        with pytest.raises(td.ToroidsError, match="`hidden9` is no binary tensor .* hidden1.weig"):
            call("hidden9", 0)
        with pytest.raises(td.ToroidsError, match="position 63 is not in `hidden1.weight`; .* 62"):
            call("hidden1.weight", [0, 63])
        with pytest.raises(td.ToroidsError, match="position -1 is not in `hidden1.weight`"):
            call("hidden1.weight", -1)
        with pytest.raises(td.ToroidsError, match=r"type torch.bool; pass integers"):
            call("hidden1.weight", torch.ones(3, dtype=torch.bool))
    with pytest.raises(td.ToroidsError, match="position 195 is not in the binary weights"):
        evaluator.flip_at(195)
    with pytest.raises(td.ToroidsError, match="0 flips between evaluations"):
        flip_curve(evaluator, [0], every=0)
