"""Inputs of other lengths never make PyTorch read beyond its memory."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import toroids as td
from toroids.discovery.tracing.bounded import Bounded


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
