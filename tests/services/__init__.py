"""Tests of the servers' package, against the servers themselves."""
