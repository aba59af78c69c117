"""The control topic as a whole: what was ever changed, for whoever joins later."""

from __future__ import annotations

from contextlib import ExitStack, closing

from alcyon.domain.record import Topic
from alcyon.io.kafka.connection import Connection
from alcyon.io.kafka.partition import PartitionReader, values
from alcyon.io.kafka.topics import TopicNames

_AT_ONCE = 500


class ControlReader:
    """Reads the control topic from its beginning, and then what comes; rests in between."""

    def __init__(self, connection: Connection, names: TopicNames, partitions: int = 1) -> None:
        topic = names.of(Topic.CONTROL)
        with ExitStack() as files:
            self._readers = [
                files.enter_context(closing(PartitionReader(connection, topic, partition)))
                for partition in range(partitions)
            ]
            self._files = files.pop_all()
        self._next: list[int | None] = [None] * partitions

    def more(self) -> list[bytes]:
        """The control records since the last call, by partition and offset.

        UnreachableError: the broker does not answer; what was read of it is read again.
        """
        found, following = list[bytes](), list(self._next)
        for place, reader in enumerate(self._readers):
            first, end = reader.bounds()
            at = self._next[place]
            at = first if at is None else at
            if at < end:
                reader.seek(at)
                while messages := reader.up_to_end(_AT_ONCE):
                    found += values(messages)
                at = max(reader.offset, reader.end)
                reader.rest()
            following[place] = at
        self._next = following
        return found

    def close(self) -> None:
        """Called once, last."""
        self._files.close()


def control_payloads(connection: Connection, names: TopicNames, partitions: int = 1) -> list[bytes]:
    """Every control record that the topic holds, by partition and offset."""
    with closing(ControlReader(connection, names, partitions)) as reader:
        return reader.more()
