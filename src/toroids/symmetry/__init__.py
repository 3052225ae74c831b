"""Symmetries of a network as plain data, and the proof that they hold."""
