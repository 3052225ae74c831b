"""The proof that a group preserves the function of a module."""
