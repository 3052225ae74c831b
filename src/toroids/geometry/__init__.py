"""The toroid as a manifold, and paths on it."""
