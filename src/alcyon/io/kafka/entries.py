"""Entries: what each commit covers, one compact record per commit in a topic of its own.

Decisions, alerts and dead letters are records of their own topics, for everybody to read. The
entry, written in the same transaction, says which of them belong to the commit, and in which order
the records it covers were taken from which partitions: the order that recovery and replay repeat.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from alcyon.domain.errors import LogError
from alcyon.io.kafka.connection import Connection
from alcyon.io.kafka.partition import PartitionReader

_TAIL = 8
_LOOKED_AT = 256
"""Entries looked at in each place of a search, the end first: to go to another place costs time
(the client's fetch under way is waited for), and what is sought is mostly new."""
_NEAR = 8192
"""Offsets that are rather read than halved."""


LOOK_EVERY_S = 5.0
"""After so long without an entry it is asked, of the broker and not of the fetching client, whether
there is one."""


class Run(msgspec.Struct, frozen=True, array_like=True):
    """Records in a row of one partition."""

    topic: int
    """`Topic` as a number."""
    partition: int
    offset: int
    """Of the first."""
    count: int


class Next(msgspec.Struct, frozen=True, array_like=True):
    """Where a partition is read on behind a commit."""

    topic: int
    partition: int
    offset: int


class Segment(msgspec.Struct, frozen=True, array_like=True):
    """A commit's records in one of our own topics."""

    ordinal: int
    """How many such records all commits before hold."""
    offset: int
    """At or before the first; between lie only records that do not count (aborted, markers)."""
    count: int


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """`Commit` without what it made."""

    index: int
    epoch: int
    first_sequence: int
    first_position: int
    position: int
    applied: dict[str, int]
    runs: tuple[Run, ...]
    next: tuple[Next, ...]
    """Of every partition read so far."""
    decisions: Segment
    alerts: Segment
    dead_letters: Segment


encode_entry = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Entry)


class Entries:
    """Reads the entries; while they grow, too."""

    def __init__(self, connection: Connection, topic: str) -> None:
        self._reader = PartitionReader(connection, topic)
        self._next_index = -1  # of the entry at the reader's offset
        self._known = (-1, 0)  # index and offset of an entry
        self._looked_at = time.monotonic()
        self._missed_at = -1  # the end seen by the reader when the topic went on behind it

    def last(self) -> Entry | None:
        """The newest entry, None where there was none yet. LogError: all have left the topic."""
        low, high = self._reader.bounds()
        at, tail = high, _TAIL
        while at > low:  # behind the newest entry may lie markers and what was aborted
            at, found = max(low, at - tail), None
            self._seek(at)
            while messages := self._reader.up_to_end(tail):
                found = messages[-1].value()
            if found:
                return _decoded(found)
            tail *= 4
        if low:
            raise LogError(
                f"{self._reader.topic} had commits and has none left: nothing says where to go on. "
                "Begin anew with other topics and another ALCYON_HOME, and keep topics longer than "
                "the longest time without a payment"
            )
        return None

    def bounds(self) -> tuple[int, int]:
        """(index of the first commit kept, index behind the last), asked of the broker."""
        last = self.last()
        if last is None:
            return 0, 0
        low, _ = self._reader.bounds()
        self._seek(low)
        found = self._reader.up_to_end(1)
        return _decoded(found[0].value()).index if found else last.index, last.index + 1

    def read(self, from_index: int, max_entries: int) -> list[Entry]:
        """Entries from that index on; empty where there is none yet.

        LogError: an index beyond the end, or of entries that have left the topic; or there are
        some, and the client does not fetch them.
        """
        if from_index != self._next_index:
            self._place(from_index)
        found = [_decoded(m.value()) for m in self._reader.up_to_end(max_entries)]
        if found and found[0].index != from_index:
            raise LogError(
                f"commits [{from_index}, {found[0].index}) have left {self._reader.topic}: "
                "keep it longer than the oldest snapshot and the slowest reader need"
            )
        if found:
            self._next_index += len(found)
            self._known = found[-1].index, self._reader.offset - 1
            self._looked_at = time.monotonic()
        elif time.monotonic() - self._looked_at >= LOOK_EVERY_S:
            self._look()
        return found

    def covering(self, position: int) -> Entry | None:
        """The entry that covers the record at `position`; None behind the last one covered."""
        return self._find(lambda entry: entry.position > position)

    def rest(self) -> None:
        """Fetch nothing until something is read."""
        self._next_index = -1
        self._reader.rest()

    def close(self) -> None:
        """Called once, last."""
        self._reader.close()

    def _look(self) -> None:
        """LogError: the reader stands where the end was at the last look, and it was not then."""
        end, (_, high) = self._reader.end, self._reader.bounds()
        if end < high and end == self._missed_at:
            raise LogError(
                f"{self._reader.topic} goes on to offset {high}, and nothing comes from {end} on; "
                "see to the broker"
            )
        self._missed_at = end if end < high else -1
        self._looked_at = time.monotonic()

    def _place(self, index: int) -> None:
        # An entry and its transaction's marker take two offsets, unless something was aborted.
        known_index, offset = self._known
        guess = offset - 2 * (known_index - index) - _LOOKED_AT // 2 if known_index >= 0 else None
        found = self._find(lambda entry: entry.index >= index, guess)
        if found is None:
            at, last = self._reader.offset, self.last()
            end = last.index + 1 if last else 0
            if index > end:
                raise LogError(f"commit {index} is not there: the decisions log ends at {end}")
            # Back to where the search ended: behind the last entry may already be behind the one
            # sought, if it came meanwhile, and to wait there would be to wait for the next one.
            self._seek(at)
        self._next_index = index

    def _find(self, holds: Callable[[Entry], bool], guess: int | None = None) -> Entry | None:
        """The first entry for which it holds, given that it holds for all behind; the reader then
        stands before it, or at the end. guess: an offset not far before it."""
        low, high = self._reader.bounds()
        middle, found = high - _LOOKED_AT if guess is None else guess, None
        middle, step, is_below = min(max(low, middle), high), _LOOKED_AT, False
        while low < high:
            self._seek(middle)
            messages = self._reader.up_to_end(_LOOKED_AT)
            entries = [_decoded(message.value()) for message in messages]
            at = next((i for i, entry in enumerate(entries) if holds(entry)), None)
            if at is None and messages:
                low, is_below = self._reader.offset, True
            else:
                high = middle
                if at is not None:
                    found, first = entries[at], messages[at].offset()
                    assert first is not None
                    low, high = (first, first) if at else (low, middle)
            step *= 4
            if not is_below:  # ever further back: what is sought is mostly new
                middle = max(low, high - step)
            else:
                middle = low if high - low <= _NEAR else (low + high) // 2
        self._seek(low)
        return found

    def _seek(self, offset: int) -> None:
        self._next_index = -1
        self._reader.seek(offset)


def _decoded(data: bytes | None) -> Entry:
    try:
        return _decoder.decode(data or b"")
    except msgspec.DecodeError as error:
        raise LogError(
            f"a record of the commits topic is no entry: {error}; only the worker may write it"
        ) from error
