"""A place in the two logs: between two commits, where a worker or a snapshot stands."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import msgspec

from alcyon.domain.commit import Commit, encode_commit


@dataclass(frozen=True)
class Place:
    """Where in the two logs a worker stands."""

    next_sequence: int = 0
    position: int = 0
    commit_index: int = 0
    last: Commit | None = None
    applied: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def behind(self, commit: Commit, index: int) -> Place:
        """The place behind a commit."""
        return Place(commit.next_sequence, commit.position, index + 1, commit, commit.applied)

    @property
    def digest(self) -> str:
        """Tells the last commit from any other that might stand there; empty for none."""
        return commit_digest(self.last)


def commit_digest(commit: Commit | None) -> str:
    """16 hex digits that tell a commit from any other in its place; empty for None.

    The ends stand for the whole: one epoch writes a place once, and hashing megabytes would hold
    up the next batch.
    """
    if commit is None:
        return ""
    ends = commit.decisions[:1] + commit.decisions[-1:]
    short = msgspec.structs.replace(commit, decisions=ends, dead_letters=(), alerts=())
    return hashlib.sha256(encode_commit(short)).hexdigest()[:16]
