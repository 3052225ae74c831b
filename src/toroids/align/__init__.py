"""Alignment of networks within their symmetry classes, one method per file."""
