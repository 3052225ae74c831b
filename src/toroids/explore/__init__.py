"""A page to explore a run: its networks on a map, and what lies between those that are chosen."""
