"""Small language models in the manner of Llama: RMS norms, rotary positions, gated units."""

import torch
from torch import nn
from torch.nn import functional as F

from toroids.arguments.checked import checked
from toroids.errors import ToroidsError
from toroids.models.architecture import Small, architecture
from toroids.models.arguments import check_counts
from toroids.models.gpt import DEVIATION
from toroids.models.initialise import seeded
from toroids.models.vit import attend, check_heads
from toroids.settings import Count

# Angles turn by position / BASE^(2 i / size) in the pair i of a head.
BASE = 10_000.0
# Added to the mean square of a token by its norms, as in Llama.
EPS = 1e-5


def turned(x: torch.Tensor) -> torch.Tensor:
    """Turns pairs of entries (i, i + size / 2) of (n, heads, time, size) by their positions."""
    half = x.shape[-1] // 2
    rates = BASE ** (-torch.arange(half, device=x.device) / half)
    angles = torch.arange(x.shape[-2], device=x.device)[:, None] * rates
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class RotaryAttention(nn.Module):
    """Causal attention; queries and keys are turned by positions, keys may serve several heads."""

    def __init__(self, dim: int, heads: int, groups: int) -> None:
        """Four linear layers without biases."""
        super().__init__()
        self.size, self.shared = dim // heads, heads // groups
        self.query, self.out = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, groups * self.size, bias=False)
        self.value = nn.Linear(dim, groups * self.size, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps tokens (n, time, dim) to as many."""
        query, key, value = (
            layer(x).unflatten(-1, (-1, self.size)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        query, key = turned(query), turned(key)
        if self.shared > 1:
            key, value = (part.repeat_interleave(self.shared, 1) for part in (key, value))
        read = attend(query, key, value, causal=True)
        joined: torch.Tensor = self.out(read.transpose(1, 2).flatten(2))
        return joined


class GatedUnits(nn.Module):
    """A hidden layer whose units are multiplied by gates (SwiGLU)."""

    def __init__(self, dim: int, hidden: int) -> None:
        """Three linear layers without biases."""
        super().__init__()
        self.gate, self.up = nn.Linear(dim, hidden, bias=False), nn.Linear(dim, hidden, bias=False)
        self.down = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps tokens (..., dim) to as many."""
        written: torch.Tensor = self.down(F.silu(self.gate(x)) * self.up(x))
        return written


class Layer(nn.Module):
    """Attention, then gated units within every token; each added to what it reads."""

    def __init__(self, dim: int, heads: int, groups: int, hidden: int) -> None:
        """An RMS norm comes before each of the two."""
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(dim, EPS), nn.RMSNorm(dim, EPS)
        self.attention = RotaryAttention(dim, heads, groups)
        self.units = GatedUnits(dim, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps tokens (n, time, dim) to as many."""
        x = x + self.attention(self.norm1(x))
        mixed: torch.Tensor = x + self.units(self.norm2(x))
        return mixed


class Decoder(nn.Module):
    """Embeddings, layers, a norm, a linear head."""

    def __init__(
        self,
        vocabulary: int,
        dim: int,
        depth: int,
        heads: int,
        groups: int,
        hidden: int,
        tied: bool,
    ) -> None:
        """The arguments are those of `decoder`."""
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim)
        nn.init.normal_(self.embedding.weight, std=DEVIATION)
        self.layers = nn.Sequential(*(Layer(dim, heads, groups, hidden) for _ in range(depth)))
        self.norm, self.head = nn.RMSNorm(dim, EPS), nn.Linear(dim, vocabulary, bias=False)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Maps tokens (n, time) to logits (n, time, vocabulary) of the tokens that follow."""
        logits: torch.Tensor = self.head(self.norm(self.layers(self.embedding(tokens))))
        return logits


def check_rotary(dim: int, heads: int, groups: int | None) -> None:
    """Refuses heads without pairs of entries, and groups that do not share them evenly."""
    check_heads(dim, heads)
    if dim // heads % 2:
        raise ToroidsError(
            f"each of {heads} heads has {dim // heads} of the {dim} entries, which make no pairs; "
            f"pass a `dim` that is a multiple of {2 * heads}."
        )
    if groups is not None and heads % groups:
        raise ToroidsError(
            f"{groups} groups do not share {heads} heads evenly; pass `groups` that divide them."
        )


@architecture(takes="tokens", agree=check_rotary)
@checked
def decoder(
    vocabulary: int = 128,
    dim: Count = 96,
    depth: Small = 3,
    heads: Small = 4,
    groups: Small | None = None,
    hidden: Count | None = None,
    tied: bool = False,
    seed: int = 0,
) -> nn.Module:
    """Builds a small language model in the manner of Llama.

    Args:
        vocabulary: how many tokens there are.
        dim: entries of a token; a multiple of `heads`, an even one.
        depth: layers of attention, each followed by one layer of gated units.
        heads: of the queries.
        groups: heads of keys and values, each for as many heads of queries; `heads` by default.
        hidden: gated units of each layer; 8/3 dim by default, rounded.
        tied: whether the head reads with the embedding. The residual stream of a tied network has
            fewer symmetries.
        seed: of the initialisation, PyTorch's own; embeddings are normal with deviation 0.02. The
            global random state is not changed.

    Returns:
        A network from tokens (n, time), of any time, to logits (n, time, vocabulary) of the tokens
        that follow: `embedding`, `layers`, `norm`, `head`.

    Raises:
        ToroidsError: a number below 1, heads that do not divide `dim` into even parts, groups that
            do not divide the heads.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.decoder(vocabulary=10, dim=16, depth=1, groups=2)
        >>> model(torch.zeros(2, 8, dtype=torch.long)).shape
        torch.Size([2, 8, 10])

    Reference:
        H. Touvron et al., 2023, LLaMA: open and efficient foundation language models,
        arXiv:2302.13971.
    """
    hidden = max(1, round(8 * dim / 3)) if hidden is None else hidden
    groups = heads if groups is None else groups
    check_counts(vocabulary=vocabulary, dim=dim, depth=depth, heads=heads)
    check_counts(groups=groups, hidden=hidden)
    check_rotary(dim, heads, groups)
    with seeded(seed):
        return Decoder(vocabulary, dim, depth, heads, groups, hidden, tied)
