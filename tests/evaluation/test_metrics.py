import math

import pytest
import torch
from torch import nn

import toroids as td
from toroids.errors import DataError, ToroidsError


@pytest.fixture
def setting():
    torch.manual_seed(0)
    model = nn.Linear(4, 5).double()
    return model, (torch.randn(40, 4, dtype=torch.float64), torch.randint(5, (40,)))


@pytest.mark.parametrize("top", [1, 2, 5, 9])
def test_top_k(setting, top):
    model, (x, y) = setting
    ranks = (model(x) > model(x).gather(1, y[:, None])).sum(dim=1)
    found = td.evaluate(model, model.state_dict(), (x, y), metric=f"top-{top}")
    assert found.error == pytest.approx((ranks >= top).double().mean().item())
    assert found.loss == td.evaluate(model, model.state_dict(), (x, y)).loss


class Language(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(7, 6), nn.Linear(6, 7)

    def forward(self, input_ids):
        return {"logits": self.head(self.embed(input_ids).cumsum(dim=1))}


def test_next_token_counts_tokens_and_takes_sequences_for_examples():
    torch.manual_seed(0)
    model = Language().double()
    tokens = torch.randint(7, (30, 9))
    targets = tokens.clone()
    targets[:10, 5:] = -100
    logits = model(tokens)["logits"][:, :-1]
    keep = targets[:, 1:] != -100
    wrong = (logits.argmax(dim=2) != targets[:, 1:]) & keep
    loss = nn.functional.cross_entropy(logits[keep], targets[:, 1:][keep])
    for data in ((tokens, targets), ({"input_ids": tokens}, targets)):
        found = td.Landscape(model, data, metric="next-token", batch_size=7)(model.state_dict())
        assert found.error == pytest.approx(wrong.sum().item() / keep.sum().item())
        assert found.loss == pytest.approx(loss.item())
        assert found.examples == 30
    rest = wrong.sum(dim=1) - found.error * keep.sum(dim=1)
    assert found.error_stderr == pytest.approx(
        rest.square().sum().sqrt().item() / keep.sum().item()
    )


@pytest.mark.parametrize("top", [1, 3])
def test_labels_of_all_tokens_of_sequences(top):
    torch.manual_seed(0)
    model = Language().double()
    tokens, targets = torch.randint(7, (2, 30, 9))
    targets[:10, 5:] = -100
    logits, keep = model(tokens)["logits"], targets != -100
    ranks = (logits > logits.gather(2, targets.clamp(min=0)[:, :, None])).sum(dim=2)
    metric = "classification" if top == 1 else f"top-{top}"
    landscape = td.Landscape(model, (tokens, targets), metric=metric, batch_size=7)
    found = landscape(model.state_dict())
    loss = nn.functional.cross_entropy(logits[keep], targets[keep])
    assert found.error == pytest.approx((ranks >= top)[keep].double().mean().item())
    assert found.loss == pytest.approx(loss.item())
    assert found.examples == 30
    for shape in ((30,), (30, 8), (30, 9, 1)):
        with pytest.raises(DataError, match="or of sequences .examples, length, classes."):
            td.evaluate(model, model.state_dict(), (tokens, torch.zeros(shape).long()))


def test_functions_of_the_user(setting):
    model, (x, _) = setting
    y = torch.randn(40, 5, dtype=torch.float64)
    squares = (model(x) - y).square().sum(dim=1)
    expected = squares.mean().item(), squares.std(correction=0).item() / math.sqrt(40)
    for metric in ("squared-error", lambda out, t: (out - t).square().sum(dim=1)):
        found = td.Landscape(model, (x, y), metric=metric, batch_size=7)(model.state_dict())
        assert (found.error, found.error_stderr) == pytest.approx(expected)
        assert found.loss == found.error
    pair = td.evaluate(
        model, model.state_dict(), (x, y),
        metric=lambda out, t: (torch.ones(len(t)), (out - t).square().sum(dim=1)),
    )  # fmt: skip
    assert (pair.error, pair.loss) == pytest.approx((1.0, expected[0]))


def test_one_number_per_example(setting):
    model, (x, _) = setting
    single, y = nn.Sequential(model, nn.Linear(5, 1), nn.Flatten(0)).double(), x[:, 0]
    expected = (single(x) - y).square().mean().item()
    for metric in ("squared-error", lambda out, t: (out - t).square()):
        found = td.evaluate(single, single.state_dict(), (x, y), metric=metric)
        assert found.loss == pytest.approx(expected)


def test_a_batch_without_an_example_counts_for_nothing(setting):
    model, (x, y) = setting
    for metric, targets in (("classification", y), ("squared-error", x.new_zeros(len(x), 5))):
        batches = [(x[:0], targets[:0]), (x, targets)]
        found = td.evaluate(model, model.state_dict(), batches, metric=metric)
        assert found == td.evaluate(model, model.state_dict(), batches[1:], metric=metric)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (lambda out, t: (out - 1).square(), r"errors of shape \(40, 5\) for 40 examples"),
        (lambda out, t: 0.5, "the metric returned a float"),
        (lambda out, t: (torch.ones(40), 3.0), "losses of shape float"),
        (lambda out, t: (torch.ones(40), torch.ones(39)), r"losses of shape \(39,\)"),
    ],
)
def test_metrics_of_the_wrong_shape(setting, metric, message):
    model, data = setting
    with pytest.raises(DataError, match=message):
        td.evaluate(model, model.state_dict(), data, metric=metric)


def test_unknown_names_list_what_exists(setting):
    model, data = setting
    for name in ("accuracy", "top-0", "top-"):
        with pytest.raises(ToroidsError, match="choose from classification, top-K"):
            td.evaluate(model, model.state_dict(), data, metric=name)


def test_tokens_outside_the_vocabulary():
    model = Language()
    with pytest.raises(DataError, match="token 9 is not in the vocabulary of 7"):
        td.evaluate(
            model, model.state_dict(), (torch.zeros(2, 3).long(), torch.full((2, 3), 9)),
            metric="next-token",
        )  # fmt: skip
    with pytest.raises(DataError, match="expected .examples, length, vocabulary."):
        td.evaluate(
            model, model.state_dict(), (torch.zeros(2, 3).long(), torch.zeros(2).long()),
            metric="next-token",
        )  # fmt: skip


def test_the_temperature_is_where_the_loss_is_least(setting):
    model, (x, y) = setting
    params = model.state_dict()
    best = td.Landscape(model, (x, y)).fit_temperature(params)
    here = td.Landscape(model, (x, y), temperature=best)(params)
    for factor in (0.97, 1.03):
        there = td.Landscape(model, (x, y), temperature=best * factor)(params)
        assert there.loss > here.loss - 1e-12
        assert there.error == here.error
    scaled = {name: 100 * tensor for name, tensor in params.items()}
    assert td.Landscape(model, (x, y)).fit_temperature(scaled) == pytest.approx(
        100 * best, rel=0.02
    )


def test_where_nothing_is_wrong_the_temperature_is_least(setting):
    model, (x, _) = setting
    labels = model(x).argmax(dim=1)
    best = td.Landscape(model, (x, labels)).fit_temperature(model.state_dict())
    assert td.Landscape(model, (x, labels), temperature=best)(model.state_dict()).loss < 1e-6


def test_mixed_precision_is_near_and_leaves_the_weights(setting):
    model, data = setting
    model, data = model.float(), (data[0].float(), data[1])
    found = td.Landscape(model, data, autocast=torch.bfloat16)(model.state_dict())
    exact = td.evaluate(model, model.state_dict(), data)
    assert found.loss != exact.loss
    assert found.loss == pytest.approx(exact.loss, rel=0.02)


def test_scores_are_in_the_order_of_the_data(setting):
    model, data = setting
    scores = td.Landscape(model, data, batch_size=7).scores(model.state_dict())
    losses = nn.functional.cross_entropy(model(data[0]), data[1], reduction="none")
    assert torch.allclose(scores.losses, losses)
    assert scores.errors.shape == scores.weights.shape == (40,)
