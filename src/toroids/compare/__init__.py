"""Are two networks the same, related, or strangers: evidence, score, verdict."""
