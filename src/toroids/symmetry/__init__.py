"""Symmetries of a network as plain data, and how they act on its parameters."""
