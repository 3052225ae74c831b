"""Networks that lie in files: read, moved aside and written without holding them in memory."""

from toroids.checkpoint.reading import Checkpoint, open_checkpoint

__all__ = [
    "Checkpoint",
    "open_checkpoint",
]
