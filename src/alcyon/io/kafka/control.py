"""The control topic as a whole: what was ever changed, for whoever joins later."""

from __future__ import annotations

from contextlib import closing

from alcyon.domain.record import Topic
from alcyon.io.kafka.connection import Connection
from alcyon.io.kafka.partition import PartitionReader, values
from alcyon.io.kafka.topics import TopicNames

_AT_ONCE = 500


class ControlReader:
    """Reads the control topic from its beginning, and then what comes; rests in between."""

    def __init__(self, connection: Connection, names: TopicNames) -> None:
        self._reader = PartitionReader(connection, names.of(Topic.CONTROL))
        self._next: int | None = None

    def more(self) -> list[bytes]:
        """The control records since the last call, in order.

        UnreachableError: the broker does not answer; what was read of it is read again.
        """
        found, reader = list[bytes](), self._reader
        first, end = reader.bounds()
        at = first if self._next is None else self._next
        if at < end:
            reader.seek(at)
            while messages := reader.up_to_end(_AT_ONCE):
                found += values(messages)
            at = max(reader.offset, reader.end)
            reader.rest()
        self._next = at
        return found

    def close(self) -> None:
        """Called once, last."""
        self._reader.close()


def control_payloads(connection: Connection, names: TopicNames) -> list[bytes]:
    """Every control record that the topic holds, in order."""
    with closing(ControlReader(connection, names)) as reader:
        return reader.more()
