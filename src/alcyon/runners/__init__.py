"""Runners: the only place where effects are ordered."""
