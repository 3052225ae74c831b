"""The small networks that studies use, each initialised by a seed."""

from toroids.models.fully_connected import fully_connected

__all__ = ["fully_connected"]
