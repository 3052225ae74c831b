"""From a module to its symmetry group: tracing, rules, solving the facts, the proof, the audit."""
