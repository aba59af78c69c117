"""Resuming: what is in the logs already, counted, and judged anew with the truth made again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain
from typing import NamedTuple

import msgspec

from alcyon.domain.ports import CommitReader
from alcyon.domain.record import Topic
from alcyon.io.log import EmbeddedCommits, EmbeddedSource
from alcyon.runners.demo.place import DemoPlace
from alcyon.runners.demo.scoreboard import Scoreboard
from alcyon.runners.demo.traffic import Sent, Stretch

_RECORDS_MAX = 4096
_COMMITS_MAX = 64
_TRANSACTION = re.compile(rb'"transaction_id":"t-[0-9a-f]{10}-[0-9]{10}"')
_LABEL = re.compile(rb'"label_id":"l-[0-9a-f]{10}-[0-9]{10}-[0-9]"')
"""As `simulation` names them."""


class Counted(NamedTuple):
    """What the intake holds, and the newest event time of what is not decided yet."""

    sent: Sent
    newest: int | None


class _Timed(msgspec.Struct):
    event_time: int


_timed = msgspec.json.Decoder(_Timed)


def count_sent(place: DemoPlace, end: int) -> Counted:
    """How many simulated transactions and labels the intake holds below position `end`.

    Others came through the API, and are none of the traffic's.
    """
    with closing(EmbeddedCommits(place.decisions)) as commits:
        last = commits.last()
    decided = last.position if last else 0
    position, transactions, labels, newest = 0, 0, 0, None
    with closing(EmbeddedSource(place.intake)) as source:
        while position < end:
            records = source.poll(min(_RECORDS_MAX, end - position), 0.0)
            for record in records:
                if record.topic is Topic.TRANSACTIONS:
                    transactions += _TRANSACTION.search(record.payload) is not None
                    if record.position >= decided:
                        newest = max(newest or 0, _timed.decode(record.payload).event_time)
                elif record.topic is Topic.LABELS:
                    labels += _LABEL.search(record.payload) is not None
            position += len(records)
    return Counted(Sent(transactions, labels), newest)


def with_truth(stretches: Iterable[Stretch], scoreboard: Scoreboard) -> Iterator[Stretch]:
    """The same stretches; before each is handed over, the scoreboard knows its truth."""
    for stretch in stretches:
        ids = stretch.transactions.strings("transaction_id").to_list()
        scoreboard.expect(ids, stretch.is_fraud, stretch.amounts)
        yield stretch


def judge_again(
    commits: CommitReader,
    stretches: Iterator[Stretch],
    scoreboard: Scoreboard,
    progress: Callable[[int], None],
) -> Iterator[Stretch]:
    """Let the scoreboard see all that was decided; the stretches that are still to be sent.

    stretches: as `with_truth` gives them. progress: told the decisions so far.
    """
    index, decided, told, rest = 0, 0, 0, list[Stretch]()
    while group := commits.read(index, _COMMITS_MAX):
        index += len(group)
        for commit in group:
            decided += len(commit.decisions)
            while told < decided and (stretch := next(stretches, None)) is not None:
                told += len(stretch)
                rest = [stretch]
            scoreboard.note(commit)
        progress(decided)
    return chain(rest, stretches)
