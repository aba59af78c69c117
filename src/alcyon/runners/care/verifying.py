"""Verifying: the decisions log against the seals that were made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from alcyon.domain.commit import Commit
from alcyon.domain.office.proposals import Walked
from alcyon.domain.ports import CommitReader

DIGEST_BYTES = 32


def walk_log(
    commits: CommitReader, seals: Callable[[int], Mapping[int, bytes]], first_index: int
) -> Walked:
    """Check every decision that the log still has against its digest; stops at the first commit
    that differs. LogError: the log is damaged.

    seals: some from that index on, by index. A decision that was erased is empty: its digest stays.
    """
    count, index = 0, first_index
    while some := seals(index):
        index = min(some)
        found = commits.read(index, len(some))
        for commit in found:
            if problem := _problem(commit, some[index]):
                return Walked(count, "", index, f"commit {index}: {problem}")
            count, index = count + 1, index + 1
        if not found:
            return Walked(count, "", index, f"the decisions log ends before commit {index}")
    return Walked(count, "")


def _problem(commit: Commit, seal: bytes) -> str:
    if len(seal) != len(commit.decisions) * DIGEST_BYTES:
        sealed = len(seal) // DIGEST_BYTES
        return f"it holds {len(commit.decisions)} decisions, {sealed} were sealed"
    for number, decision in enumerate(commit.decisions):
        digest = seal[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]
        if decision and hashlib.sha256(decision).digest() != digest:
            return f"its decision {number} was changed"
    return ""
