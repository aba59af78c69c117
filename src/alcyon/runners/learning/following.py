"""Following: a learner that reads the log to its end, acts there, and goes on until stopped.

An error of a log, the registry or the intake ends the attempt, not the learner: it is told, the
logs are opened anew and read on from where they were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from threading import Event
from typing import NamedTuple

from alcyon.domain.commit import Commit
from alcyon.domain.errors import AlcyonError, LogError
from alcyon.runners.learning.learner import Acted, Learner
from alcyon.runners.learning.learner_telling import LearnerTelling
from alcyon.runners.learning.remembering import Decoders
from alcyon.runners.process.status import utc_ms
from alcyon.runners.stream.reading import Reading

COMMITS_MAX = 16
RECORDS_MAX = 8192
OUTAGE_PAUSE_S, ACT_EVERY_S = 1.0, 1.0
"""After an error, and between two looks at what is new and what is due."""


class StoppedError(Exception):
    """It was to stop in the midst of a long step; nothing came of that."""


class Logs(NamedTuple):
    """What was opened. end: the index behind the last commit, asked anew."""

    reading: Reading
    decoders: Decoders
    end: Callable[[], int]


Open = Callable[[ExitStack], Logs]
"""Opens the logs anew, to be closed with the stack."""


def follow(open_logs: Open, learner: Learner, telling: LearnerTelling, stop: Event) -> None:
    """Until stopped; whatever befalls it is told and waited out."""
    while not stop.is_set():
        try:
            with ExitStack() as files:
                logs = open_logs(files)
                while not stop.is_set():
                    _read_to_end(logs, learner, telling, stop)
                    if not stop.is_set():
                        telling.acted(learner.act(), utc_ms())
                        telling.champion(learner.champion())
                        stop.wait(ACT_EVERY_S)
        except AlcyonError as error:
            telling.waits(error, utc_ms())
            stop.wait(OUTAGE_PAUSE_S)


def follow_once(
    open_logs: Open, learner: Learner, telling: LearnerTelling, stop: Event
) -> Acted | None:
    """To the end of the log and act once; None where stopped before. Errors are raised."""
    with ExitStack() as files:
        _read_to_end(open_logs(files), learner, telling, stop)
        if stop.is_set():
            return None
        acted = learner.act()
        telling.acted(acted, utc_ms())
        telling.champion(learner.champion())
        return acted


def first_readable(logs: Logs) -> int:
    """The first commit of which all records that it covers are kept, by halving."""
    low, high = 0, logs.end()
    while low < high:
        middle = (low + high) // 2
        if _is_readable(logs.reading, middle):
            high = middle
        else:
            low = middle + 1
    return low


def _is_readable(reading: Reading, index: int) -> bool:
    try:
        commits = reading.commits(index, 1)
        return bool(commits) and (
            commits[0].position == commits[0].first_position or bool(reading.records(commits))
        )
    except LogError:
        return False


def _read_to_end(logs: Logs, learner: Learner, telling: LearnerTelling, stop: Event) -> None:
    memory = learner.memory
    if memory.next_index is None:
        memory.next_index = first_readable(logs)
    end = logs.end()
    while not stop.is_set():
        commits = _bounded(logs.reading.commits(memory.next_index, COMMITS_MAX))
        if commits:
            records = logs.reading.records(commits)
            memory.take(memory.next_index, commits, records, logs.decoders)
        telling.read(len(commits), learner)
        telling.behind(max(0, end - memory.next_index))
        if not commits:
            return


def _bounded(commits: Sequence[Commit]) -> Sequence[Commit]:
    """As many of them as are taken together; one at least."""
    taken = [c for c in commits if c.position - commits[0].first_position <= RECORDS_MAX]
    return taken or commits[:1]
