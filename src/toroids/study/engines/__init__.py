"""Where the tasks of a study run: in this process, on all cores, or on a Ray cluster."""
