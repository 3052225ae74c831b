"""Inputs of other lengths never make PyTorch read beyond its memory."""

import pytest
import torch
from discovery.far import deviation
from discovery.function import Function
from torch import nn
from torch.nn import functional

import toroids as td
from toroids.discovery.tracing import looks
from toroids.discovery.tracing.bounded import Bounded, check_states


class Bags(nn.Module):
    def __init__(self):
        super().__init__()
        self.bags = nn.EmbeddingBag(5, 4, mode="max", include_last_offset=True)
        self.out = nn.Linear(4, 2)

    def forward(self, words, offsets):
        return self.out(self.bags(words, offsets))


def test_bags_are_explored():
    group = td.discover(Bags(), (torch.tensor([1, 2, 4, 1]), torch.tensor([0, 2, 4])))
    assert [space.size for space in group.spaces] == [4]


@pytest.mark.parametrize("starts", [[0], [0, 3], [2, 1], [-1, 2]])
def test_bags_without_an_end_and_beyond_it_fail(starts):
    words, table = torch.tensor([1, 0]), torch.randn(5, 4)
    with Bounded(), pytest.raises(IndexError):
        functional.embedding_bag(
            words, table, torch.tensor(starts), mode="max", include_last_offset=True
        )


@pytest.mark.parametrize("first", [True, False])
def test_states_of_another_number_of_sequences_fail(first):
    x, states = torch.zeros(2, 3, 4), [torch.zeros(1, 2 if first else 3, 5)] * 2
    check_states(x, states, first)
    with pytest.raises(IndexError):
        check_states(x, states, not first)


def test_a_trace_of_an_lstm_is_run_at_other_batches(monkeypatch):
    monkeypatch.setattr(looks, "SMALL", 0)  # as in a large network, its states are numbers
    model = Function(
        lambda m, x: m.o(m.a(x)[0]), a=nn.LSTM(3, 4, batch_first=True), o=nn.Linear(4, 2)
    )
    group = td.discover(model, torch.randn(2, 6, 3))
    assert "(any, any, 3)" in group.notes[0]
    assert deviation(model, group, [torch.randn(5, 9, 3)]) < 1e-8
