"""The control topic as a whole: what was ever changed, for whoever joins later."""

from __future__ import annotations

from contextlib import closing

from alcyon.domain.record import Topic
from alcyon.io.kafka.connection import Connection
from alcyon.io.kafka.partition import PartitionReader, values
from alcyon.io.kafka.topics import TopicNames

_AT_ONCE = 500


def control_payloads(connection: Connection, names: TopicNames, partitions: int = 1) -> list[bytes]:
    """Every control record that the topic holds, by partition and offset."""
    found: list[bytes] = []
    for partition in range(partitions):
        topic = names.of(Topic.CONTROL)
        with closing(PartitionReader(connection, topic, partition)) as reader:
            reader.seek(reader.bounds()[0])
            while messages := reader.up_to_end(_AT_ONCE):
                found += values(messages)
    return found
