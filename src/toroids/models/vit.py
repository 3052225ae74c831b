"""Vision transformers for small images."""

import torch
from torch import nn

from toroids.arguments.checked import checked
from toroids.errors import ToroidsError
from toroids.models.architecture import Small, architecture, check_square
from toroids.models.arguments import check_counts
from toroids.models.initialise import seeded
from toroids.settings import Count


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, causal: bool
) -> torch.Tensor:
    """Mixes values (n, heads, tokens, size) by what keys match queries; `causal`: none to come."""
    scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
    if causal:
        tokens = query.shape[-2]
        to_come = torch.ones(tokens, tokens, dtype=torch.bool, device=query.device).triu(1)
        scores = scores.masked_fill(to_come, -torch.inf)
    read: torch.Tensor = scores.softmax(-1) @ value
    return read


class Attention(nn.Module):
    """Self-attention of several heads, in operators that can be differentiated twice."""

    def __init__(self, dim: int, heads: int, causal: bool = False) -> None:
        """One linear layer makes queries, keys and values; another one joins the heads."""
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps tokens (n, tokens, dim) to as many."""
        n, tokens, dim = x.shape
        qkv = self.qkv(x).reshape(n, tokens, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        read = attend(query, key, value, self.causal)
        joined: torch.Tensor = self.out(read.transpose(1, 2).reshape(n, tokens, dim))
        return joined


class Encoder(nn.Module):
    """Attention, then a hidden layer within every token; each added to what it reads."""

    def __init__(self, dim: int, heads: int, hidden: int, causal: bool = False) -> None:
        """A layer norm comes before each of the two."""
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, causal)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps tokens (n, tokens, dim) to as many."""
        x = x + self.attention(self.norm1(x))
        mixed: torch.Tensor = x + self.mlp(self.norm2(x))
        return mixed


class VisionTransformer(nn.Module):
    """Patches as tokens, a class token, learned positions, encoders, a linear head."""

    def __init__(
        self,
        classes: int,
        channels: int,
        size: int,
        patch: int,
        dim: int,
        depth: int,
        heads: int,
        hidden: int,
    ) -> None:
        """The arguments are those of `vit`."""
        super().__init__()
        self.patches = nn.Conv2d(channels, dim, patch, patch)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.positions = nn.Parameter(0.02 * torch.randn(1, (size // patch) ** 2 + 1, dim))
        self.encoders = nn.Sequential(*(Encoder(dim, heads, hidden) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps images (n, channels, size, size) to logits (n, classes)."""
        patches = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), patches], 1) + self.positions
        logits: torch.Tensor = self.head(self.norm(self.encoders(tokens)[:, 0]))
        return logits


def check_heads(dim: int, heads: int) -> None:
    """Refuses heads that do not share the entries of a token evenly."""
    if dim % heads:
        raise ToroidsError(f"{heads} heads do not divide `dim`, {dim}; pass a multiple of {heads}.")


def check_patches(size: int, patch: int) -> None:
    """Refuses patches that do not cover an image."""
    if size % patch:
        raise ToroidsError(
            f"patches of {patch} pixels do not divide images of {size}; pass a `patch` that does."
        )


def check_cover(shape: tuple[int, ...], patch: int) -> None:
    """Refuses images that are not square, or that patches do not cover."""
    check_square(shape)
    check_patches(shape[1], patch)


@architecture(takes="images", agree=check_heads, fits=check_cover)
@checked
def vit(
    classes: int = 10,
    channels: int = 3,
    size: int = 32,
    patch: Small = 4,
    dim: Count = 192,
    depth: Small = 6,
    heads: Small = 3,
    hidden: Count | None = None,
    seed: int = 0,
) -> nn.Module:
    """Builds a small vision transformer with norms before its layers and a class token.

    Args:
        classes: outputs.
        channels: of an image.
        size: height and width of an image in pixels.
        patch: height and width of a patch; divides `size`.
        dim: entries of a token; a multiple of `heads`.
        depth: encoders.
        heads: of each attention.
        hidden: units of each encoder's hidden layer; 4 dim by default.
        seed: of the initialisation, PyTorch's own; class token and positions are normal with
            deviation 0.02. The global random state is not changed.

    Returns:
        A network from images (n, channels, size, size) to logits (n, classes): `patches`,
        `token`, `positions`, `encoders`, `norm`, `head`.

    Raises:
        ToroidsError: a number below 1, a patch that does not divide the image, heads that do not
            divide a token.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.vit(size=8, dim=12, depth=1)
        >>> model(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 10])

    Reference:
        A. Dosovitskiy et al., 2020, An image is worth 16x16 words: transformers for image
        recognition at scale, arXiv:2010.11929.
    """
    hidden = 4 * dim if hidden is None else hidden
    check_counts(classes=classes, channels=channels, size=size, patch=patch, dim=dim)
    check_counts(depth=depth, heads=heads, hidden=hidden)
    check_patches(size, patch)
    check_heads(dim, heads)
    with seeded(seed):
        return VisionTransformer(classes, channels, size, patch, dim, depth, heads, hidden)
