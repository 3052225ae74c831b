"""Layers with weights of -1 and +1 and the sign as activation; see the modules."""
