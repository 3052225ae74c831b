"""Matrices and phases: residual streams that rotate, rotary pairs that turn."""
