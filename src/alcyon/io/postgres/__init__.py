"""The Postgres store: filled from the decisions log. Migrations lie beside the code."""

from alcyon.io.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
