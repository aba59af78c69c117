"""Detectors: columns, catalog, rules and policy for one kind of payment, each one file."""
