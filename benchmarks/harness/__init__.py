"""What all benchmarks share: the rows they yield, timing, networks, and the table."""
