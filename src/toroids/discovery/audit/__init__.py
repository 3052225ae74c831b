"""Which directions of the weights leave the outputs, and which of them the group explains."""
