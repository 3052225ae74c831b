"""A module called and traced at many sizes: programs, and where they hold."""
