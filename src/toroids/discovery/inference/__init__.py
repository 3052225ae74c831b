"""From programs to facts about their values, and from solved facts to spaces."""
