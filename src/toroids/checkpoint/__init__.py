"""Networks that lie in files: read, moved aside and written without holding them in memory."""

from toroids.checkpoint.reading import Checkpoint, open_checkpoint
from toroids.checkpoint.saving import save_checkpoint
from toroids.checkpoint.spilled import Spilled

__all__ = [
    "Checkpoint",
    "Spilled",
    "open_checkpoint",
    "save_checkpoint",
]
