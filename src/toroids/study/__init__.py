"""Studies: solvers x seeds x measurements, from a TOML file to rows."""
