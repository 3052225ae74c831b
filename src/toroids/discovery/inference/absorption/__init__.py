"""Which biases others absorb: what is added to one is taken back by those behind it."""
