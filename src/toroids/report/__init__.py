"""Rows to one HTML file; computes no science."""

from toroids.extras import check_extra

check_extra("drawing", "study", "plotly")
