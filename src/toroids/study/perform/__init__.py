"""What every kind of task does: its settings, rows and networks in, its outcome out."""
