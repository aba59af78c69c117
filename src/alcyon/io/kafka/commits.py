"""The decisions log: one transaction of the broker is one commit, there whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from alcyon.domain.commit import Commit
from alcyon.domain.errors import AlcyonError, FencedError, LogError, UnreachableError
from alcyon.domain.ports import CommitReader, DecisionsLog
from alcyon.io.kafka.connection import Connection
from alcyon.io.kafka.entries import Entries, Entry, Segment, encode_entry
from alcyon.io.kafka.partition import PartitionReader, values
from alcyon.io.kafka.source import HandedOver
from alcyon.io.kafka.topics import TopicNames

TRANSACTION_TIMEOUT_S = 30.0
"""The broker ends a transaction that lasts longer; readers wait behind an open one."""
_PRODUCERS = 2
_QUEUE_MESSAGES_MAX = 100_000
"""Of one commit; it holds a few thousand. A full queue fails the commit, nothing is added."""
_FAILURES = (KafkaException, BufferError, SystemError)
"""The client raises what is fatal among its reports of delivery too: the report that comes next is
then called with an exception set, which Python makes a SystemError caused by it."""


class _Keyed(msgspec.Struct):
    transaction_id: str


_keyed = msgspec.json.Decoder(_Keyed)
_ID = b'"transaction_id":"'


class _Stream:
    """One of our own topics, read by segments."""

    def __init__(self, connection: Connection, topic: str) -> None:
        self._connection, self._topic = connection, topic
        self._reader: PartitionReader | None = None
        self._ordinal = -1  # of the record at the reader's offset

    def read(self, segments: Sequence[Segment]) -> list[tuple[bytes, ...]]:
        """The payloads of segments that follow one another."""
        count = sum(segment.count for segment in segments)
        if not count:
            return [()] * len(segments)
        if self._reader is None:
            self._reader = PartitionReader(self._connection, self._topic)
        if self._ordinal != segments[0].ordinal:
            self._reader.seek(next(s.offset for s in segments if s.count))
        self._ordinal = -1  # not all may come
        payloads = iter(values(self._reader.all_of(count)))
        self._ordinal = segments[-1].ordinal + segments[-1].count
        return [tuple(islice(payloads, segment.count)) for segment in segments]

    def end(self) -> int:
        """The offset behind the last record."""
        if self._reader is None:
            self._reader = PartitionReader(self._connection, self._topic)
        return self._reader.bounds()[1]

    def rest(self) -> None:
        """Fetch nothing until something is read."""
        if self._reader is not None:
            self._reader.rest()
            self._ordinal = -1

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()


def _transaction_id(payload: bytes) -> bytes:
    """The key: found in our own JSON without parsing it, which would cost as much as sending it."""
    begin = payload.find(_ID) + len(_ID)
    found = payload[begin : payload.find(b'"', begin)]
    return found if b"\\" not in found else _keyed.decode(payload).transaction_id.encode()


class KafkaCommits(CommitReader):
    """Reads the decisions log; any number of them, while it grows."""

    def __init__(self, connection: Connection, names: TopicNames) -> None:
        self._connection, self._names = connection, names
        self._entries = Entries(connection, names.commits)
        self._decisions = _Stream(connection, names.decisions)
        self._alerts = _Stream(connection, names.alerts)
        self._dead_letters = _Stream(connection, names.dead_letters)

    def last(self) -> Commit | None:
        """The newest commit, None while there is none."""
        entry = self._entries.last()
        return None if entry is None else self._commits([entry])[0]

    def read(self, from_index: int, max_commits: int) -> list[Commit]:
        """Commits from number `from_index`; empty where there is none yet."""
        return self._commits(self._entries.read(from_index, max_commits))

    def outlines(self, from_index: int, max_commits: int) -> list[Commit]:
        """As `read`, without decisions and alerts, which are not even fetched."""
        return self._commits(self._entries.read(from_index, max_commits), are_whole=False)

    def entry(self, index: int) -> Entry | None:
        """What a commit covers."""
        return next(iter(self._entries.read(index, 1)), None)

    def rest(self) -> None:
        """Fetch nothing until something is read."""
        self._entries.rest()
        for stream in (self._decisions, self._alerts, self._dead_letters):
            stream.rest()

    def close(self) -> None:
        """Called once, last."""
        self._entries.close()
        for stream in (self._decisions, self._alerts, self._dead_letters):
            stream.close()

    def _commits(self, entries: Sequence[Entry], are_whole: bool = True) -> list[Commit]:
        if not entries:
            return []
        decisions: list[tuple[bytes, ...]] = [()] * len(entries)
        alerts = decisions
        if are_whole:
            decisions = self._decisions.read([entry.decisions for entry in entries])
            alerts = self._alerts.read([entry.alerts for entry in entries])
        letters = self._dead_letters.read([entry.dead_letters for entry in entries])
        return [
            Commit(
                e.epoch, e.first_sequence, e.first_position, e.position,
                decisions[i], letters[i], alerts[i], e.applied,
            )
            for i, e in enumerate(entries)
        ]  # fmt: skip


class KafkaDecisions(KafkaCommits, DecisionsLog):
    """Writes the decisions log; opening it fences every writer with the same transactional id.

    Commits follow one another, by two producers in turn, `<transactional_id>-0` and `-1`: right
    behind a commit the broker refuses the same producer's next transaction for as long as it marks
    the partitions of the last, and the client asks again 20 ms later.

    handed_over: what the source of the same worker handed over, which each commit is to cover.
    """

    def __init__(
        self,
        connection: Connection,
        names: TopicNames,
        transactional_id: str,
        handed_over: HandedOver,
    ) -> None:
        super().__init__(connection, names)
        self._handed_over = handed_over
        self._ended: AlcyonError | None = None
        self._is_read = True
        with connection.translated(), ThreadPoolExecutor(_PRODUCERS) as opening:
            ids = [f"{transactional_id}-{number}" for number in range(_PRODUCERS)]
            self._producers = tuple(opening.map(partial(_producer, connection.config()), ids))
        self._producer = self._producers[0]
        # Only now: the predecessor may have committed until both were fenced.
        self._entry = self._entries.last()
        self._last = None if self._entry is None else self._commits([self._entry])[0]
        self._epoch = self._entry.epoch + 1 if self._entry else 1
        streams = {
            names.decisions: self._decisions,
            names.alerts: self._alerts,
            names.dead_letters: self._dead_letters,
        }
        self._ends = {name: stream.end() for name, stream in streams.items()}

    def last(self) -> Commit | None:
        """The newest commit: nobody else writes."""
        return self._last

    def read(self, from_index: int, max_commits: int) -> list[Commit]:
        """Commits from number `from_index`; empty where there is none yet."""
        self._is_read = True
        return super().read(from_index, max_commits)

    def outlines(self, from_index: int, max_commits: int) -> list[Commit]:
        """As `read`, without decisions and alerts, which are not even fetched."""
        self._is_read = True
        return super().outlines(from_index, max_commits)

    @property
    def epoch(self) -> int:
        """This writer's reign: larger than that of the last commit. A predecessor with the same
        number, which never committed, cannot any more."""
        return self._epoch

    def append(self, commit: Commit) -> int:
        """Add one commit, all or nothing; return its index."""
        if self._ended is not None:
            raise _anew(self._ended)
        if commit.epoch != self.epoch or not commit.follows(self._last):
            raise LogError(
                f"the commit of epoch {commit.epoch} over records [{commit.first_position}, "
                f"{commit.position}) does not follow the last one; recover again"
            )
        entry = self._entry_of(commit)
        self._producer = self._producers[entry.index % _PRODUCERS]
        began = time.time()  # the broker's clock goes on where this machine sleeps
        try:
            self._producer.begin_transaction()
            self._produce(self._names.decisions, commit.decisions, is_keyed=True)
            self._produce(self._names.alerts, commit.alerts, is_keyed=True)
            self._produce(self._names.dead_letters, commit.dead_letters)
            self._produce(self._names.commits, [encode_entry(entry)])
            self._producer.commit_transaction(TRANSACTION_TIMEOUT_S)
        except _FAILURES as error:
            self._ended = self._failure(error, time.time() - began)
            raise _anew(self._ended) from error
        if self._is_read:  # who writes does not read
            self.rest()
            self._is_read = False
        self._entry, self._last = entry, commit
        self._handed_over.forget(commit.position)
        return entry.index

    def close(self) -> None:
        """Called once, last."""
        super().close()
        for producer in self._producers:
            with suppress(*_FAILURES):  # why the client failed was told by `append`
                producer.purge()
                producer.flush(1.0)

    def _entry_of(self, commit: Commit) -> Entry:
        before = self._entry
        runs, taken = self._handed_over.covered(commit.first_position, commit.position)
        made = {
            self._names.decisions: (commit.decisions, before and before.decisions),
            self._names.alerts: (commit.alerts, before and before.alerts),
            self._names.dead_letters: (commit.dead_letters, before and before.dead_letters),
        }
        segments = [
            Segment(last.ordinal + last.count if last else 0, self._ends[topic], len(records))
            for topic, (records, last) in made.items()
        ]
        places = taken.next if taken else before.next if before else ()
        return Entry(
            before.index + 1 if before else 0, commit.epoch, commit.first_sequence,
            commit.first_position, commit.position, commit.applied, runs, places, *segments,
        )  # fmt: skip

    def _produce(self, topic: str, payloads: Sequence[bytes], is_keyed: bool = False) -> None:
        if not payloads:
            return
        messages = [
            {"value": p, "key": _transaction_id(p)} if is_keyed else {"value": p} for p in payloads
        ]
        last = messages.pop()
        if self._producer.produce_batch(topic, messages, partition=0) < len(messages):
            raise KafkaException(next(m["_error"] for m in messages if "_error" in m))
        self._producer.produce(
            topic, last["value"], last.get("key"), partition=0, on_delivery=self._note_end
        )

    def _note_end(self, error: KafkaError | None, message: Message) -> None:
        topic, offset = message.topic(), message.offset()
        if error is None and topic in self._ends and offset is not None:
            self._ends[topic] = offset + 1

    def _failure(self, failed: Exception, lasted_s: float) -> AlcyonError:
        """After a failed commit: nothing was added, unless the message says it is in doubt."""
        error = _error_of(failed)
        told, is_aborted = [error], False
        try:
            self._producer.abort_transaction(TRANSACTION_TIMEOUT_S)
            is_aborted = True
        except _FAILURES as refused:  # what failed first may hide that we were fenced
            told.append(_error_of(refused))
        ours = [self._connection.translate(one) for one in told]
        fenced = next((one for one in ours if isinstance(one, FencedError)), None)
        if fenced is not None and lasted_s > TRANSACTION_TIMEOUT_S and not self._is_overtaken():
            return LogError(
                f"nothing was committed: the broker ended a commit that lasted {lasted_s:.0f} s, "
                f"for it may last {TRANSACTION_TIMEOUT_S:g} s; recover again"
            )
        if fenced is not None:
            return fenced
        if is_aborted:
            return LogError(f"nothing was committed: {error.str()}; recover again")
        return LogError(f"the commit is in doubt: {error.str()}; open the decisions log anew")

    def _is_overtaken(self) -> bool:
        """Whether somebody has committed behind our last commit, as far as can be known now."""
        try:
            last = self._entries.last()
        except (LogError, UnreachableError):
            return False
        return last is not None and last.index > (self._entry.index if self._entry else -1)


def _anew(error: AlcyonError) -> AlcyonError:
    """The same, to be raised: one that was raised holds the frames that it passed, and those hold
    all that the worker had."""
    return type(error)(str(error))


def _error_of(failed: Exception) -> KafkaError:
    """What the client says of itself; SystemError where it is not its own."""
    said = failed.__cause__ if isinstance(failed, SystemError) else failed
    if isinstance(said, KafkaException):
        error: KafkaError = said.args[0]
        return error
    if isinstance(failed, SystemError):
        raise failed
    return KafkaError(KafkaError._QUEUE_FULL)


def _producer(config: dict[str, Any], transactional_id: str) -> Producer:
    """One that has fenced those before it."""
    timeout_ms = int(TRANSACTION_TIMEOUT_S * 1000)
    producer = Producer(
        config
        | {
            "transactional.id": transactional_id,
            "transaction.timeout.ms": timeout_ms,
            "delivery.timeout.ms": timeout_ms,
            "acks": "all",
            "linger.ms": 0,  # a commit is a batch already
            "compression.type": "lz4",
            "queue.buffering.max.messages": _QUEUE_MESSAGES_MAX,
        }
    )
    producer.init_transactions(TRANSACTION_TIMEOUT_S)
    return producer
