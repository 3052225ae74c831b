"""What follows from measured rows: effects with intervals, maps, and verdicts on claims."""
