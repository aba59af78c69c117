"""Heads: several partitions as one stream, by the broker's clock."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from heapq import heappop, heappush

from confluent_kafka import Message

from alcyon.domain.errors import LogError
from alcyon.domain.record import Topic
from alcyon.io.kafka.partition import PartitionReader

Place = tuple[Topic, int]
"""A topic and one of its partitions."""
FIRST_WAIT_S = 5.0
"""For the first word of a partition after it was placed."""
HEAD_WAIT_S = 0.01
"""For a record that is known to be there: without it, order by time would be up to the network."""


class _Head:
    """A partition with what was read ahead of it."""

    def __init__(self, reader: PartitionReader) -> None:
        self.reader = reader
        self.ahead: list[Message] = []
        self.has_answered = False

    def fill(self, count: int, timeout_s: float) -> None:
        """Read where nothing lies ahead."""
        if not self.ahead:
            self.ahead = self.reader.read(count, timeout_s)
            self.has_answered = self.has_answered or bool(self.ahead) or self.reader.is_at_end

    @property
    def may_have_more(self) -> bool:
        """Whether records are known to lie behind what was read.

        One offset more may be a transaction's marker, which is never handed over: not waited for.
        """
        if not self.has_answered:
            return True
        return not self.reader.is_at_end and self.reader.known_end() > self.reader.offset + 1

    @property
    def waiting(self) -> int:
        """Records not taken yet, by what the broker last said; markers among them count."""
        known = max(0, self.reader.known_end() - self.reader.offset)
        return len(self.ahead) + (0 if self.reader.is_at_end else known)

    def take(self, count: int) -> list[Message]:
        """The next ones off what lies ahead."""
        taken, self.ahead = self.ahead[:count], self.ahead[count:]
        return taken


class Heads:
    """The next record is the head with the smallest time; then by topic, then by partition."""

    def __init__(self, readers: Mapping[Place, PartitionReader]) -> None:
        self._heads = {place: _Head(readers[place]) for place in sorted(readers)}
        self._main = next(iter(self._heads.values()))
        self._leading: list[Place] = []

    def seek(self, offsets: Mapping[Place, int]) -> None:
        """Go on at these offsets; where none is given, at the first record kept.

        Given none at all, where everything begins, the control records that are there come before
        all else: nothing is decided before it is known by what.
        """
        self._leading = [] if offsets else [p for p in self._heads if p[0] is Topic.CONTROL]
        for place, head in self._heads.items():
            offset = offsets.get(place)
            head.reader.seek(head.reader.bounds()[0] if offset is None else offset)
            head.ahead, head.has_answered = [], False

    def placed(self) -> dict[Place, int]:
        """Where each partition is read on."""
        return {place: head.reader.offset for place, head in self._heads.items()}

    def lows(self) -> dict[Place, int]:
        """The first offset that each partition still has."""
        return {place: head.reader.bounds()[0] for place, head in self._heads.items()}

    def check_partitions(self) -> None:
        """Asked of the broker. LogError: a topic has other partitions by now than are read."""
        read = Counter(topic for topic, _ in self._heads)
        for (topic, partition), head in self._heads.items():
            if partition == 0 and (count := head.reader.partitions()) != read[topic]:
                raise LogError(
                    f"topic {head.reader.topic} has {count} partitions by now, {read[topic]} were "
                    "read: opened anew, with all of them"
                )

    def take(self, count: int, timeout_s: float) -> list[tuple[Place, list[Message]]]:
        """The next records in order, at most `count`, as runs of one partition each.

        What has arrived is returned at once; waits up to `timeout_s` while nothing has.
        """
        while self._leading:
            head = self._heads[self._leading[0]]
            self._wait(head, count)
            if head.ahead:
                return [(self._leading[0], head.take(count))]
            self._leading.pop(0)
        self._fill(count)
        if not any(head.ahead for head in self._heads.values()):
            self._main.fill(count, timeout_s)
        heads = {place: head for place, head in self._heads.items() if head.ahead}
        if len(heads) == 1:
            ((place, head),) = heads.items()
            return [(place, head.take(count))]
        return self._merged(heads, count)

    def waiting(self) -> int:
        """Records of all partitions that were not taken yet; asks nobody."""
        return sum(head.waiting for head in self._heads.values())

    def close(self) -> None:
        """Called once, last."""
        for head in self._heads.values():
            head.reader.close()

    def _fill(self, count: int) -> None:
        for head in self._heads.values():
            head.fill(count, 0)
        for head in self._heads.values():
            self._wait(head, count)

    @staticmethod
    def _wait(head: _Head, count: int) -> None:
        """Until its next record is there, or it is known that there is none."""
        deadline = time.monotonic() + (HEAD_WAIT_S if head.has_answered else FIRST_WAIT_S)
        while not head.ahead and head.may_have_more and time.monotonic() < deadline:
            head.fill(count, HEAD_WAIT_S / 2)

    @staticmethod
    def _merged(heads: Mapping[Place, _Head], count: int) -> list[tuple[Place, list[Message]]]:
        """Ends early where the next record of one of the partitions is still on its way."""
        order: list[tuple[int, Place]] = []
        for place, head in heads.items():
            heappush(order, (head.ahead[0].timestamp()[1], place))
        at = dict.fromkeys(heads, 0)
        runs: list[tuple[Place, list[Message]]] = []
        while order and count:
            _, place = heappop(order)
            head = heads[place]
            message = head.ahead[at[place]]
            at[place] += 1
            count -= 1
            if runs and runs[-1][0] == place:
                runs[-1][1].append(message)
            else:
                runs.append((place, [message]))
            if at[place] < len(head.ahead):
                heappush(order, (head.ahead[at[place]].timestamp()[1], place))
            elif head.may_have_more:
                break
        for place, taken in at.items():
            heads[place].take(taken)
        return runs
