"""Small language models in the manner of GPT-2: layer norms, learned positions, GELU, biases."""

import torch
from torch import nn

from toroids.arguments.checked import checked
from toroids.models.architecture import Small, architecture
from toroids.models.arguments import check_counts
from toroids.models.initialise import seeded
from toroids.models.vit import Encoder, check_heads
from toroids.settings import Count

DEVIATION = 0.02  # of embeddings and positions, as in GPT-2


class GPT(nn.Module):
    """Embeddings and positions, causal encoders, a norm, a linear head."""

    def __init__(
        self,
        vocabulary: int,
        length: int,
        dim: int,
        depth: int,
        heads: int,
        hidden: int,
        tied: bool,
    ) -> None:
        """The arguments are those of `gpt`."""
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim)
        nn.init.normal_(self.embedding.weight, std=DEVIATION)
        self.positions = nn.Parameter(DEVIATION * torch.randn(length, dim))
        self.encoders = nn.Sequential(
            *(Encoder(dim, heads, hidden, causal=True) for _ in range(depth))
        )
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, vocabulary, bias=False)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Maps tokens (n, time) to logits (n, time, vocabulary) of the tokens that follow."""
        x = self.embedding(tokens) + self.positions[: tokens.shape[1]]
        logits: torch.Tensor = self.head(self.norm(self.encoders(x)))
        return logits


@architecture(takes="tokens", agree=check_heads)
@checked
def gpt(
    vocabulary: int = 128,
    length: int = 64,
    dim: Count = 96,
    depth: Small = 3,
    heads: Small = 4,
    hidden: Count | None = None,
    tied: bool = False,
    seed: int = 0,
) -> nn.Module:
    """Builds a small language model in the manner of GPT-2.

    Args:
        vocabulary: how many tokens there are.
        length: the most tokens that it reads; every place has a learned position.
        dim: entries of a token; a multiple of `heads`.
        depth: layers of attention, each followed by one hidden layer.
        heads: of each attention.
        hidden: units of each hidden layer; 4 dim by default.
        tied: whether the head reads with the embedding, as in GPT-2. The residual stream of a
            tied network has fewer symmetries.
        seed: of the initialisation, PyTorch's own; embeddings and positions are normal with
            deviation 0.02. The global random state is not changed.

    Returns:
        A network from tokens (n, time) to logits (n, time, vocabulary) of the tokens that follow:
        `embedding`, `positions`, `encoders`, `norm`, `head`.

    Raises:
        ToroidsError: a number below 1, heads that do not divide `dim`.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.gpt(vocabulary=10, length=8, dim=12, depth=1)
        >>> model(torch.zeros(2, 8, dtype=torch.long)).shape
        torch.Size([2, 8, 10])

    Reference:
        A. Radford et al., 2019, Language models are unsupervised multitask learners.
    """
    hidden = 4 * dim if hidden is None else hidden
    check_counts(vocabulary=vocabulary, length=length, dim=dim, depth=depth, heads=heads)
    check_counts(hidden=hidden)
    check_heads(dim, heads)
    with seeded(seed):
        return GPT(vocabulary, length, dim, depth, heads, hidden, tied)
