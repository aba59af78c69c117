"""Reading: commits of the decisions log with the records they decided on."""

from __future__ import annotations

from collections.abc import Sequence

from alcyon.domain.commit import Commit
from alcyon.domain.errors import LogError
from alcyon.domain.ports import CommitReader, Source
from alcyon.domain.record import Record

RECORDS_TIMEOUT_S = 5.0
"""Decided records are there: a source that takes longer to hand them over has lost them."""


class Reading:
    """Both logs, read on where the last read ended."""

    def __init__(self, commits: CommitReader, source: Source) -> None:
        self._commits, self._source = commits, source
        self._at: int | None = None  # where the source stands; None where that is not known

    def commits(self, index: int, count: int) -> list[Commit]:
        """At most so many commits from there on; empty where there is none yet."""
        return self._commits.read(index, count)

    def records(self, commits: Sequence[Commit]) -> list[Record]:
        """What these cover, which follow one another. LogError: it is gone."""
        position, end = commits[0].first_position, commits[-1].position
        if self._at != position:
            self._source.seek(position)
        self._at, records = None, list[Record]()
        while len(records) < end - position:
            polled = self._source.poll(end - position - len(records), RECORDS_TIMEOUT_S)
            if not polled:
                raise LogError(
                    f"the intake ends at {position + len(records)}, records up to {end} were "
                    "decided; restore it, or read another decisions log"
                )
            records += polled
        self._at = end
        return records
