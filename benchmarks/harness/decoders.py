"""Small language models, written from the published descriptions of GPT-2 and of Llama."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Causal attention; with rotary positions on queries and keys, or without."""

    def __init__(self, width: int, heads: int, rotary: bool) -> None:
        """Builds the four maps."""
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, not rotary) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Attends; x is (batch, length, width)."""
        batch, length, width = x.shape
        size = (batch, length, self.heads, width // self.heads)
        q, k, v = (f(x).reshape(size).transpose(1, 2) for f in (self.q, self.k, self.v))
        if self.rotary:
            q, k = turned(q), turned(k)
        found = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        result: Tensor = self.o(found.transpose(1, 2).reshape(batch, length, width))
        return result


def turned(x: Tensor) -> Tensor:
    """Turns the pairs of features by their position; x is (batch, heads, length, features)."""
    half = x.shape[-1] // 2
    rates = 100.0 ** (-torch.arange(half, device=x.device, dtype=x.dtype) / half)
    angles = torch.arange(x.shape[-2], device=x.device, dtype=x.dtype)[:, None] * rates
    first, second = x[..., :half], x[..., half:]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)


class FeedForward(nn.Module):
    """Two maps with a GELU in between, or three with a gate."""

    def __init__(self, width: int, hidden: int, gated: bool) -> None:
        """Builds the maps."""
        super().__init__()
        self.up, self.down = (
            nn.Linear(width, hidden, not gated),
            nn.Linear(hidden, width, not gated),
        )
        self.gate = nn.Linear(width, hidden, False) if gated else None

    def forward(self, x: Tensor) -> Tensor:
        """Maps every position."""
        up = self.up(x)
        hidden = F.gelu(up) if self.gate is None else F.silu(self.gate(x)) * up
        result: Tensor = self.down(hidden)
        return result


class Layer(nn.Module):
    """Attention and a feed-forward map, each behind a norm and beside the stream."""

    def __init__(self, width: int, heads: int, rotary: bool) -> None:
        """Builds both."""
        super().__init__()
        kind = nn.RMSNorm if rotary else nn.LayerNorm
        self.before, self.between = kind(width), kind(width)
        self.attention = Attention(width, heads, rotary)
        self.feed_forward = FeedForward(width, 2 * width, rotary)

    def forward(self, x: Tensor) -> Tensor:
        """Adds to the stream."""
        x = x + self.attention(self.before(x))
        result: Tensor = x + self.feed_forward(self.between(x))
        return result


class Decoder(nn.Module):
    """Letters to scores of the next letter."""

    def __init__(self, letters: int, width: int, heads: int, depth: int, rotary: bool) -> None:
        """Builds the layers; without rotary positions there is a table of 64."""
        super().__init__()
        self.embedding = nn.Embedding(letters, width)
        self.positions = None if rotary else nn.Embedding(64, width)
        self.layers = nn.Sequential(*(Layer(width, heads, rotary) for _ in range(depth)))
        self.norm = nn.RMSNorm(width) if rotary else nn.LayerNorm(width)
        self.head = nn.Linear(width, letters, bias=False)

    def forward(self, letters: Tensor) -> Tensor:
        """Scores of shape (batch, length, letters)."""
        x = self.embedding(letters)
        if self.positions is not None:
            x = x + self.positions(torch.arange(letters.shape[1], device=letters.device))
        result: Tensor = self.head(self.norm(self.layers(x)))
        return result


def decoder(letters: int, rotary: bool, width: int = 32, start: float | None = None) -> Decoder:
    """A decoder of two layers with two heads: as GPT-2, or with rotary positions as Llama.

    Args:
        letters: how many there are.
        rotary: as Llama.
        width: of the stream.
        start: standard deviation of its first matrices, 0.02 as published; PyTorch's when None.

    Returns:
        An untrained network.
    """
    model = Decoder(letters, width, 2, 2, rotary)
    if start is not None:
        for matrix in (p for p in model.parameters() if p.ndim > 1):
            nn.init.normal_(matrix, std=start)
    return model
