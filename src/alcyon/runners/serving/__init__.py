"""Serving: what programs and people ask of a running Alcyon, behind the API."""
