"""MLP-Mixer for small images."""

import torch
from torch import nn

from toroids.arguments.checked import checked
from toroids.models.architecture import Small, architecture
from toroids.models.arguments import check_counts
from toroids.models.initialise import seeded
from toroids.models.vit import check_cover, check_patches
from toroids.settings import Count


class Mixer(nn.Module):
    """A hidden layer across tokens, then one within each; both added to what they read."""

    def __init__(self, tokens: int, dim: int, across: int, within: int) -> None:
        """A layer norm comes before each of the two."""
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.across = _hidden_layer(tokens, across)
        self.within = _hidden_layer(dim, within)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps tokens (n, tokens, dim) to as many."""
        x = x + self.across(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        mixed: torch.Tensor = x + self.within(self.norm2(x))
        return mixed


class MLPMixer(nn.Module):
    """Patches as tokens, mixers, the mean over tokens, a linear head."""

    def __init__(
        self,
        classes: int,
        channels: int,
        size: int,
        patch: int,
        dim: int,
        depth: int,
        across: int,
        within: int,
    ) -> None:
        """The arguments are those of `mlp_mixer`."""
        super().__init__()
        tokens = (size // patch) ** 2
        self.patches = nn.Conv2d(channels, dim, patch, patch)
        self.mixers = nn.Sequential(*(Mixer(tokens, dim, across, within) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps images (n, channels, size, size) to logits (n, classes)."""
        tokens = self.mixers(self.patches(x).flatten(2).transpose(1, 2))
        logits: torch.Tensor = self.head(self.norm(tokens).mean(1))
        return logits


@architecture(takes="images", fits=check_cover)
@checked
def mlp_mixer(
    classes: int = 10,
    channels: int = 3,
    size: int = 32,
    patch: Small = 4,
    dim: Count = 128,
    depth: Small = 4,
    across: Count = 64,
    within: Count = 512,
    seed: int = 0,
) -> nn.Module:
    """Builds a small MLP-Mixer: patches that are mixed by hidden layers alone.

    Args:
        classes: outputs.
        channels: of an image.
        size: height and width of an image in pixels.
        patch: height and width of a patch; divides `size`.
        dim: entries of a token.
        depth: mixers.
        across: units of the hidden layers across tokens.
        within: units of the hidden layers within tokens.
        seed: of the initialisation, PyTorch's own; the global random state is not changed.

    Returns:
        A network from images (n, channels, size, size) to logits (n, classes): `patches`,
        `mixers`, `norm`, `head`.

    Raises:
        ToroidsError: a number below 1, a patch that does not divide the image.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.mlp_mixer(size=8, dim=12, depth=1, across=5, within=24)
        >>> model(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 10])

    Reference:
        I. Tolstikhin et al., 2021, MLP-Mixer: an all-MLP architecture for vision,
        arXiv:2105.01601.
    """
    check_counts(classes=classes, channels=channels, size=size, patch=patch, dim=dim)
    check_counts(depth=depth, across=across, within=within)
    check_patches(size, patch)
    with seeded(seed):
        return MLPMixer(classes, channels, size, patch, dim, depth, across, within)


def _hidden_layer(size: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, size))
