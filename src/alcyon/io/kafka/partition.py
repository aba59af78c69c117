"""One partition, read in order from any offset; what was aborted is never seen."""

from __future__ import annotations

import time
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from alcyon.domain.errors import LogError
from alcyon.io.kafka.connection import Connection

RPC_TIMEOUT_S = 10.0
BUFFER_KIB_MAX = 16_384
_WAIT_S = 0.02
_MESSAGES_MAX = 4096
_MOVING = frozenset((KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION))
"""A partition that was just made, or goes from one broker to another: to ask again is enough."""
_PASSING = _MOVING | frozenset(
    (
        KafkaError._PARTITION_EOF,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError.REPLICA_NOT_AVAILABLE,
    )
)
"""Errors that the client gets over by itself."""


class PartitionReader:
    """Reads one partition; a consumer of its own, so a full one holds up no other."""

    def __init__(
        self,
        connection: Connection,
        topic: str,
        partition: int = 0,
        buffer_kib_max: int = BUFFER_KIB_MAX,
    ) -> None:
        self.topic, self.partition = topic, partition
        self._connection = connection
        self._is_placed = False
        self.offset = 0
        """The next one read."""
        self.is_at_end = False
        """Whether the end was seen behind the last record read."""
        self.end = -1
        """Where the end was, when it was seen last."""
        with connection.translated():
            self._consumer = Consumer(
                connection.config()
                | {
                    "group.id": "alcyon",  # required by the client; there is no group
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "auto.offset.reset": "error",
                    "enable.partition.eof": True,
                    "isolation.level": "read_committed",
                    "check.crcs": True,
                    "queued.max.messages.kbytes": buffer_kib_max,
                    "queued.min.messages": 10_000_000,  # the bound is in bytes
                    "fetch.queue.backoff.ms": 5,
                    "fetch.wait.max.ms": connection.fetch_wait_ms,
                    "fetch.min.bytes": connection.fetch_bytes_min,
                    "fetch.message.max.bytes": min(buffer_kib_max * 1024 // 2, 4 * 2**20),
                }
            )

    def seek(self, offset: int) -> None:
        """Make `offset` the next one read; does nothing where it is already."""
        if self._is_placed and offset == self.offset:
            return
        with self._connection.translated():
            self._consumer.assign([TopicPartition(self.topic, self.partition, offset)])
        self._is_placed, self.offset, self.is_at_end = True, offset, False

    def rest(self) -> None:
        """Fetch nothing until the next `seek`: at the end of a partition a reader asks for ever."""
        with self._connection.translated():
            self._consumer.unassign()
        self._is_placed = False

    def stands_before(self, offset: int) -> bool:
        """Whether reading on comes to `offset`."""
        return self._is_placed and self.offset <= offset

    def read(self, count: int, timeout_s: float) -> list[Message]:
        """What has arrived, at most `count`; waits up to `timeout_s` for the first.

        LogError: the offset is not there any more; UnreachableError: we are refused.
        """
        with self._connection.translated():
            # `consume(n, t)` would wait for n: wait for one, then take what is there.
            arrived = self._consumer.consume(1, timeout_s) if timeout_s else []
            if count > len(arrived):
                arrived += self._consumer.consume(count - len(arrived), 0)
        if not arrived:
            return arrived
        if any(map(Message.error, arrived)):
            for message in arrived:
                self._note_end(message)
            arrived = [message for message in arrived if not self._is_event(message)]
        else:
            self.is_at_end = False
        if arrived:
            offset = arrived[-1].offset()
            assert offset is not None
            self.offset = offset + 1
        return arrived

    def all_of(self, count: int, timeout_s: float = RPC_TIMEOUT_S) -> list[Message]:
        """The next `count`, which must be there. LogError: they do not come; UnreachableError: the
        broker is away."""
        found: list[Message] = []
        deadline = time.monotonic() + timeout_s
        while len(found) < count:
            found += self.read(min(count - len(found), _MESSAGES_MAX), _WAIT_S)
            if len(found) < count and time.monotonic() > deadline:
                self.bounds()  # an outage is no loss
                raise LogError(
                    f"{self.topic} has {len(found)} of {count} committed records that follow "
                    f"offset {self.offset}; see to the broker, then start anew"
                )
        return found

    def up_to_end(self, count: int, timeout_s: float = RPC_TIMEOUT_S) -> list[Message]:
        """The next ones, at most `count`; empty only where the partition ends here.

        UnreachableError: neither comes.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            found = self.read(count, 0.0 if self.is_at_end else _WAIT_S)
            if found or self.is_at_end:
                return found
            if time.monotonic() > deadline:
                why = f"{self.topic} does not answer at offset {self.offset}"
                raise self._connection.refused(KafkaError(KafkaError._TIMED_OUT, why))

    def bounds(self) -> tuple[int, int]:
        """(offset of the first record kept, offset behind the last), asked of the broker."""
        with self._connection.translated():
            found = self._asked_bounds(time.monotonic() + RPC_TIMEOUT_S)
        if found is None:
            raise self._connection.refused(KafkaError(KafkaError._TIMED_OUT))
        return found

    def _asked_bounds(self, deadline: float) -> tuple[int, int] | None:
        while True:
            try:
                return self._consumer.get_watermark_offsets(
                    TopicPartition(self.topic, self.partition), RPC_TIMEOUT_S
                )
            except KafkaException as error:
                is_moving = error.args[0].code() in _MOVING
                if not is_moving or time.monotonic() > deadline:
                    raise
            time.sleep(_WAIT_S)

    def partitions(self) -> int:
        """How many the topic has, asked of the broker."""
        with self._connection.translated():
            topics = self._consumer.list_topics(self.topic, RPC_TIMEOUT_S).topics
        return len(topics[self.topic].partitions)

    def known_end(self) -> int:
        """The offset behind the last record as of the last answer; asks nobody."""
        _, high = self._consumer.get_watermark_offsets(
            TopicPartition(self.topic, self.partition), cached=True
        )
        return high

    def close(self) -> None:
        """Called once, last."""
        self._consumer.close()

    def _note_end(self, message: Message) -> None:
        """An error that passes says nothing of it: the client tells of an end only once."""
        error, offset = message.error(), message.offset()
        if error is None:
            self.is_at_end = False
        elif error.code() == KafkaError._PARTITION_EOF and offset is not None:
            self.is_at_end, self.end = True, offset

    def _is_event(self, message: Message) -> bool:
        """Whether it is no record; raises for an event that ends the reading."""
        error = message.error()
        if error is None:
            return False
        if error.code() not in _PASSING:
            raise self._connection.translate(error)
        return True


def values(messages: Sequence[Message]) -> list[bytes]:
    """The payloads; a tombstone's is empty."""
    return [message.value() or b"" for message in messages]
