"""The canonical form: continuous symmetries fixed, a network as a point on the toroid."""
