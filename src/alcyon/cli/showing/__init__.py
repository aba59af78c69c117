"""Showing: options, and what a command says to a person."""
