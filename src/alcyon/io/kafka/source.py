"""Sources: records in the recorded order, and behind it in the order in which they arrive.

The order of arrival is that of the broker's clock: the next record is the head with the smallest
time (then topic, then partition). What was taken in which order is noted, for the commit that
covers it: from then on that is the order, whatever a second look at the clock would say.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from threading import Lock
from typing import NamedTuple

from confluent_kafka import Message

from alcyon.domain.errors import LogError
from alcyon.domain.ports import Source
from alcyon.domain.record import Record, Topic
from alcyon.io.kafka.connection import Connection
from alcyon.io.kafka.entries import Entries, Entry, Next, Run
from alcyon.io.kafka.heads import Heads, Place
from alcyon.io.kafka.partition import BUFFER_KIB_MAX, RPC_TIMEOUT_S, PartitionReader
from alcyon.io.kafka.topics import TopicNames

_ENTRIES_MAX = 64
_WAIT_S = 0.02


class Taken(NamedTuple):
    """What one poll handed over."""

    first_position: int
    position: int
    runs: tuple[Run, ...]
    next: tuple[Next, ...]


class HandedOver:
    """What the source handed over and no commit covers yet; the decisions log asks for it, in a
    thread of its own while the source goes on."""

    def __init__(self) -> None:
        self._taken: deque[Taken] = deque()
        self._lock = Lock()

    def note(self, taken: Taken) -> None:
        """One more poll."""
        with self._lock:
            self._taken.append(taken)

    def forget_all(self) -> None:
        """The source was placed anew."""
        with self._lock:
            self._taken.clear()

    def covered(self, first_position: int, position: int) -> tuple[tuple[Run, ...], Taken | None]:
        """(the runs at [first_position, position), the last poll in it); LogError: not whole polls.

        What is covered is forgotten with `forget`.
        """
        with self._lock:
            every = list(self._taken)
        runs: list[Run] = []
        at, last = first_position, None
        for taken in every:
            if at == position:
                break
            if taken.first_position != at or taken.position > position:
                raise LogError(f"records [{first_position}, {position}) are not what was read")
            runs += taken.runs
            at, last = taken.position, taken
        if at != position:
            raise LogError(f"records [{at}, {position}) were not read from this source")
        return tuple(runs), last

    def forget(self, position: int) -> None:
        """A commit up to `position` is in."""
        with self._lock:
            while self._taken and self._taken[0].position <= position:
                self._taken.popleft()


class KafkaRecorded(Source):
    """The records that commits cover, in their recorded order: for projections and replay."""

    def __init__(self, connection: Connection, names: TopicNames) -> None:
        self._connection, self._names = connection, names
        self._entries = Entries(connection, names.commits)
        self._readers: dict[tuple[int, int], PartitionReader] = {}
        self._runs: deque[Run] = deque()
        self._position, self._next_index = 0, 0
        self._is_placed = False
        self._is_inside = False  # a run, which then begins where its reader stands

    def seek(self, position: int) -> None:
        """Make `position` the next one read; does nothing where it is already."""
        if self._is_placed and position == self._position:
            return
        self._is_placed = False
        entry = self._entries.covering(position)
        self._runs.clear()
        self._is_inside = False
        if entry is None:
            last = self._entries.last()
            if last is not None and last.position > position:  # it came meanwhile
                entry = self._entries.covering(position)
        if entry is None:
            if position != (last.position if last else 0):
                raise LogError(f"position {position} is not there: no commit covers it")
            self._next_index = last.index + 1 if last else 0
        else:
            if position < entry.first_position:
                raise LogError(f"the commit over position {position} has left the commits topic")
            self._runs.extend(entry.runs)
            self._next_index = entry.index + 1
        self._position = position if entry is None else entry.first_position
        self._skip_to(position)
        self._is_placed = True

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """The next records."""
        records: list[Record] = []
        deadline = time.monotonic() + timeout_s
        while len(records) < max_records:
            if not self._runs:
                entries = self._entries.read(self._next_index, _ENTRIES_MAX)
                self._next_index += len(entries)
                self._runs.extend(run for entry in entries for run in entry.runs)
            if self._runs:
                records += self._of_run(max_records - len(records))
            elif records:
                break
            if time.monotonic() >= deadline:
                break
            if not self._runs:
                time.sleep(_WAIT_S)
        if self._runs and not records and timeout_s:
            self._reader(self._runs[0]).bounds()  # an outage is no loss
        return records

    def close(self) -> None:
        """Called once, last."""
        self._entries.close()
        for reader in self._readers.values():
            reader.close()

    def _skip_to(self, position: int) -> None:
        """Inside a commit: offsets may have gaps, so what lies before is read."""
        deadline = time.monotonic() + RPC_TIMEOUT_S
        while self._position < position:
            self._of_run(position - self._position)
            if time.monotonic() > deadline:
                raise LogError(f"the records before position {position} do not come")

    def _of_run(self, count: int) -> list[Record]:
        run = self._runs[0]
        reader = self._reader(run)
        # Between two runs of a partition lie only transaction markers: to go there anew would
        # fetch anew.
        if not reader.stands_before(run.offset):
            reader.seek(run.offset)
        messages = reader.read(min(count, run.count), _WAIT_S)
        if messages and not self._is_inside and messages[0].offset() != run.offset:
            reader.seek(run.offset)
            return []
        first = self._position
        self._position += len(messages)
        if len(messages) == run.count:
            self._runs.popleft()
            self._is_inside = False
        elif messages:
            self._is_inside = True
            self._runs[0] = Run(run.topic, run.partition, reader.offset, run.count - len(messages))
        topic = Topic(run.topic)
        return [record(topic, p, m) for p, m in enumerate(messages, first)]

    def _reader(self, run: Run) -> PartitionReader:
        key = (run.topic, run.partition)
        if key not in self._readers:
            name = self._names.of(Topic(run.topic))
            self._readers[key] = PartitionReader(self._connection, name, run.partition)
        return self._readers[key]


class KafkaSource(Source):
    """The recorded order to its end, then what arrives: for the one worker that may commit.

    partitions: how many each topic has. buffer_kib_max: fetched ahead, per partition.
    """

    def __init__(
        self,
        connection: Connection,
        names: TopicNames,
        partitions: Mapping[Topic, int],
        handed_over: HandedOver,
        buffer_kib_max: int = BUFFER_KIB_MAX,
    ) -> None:
        self._connection, self._names = connection, names
        self._handed_over = handed_over
        self._recorded: KafkaRecorded | None = None
        self._heads = Heads(
            {
                (topic, partition): PartitionReader(
                    connection.following(), names.of(topic), partition, buffer_kib_max
                )
                for topic in Topic
                for partition in range(partitions[topic])
            }
        )
        self._position = self._live_from = 0
        self._is_placed = False
        self._next: dict[Place, int] = {}

    def seek(self, position: int) -> None:
        """Make `position` the next one read; it must be committed, or the end."""
        is_committed = self._recorded is not None or position == self._live_from
        if self._is_placed and is_committed and position == self._position:
            return  # recovery reads on: to place everything anew would take longer than reading
        self._handed_over.forget_all()
        self._forget_recorded()
        self._is_placed = False
        entries = Entries(self._connection, self._names.commits)
        try:
            last = entries.last()
        finally:
            entries.close()
        end = last.position if last else 0
        if position < end:
            self._recorded = KafkaRecorded(self._connection, self._names)
            self._recorded.seek(position)
        elif position > end:
            raise LogError(f"position {position} is not there: the last commit ends at {end}")
        self._next = {(Topic(n.topic), n.partition): n.offset for n in last.next} if last else {}
        self._heads.seek(self._next)
        self._position, self._live_from, self._is_placed = position, end, True

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """The next records; what has arrived is returned at once."""
        if self._recorded is not None:
            wanted = min(max_records, self._live_from - self._position)
            records = self._recorded.poll(wanted, timeout_s)
            self._position += len(records)
            if self._position == self._live_from:
                self._forget_recorded()
            return records
        if not self._next:
            self._next = self._heads.placed()
        first, runs, records = self._position, list[Run](), list[Record]()
        for (topic, partition), messages in self._heads.take(max_records, timeout_s):
            at = messages[0].offset()
            offset = messages[-1].offset()
            assert at is not None
            assert offset is not None
            runs.append(Run(topic, partition, at, len(messages)))
            self._next[topic, partition] = offset + 1
            records += [record(topic, p, m) for p, m in enumerate(messages, self._position)]
            self._position += len(messages)
        if records:
            places = tuple(Next(topic, part, at) for (topic, part), at in self._next.items())
            self._handed_over.note(Taken(first, self._position, tuple(runs), places))
        return records

    def waiting(self) -> int:
        """Records behind what was polled, as far as is known without asking."""
        return self._heads.waiting()

    def has_kept(self, entry: Entry) -> bool:
        """Whether all that follows a commit is still in the topics."""
        lows = self._heads.lows()
        return all(n.offset >= lows.get((Topic(n.topic), n.partition), 0) for n in entry.next)

    def check_partitions(self) -> None:
        """Asked of the broker. LogError: a topic has other partitions by now than are read."""
        self._heads.check_partitions()

    def close(self) -> None:
        """Called once, last."""
        self._forget_recorded()
        self._heads.close()

    def _forget_recorded(self) -> None:
        if self._recorded is not None:
            self._recorded.close()
            self._recorded = None


def record(topic: Topic, position: int, message: Message) -> Record:
    """A message as a record; a tombstone is an empty payload."""
    return Record(topic, position, message.value() or b"", message.timestamp()[1])
