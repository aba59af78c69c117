"""Telemetry: the metrics of a running process (`metrics`), and its log lines (`lines`).

Nothing here knows what it tells of: the runners and the API bring the facts, the logic does not
know of either.
"""
