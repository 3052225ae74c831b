"""Rows to one HTML file; computes no science."""
