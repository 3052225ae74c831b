import dataclasses
import itertools
import math

import pytest
import torch
from torch import nn

import toroids as td
from toroids.errors import DataError, ParamsError, ToroidsError
from toroids.evaluation.metrics import cross_entropy


@pytest.fixture
def model():
    return td.models.fully_connected([4, 6, 3], seed=1)


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(50, 4, generator=generator)
    return inputs, torch.randint(3, (50,), generator=generator)


def test_against_the_definition(model, data, device):
    params = {name: tensor.to(device) for name, tensor in model.state_dict().items()}
    evaluation = td.Landscape(model, data, batch_size=7)(params)
    logits = model(data[0]).detach()
    losses = -logits.log_softmax(dim=1)[torch.arange(50), data[1]]
    error = (logits.argmax(dim=1) != data[1]).double().mean().item()
    assert evaluation.error == pytest.approx(error)
    assert evaluation.loss == pytest.approx(losses.mean().item(), rel=1e-5)
    assert evaluation.error_stderr == pytest.approx(math.sqrt(error * (1 - error) / 50))
    spread = losses.double().std(correction=0).item() / math.sqrt(50)
    assert evaluation.loss_stderr == pytest.approx(spread, rel=1e-4)
    assert evaluation.examples == 50


def test_data_that_run_out_or_grow_are_refused(model, data):
    class Changes:
        def __init__(self, *counts):
            self.counts = iter(counts)

        def __iter__(self):
            return iter([data] * next(self.counts))

    params = model.state_dict()
    for now in (1, 3):
        landscape = td.Landscape(model, Changes(2, now))
        assert landscape(params).examples == 100
        with pytest.raises(DataError, match=f"100 examples the first time and {now * 50} now"):
            landscape(params)


def test_tensors_loaders_and_generators_agree(model, data):
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(*data), batch_size=8, shuffle=True
    )
    batches = zip(data[0].split(9), data[1].split(9), strict=True)
    expected = td.evaluate(model, model.state_dict(), data)
    for other in (loader, batches):
        found = td.evaluate(model, model.state_dict(), other)
        assert (found.error, found.examples) == (expected.error, expected.examples)
        assert found.loss == pytest.approx(expected.loss, rel=1e-6)


def test_the_module_is_left_as_it_was(data):
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(), nn.Linear(6, 3))
    model[1].eval()  # a mixture of modes, as when a part is frozen
    modes = [module.training for module in model.modules()]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    other = {name: tensor + 1 for name, tensor in before.items()}
    assert td.evaluate(model, other, data) == td.evaluate(model, other, data)  # no dropout
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())


def test_inputs_follow_the_precision_of_the_parameters(model, data):
    params = {name: tensor.double() for name, tensor in model.state_dict().items()}
    assert (
        td.evaluate(model, params, data).error == td.evaluate(model, model.state_dict(), data).error
    )


class Wrapped(nn.Module):
    def __init__(self, inner, wrap):
        super().__init__()
        self.inner, self.wrap = inner, wrap

    def forward(self, inputs):
        return self.wrap(self.inner(inputs))


@pytest.mark.parametrize(
    ("wrap", "key"),
    [
        (lambda logits: (logits, None), None),
        (lambda logits: {"loss": None, "logits": logits}, None),
        (lambda logits: {"scores": logits}, "scores"),
        (lambda logits: (None, logits), 1),
    ],
)
def test_structured_outputs(model, data, wrap, key):
    wrapped = Wrapped(model, wrap)
    found = td.Landscape(wrapped, data, output_key=key)(wrapped.state_dict())
    assert found == td.evaluate(model, model.state_dict(), data)


def test_an_output_that_is_not_there_is_named(model, data):
    wrapped = Wrapped(model, lambda logits: {"scores": logits})
    with pytest.raises(DataError, match="returned a dict without the entry 'logits'"):
        td.evaluate(wrapped, wrapped.state_dict(), data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:0], y[:0]), "no examples"),
        (lambda x, y: [], "no examples"),
        (lambda x, y: (x, y[:-1]), "50 inputs but 49 labels"),
        (lambda x, y: (x, y + 1), "label 3 .* not one of the network's 3 classes, 0 to 2"),
        (lambda x, y: (x, y - 1), "label -1 .* not one of the network's 3 classes"),
        (lambda x, y: (x, y.float()), "dtype torch.float32; pass class numbers as integers"),
        (lambda x, y: (x, y[:, None]), r"labels \(50, 1\)"),
    ],
)
def test_bad_data(model, data, change, message):
    with pytest.raises(DataError, match=message):
        td.evaluate(model, model.state_dict(), change(*data))


def test_labels_outside_the_classes_in_a_later_batch(model, data):
    labels = data[1].clone()
    labels[40] = 9
    for bad in ((data[0], labels), list(zip(data[0].split(10), labels.split(10), strict=True))):
        with pytest.raises(DataError, match="label 9"):
            td.Landscape(model, bad, batch_size=10)(model.state_dict())


def test_bad_parameters(model, data):
    params = model.state_dict()
    params["hidden1.weight"][0, 0] = float("nan")
    with pytest.raises(ParamsError, match="`hidden1.weight` .* 1 of 24 entries"):
        td.evaluate(model, params, data)
    with pytest.raises(ParamsError, match="lacks? `output.bias`"):
        td.evaluate(model, {k: v for k, v in params.items() if k != "output.bias"}, data)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_labels_of_any_integer_type(model, data, dtype):
    expected = td.evaluate(model, model.state_dict(), data)
    assert td.evaluate(model, model.state_dict(), (data[0], data[1].to(dtype))) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x.numpy(), y.numpy()), "expected a pair of tensors"),
        (lambda x, y: x, "the data is a Tensor"),
        (lambda x, y: itertools.count(), "a batch is a int, not a pair"),
        (lambda x, y: x.numpy(), "the data is a ndarray; make tensors of arrays"),
        (lambda x, y: (x.to_sparse(), y), "a tensor of a batch is sparse_coo; pass dense"),
        (lambda x, y: (x, y.to("meta")), "a tensor of a batch is on meta; pass dense"),
        (lambda x, y: None, "the data is a NoneType"),
        (lambda x, y: [{"x": x, "y": y}], "a batch is a dict, not a pair"),
        (lambda x, y: [(x, y, y)], "not a pair"),
        (lambda x, y: (torch.tensor(1.0), torch.tensor(1)), "not a pair"),
        (lambda x, y: (x[:, :3], y), r"cannot run on inputs of shape \(50, 3\)"),
        (lambda x, y: (x.long(), y), "and type torch.int64"),
    ],
)
def test_data_of_the_wrong_kind(model, data, change, message):
    with pytest.raises(DataError, match=message):
        td.evaluate(model, model.state_dict(), change(*data))


def test_a_batch_size_out_of_range(model, data):
    with pytest.raises(DataError, match="batch_size is 0"):
        td.Landscape(model, data, batch_size=0)(model.state_dict())


def test_outputs_that_are_not_finite_are_no_errors_of_classification(model, data):
    inputs = data[0].clone()
    inputs[3, 0] = float("nan")
    with pytest.raises(DataError, match="NaN or infinite on 1 of 50 examples"):
        td.evaluate(model, model.state_dict(), (inputs, data[1]))


def test_classes_masked_by_minus_infinity_are_allowed(model, data):
    masked = Wrapped(
        model, lambda logits: logits.masked_fill(torch.tensor([True, False, False]), -math.inf)
    )
    data = data[0], data[1].clamp(min=1)
    assert math.isfinite(td.evaluate(masked, masked.state_dict(), data).loss)


def test_buffers_that_forward_changes_stay(data):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, inputs):
            self.calls += 1
            return self.layer(inputs)

    model = Counting()
    td.evaluate(model, model.state_dict(), data)
    assert model.calls == 0


class Tied(torch.nn.Module):
    """One weight under two names, and one that nothing uses."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.idle = (torch.nn.Linear(3, 3) for _ in range(3))
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(torch.tanh(self.a(x)))


def test_the_gradient_is_that_of_autograd_in_batches():
    model = Tied().double()
    inputs, labels = torch.randn(10, 3, dtype=torch.float64), torch.arange(10) % 3
    loss = torch.nn.functional.cross_entropy(3 * model(inputs), labels)
    loss.backward()
    landscape = td.Landscape(model, (inputs, labels), batch_size=4)
    value, gradient = landscape.gradient(model.state_dict(), 1 / 3)
    assert value == pytest.approx(loss.item(), rel=1e-12)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        assert torch.allclose(gradient[name], expected, rtol=1e-12, atol=1e-15)
    assert gradient.keys() == dict(model.named_parameters(remove_duplicate=False)).keys()


def test_the_gradient_names_weights_that_are_missing(model, data):
    params = {k: v for k, v in model.state_dict().items() if k != "output.bias"}
    with pytest.raises(ParamsError, match="the parameters lack `output.bias`; pass the state dict"):
        td.Landscape(model, data).gradient(params)


def test_inputs_get_no_gradient(model, data):
    inputs = data[0].clone().requires_grad_()
    td.Landscape(model, (inputs, data[1]), batch_size=30).gradient(model.state_dict())
    assert inputs.grad is None


def test_the_gradient_refuses_what_is_not_finite():
    model = Tied().double()
    data = (torch.full((2, 3), float("nan"), dtype=torch.float64), torch.tensor([0, 1]))
    with pytest.raises(DataError, match="the loss is nan"):
        td.Landscape(model, data).gradient(model.state_dict())


@pytest.mark.parametrize("classes", [1, 2, 10, 15, 16, 40])
def test_cross_entropy_of_few_and_of_many_classes(classes, device):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(30, classes, generator=generator, dtype=torch.float64).to(device)
    labels = torch.randint(classes, (30,), generator=generator).to(device)
    rows = torch.arange(30, device=device)
    logits[rows[:5], (labels[:5] + 1) % classes] = -math.inf if classes > 1 else 0.0
    logits.requires_grad_()
    expected = -logits.log_softmax(dim=1)[rows, labels]
    found = cross_entropy(logits, labels)
    assert torch.allclose(found, expected)
    slopes = [torch.autograd.grad(x.sum(), logits)[0] for x in (found, expected)]
    assert torch.allclose(*slopes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metric": "accuracy"}, "there is no metric 'accuracy'"),
        ({"on": "toroid"}, "`on` is 'toroid'; pass td.Toroid"),
        ({"statistics": "fold"}, r"there are no statistics 'fold'; choose from \('recalibrate'"),
        ({"temperature": -1.0}, "the temperature is -1.0; pass a positive number, 'fit' or"),
        ({"temperature": 0.0}, "the temperature is 0.0"),
        ({"temperature": math.nan}, "the temperature is nan"),
        ({"temperature": "warm"}, "the temperature is 'warm'"),
        ({"autocast": torch.float64}, "autocast is torch.float64; pass torch.bfloat16"),
        ({"training": 3}, "the data is a int"),
    ],
)
def test_bad_settings(model, data, settings, message):
    with pytest.raises(ToroidsError, match=message):
        td.Landscape(model, data, **settings)


def test_words_are_temperatures_on_the_training_data(model, data):
    params, training = model.state_dict(), (data[0][:20], data[1][:20])
    known = td.Landscape(model, training)
    for word in ("fit", "tenth"):
        landscape = td.Landscape(model, data, training=training, temperature=word)
        divisor = known.temperature_at(params, word)
        assert landscape(params) == td.Landscape(model, data, temperature=divisor)(params)
    assert landscape.fit_temperature(params) == known.fit_temperature(params)
    right = td.Landscape(model, (data[0], model(data[0]).argmax(dim=1)), temperature="tenth")
    assert right(params).loss == pytest.approx(0.1 * math.log(3), rel=0.1)


def test_other_data_are_another_landscape(model, data):
    once = td.Landscape(model, zip(data[0].split(9), data[1].split(9), strict=True))
    assert dataclasses.replace(once, metric="top-2").measure(model.state_dict()).examples == 50
    fewer = dataclasses.replace(once, data=(data[0][:7], data[1][:7]))
    assert (fewer(model.state_dict()).examples, once(model.state_dict()).examples) == (7, 50)
