"""Networks that lie in files: read, moved aside and written without holding them in memory."""

from toroids.checkpoint.conversion import Piece, original_pieces
from toroids.checkpoint.names import StateDictView, state_dict_names
from toroids.checkpoint.reading import Checkpoint, open_checkpoint
from toroids.checkpoint.saving import check_out, save_checkpoint, write_file
from toroids.checkpoint.spilled import Spilled, store

__all__ = [
    "Checkpoint",
    "Piece",
    "Spilled",
    "StateDictView",
    "check_out",
    "open_checkpoint",
    "original_pieces",
    "save_checkpoint",
    "state_dict_names",
    "store",
    "write_file",
]
