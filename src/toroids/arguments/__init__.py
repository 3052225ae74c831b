"""Arguments: of the kinds that signatures say, within bounds, refused in one sentence otherwise."""
