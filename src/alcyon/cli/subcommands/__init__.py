"""Subcommands: commands of a group, and what a large command is made of."""
