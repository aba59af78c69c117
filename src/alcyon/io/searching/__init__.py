"""Searching: what people and programs ask of the projection's store, SQLite or Postgres.

One set of queries for both, by SQLAlchemy Core; reading only, but for the status of alerts. What is
found comes in order of event time, the newest first, page by page. No question looks at more than a
bounded number of rows: a page may hold fewer than were asked for, or none, and still have a `next`.
"""

from alcyon.io.searching.engines import postgres, sqlite
from alcyon.io.searching.queue import CasesOf
from alcyon.io.searching.searcher import Names, StoreSearcher
from alcyon.io.searching.statuses import AlertStatuses

__all__ = ["AlertStatuses", "CasesOf", "Names", "StoreSearcher", "postgres", "sqlite"]
