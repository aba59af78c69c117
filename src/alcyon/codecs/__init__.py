"""Bytes to columns and back; pure."""
