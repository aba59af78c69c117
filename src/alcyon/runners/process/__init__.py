"""A process: what it tells of itself, and of what failed."""
