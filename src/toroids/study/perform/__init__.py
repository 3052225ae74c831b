"""What every kind of task does: its settings, rows and networks in, its outcome out."""

from toroids.study.perform.perform import perform

__all__ = ["perform"]
