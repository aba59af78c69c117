"""The SQLite store: one file, filled from the decisions log. Migrations lie beside the code."""

from alcyon.io.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
