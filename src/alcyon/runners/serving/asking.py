"""Asking: transactions go through the log, and whoever asked hears the decision.

A transaction's way: 1 it is admitted, with those that came meanwhile  2 what was asked before is
answered from memory or the store  3 the rest is appended, in one go  4 the decisions log is
followed, and who waits is told  5 past the time-out the answer is provisional; the decision comes
all the same, and is what the record holds.

Four threads: one admits, one appends (while the disk takes one group, the next is admitted), one
follows, one makes provisional answers. The event loop is called once for each commit.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import NamedTuple, Protocol

import msgspec

from alcyon.domain.errors import (
    AlcyonError,
    ConflictError,
    InputError,
    LogError,
    UnreachableError,
)
from alcyon.domain.office.asking import Answer
from alcyon.domain.ports import CommitReader, Intake
from alcyon.domain.projected import Stored, StoreError
from alcyon.domain.record import DeadLetter, Topic
from alcyon.runners.serving.admitting import Admitting, Row, mark_of
from alcyon.runners.serving.grouping import Grouping
from alcyon.runners.serving.waiting import Request, Told, Waiting

WAITING_MAX = 50_000
"""Transactions whose decisions are waited for; beyond, the oldest are given up, and who asks
about one of those again has it written again, which changes nothing."""
AT_ONCE = 2**20
"""Bytes that make a group, to be admitted and to be appended: what comes then is the next one's.
With the largest request on top a group is far below what a log takes in one go."""
WAITING_BYTES_MAX = 8 * AT_ONCE
"""Bytes that wait to be admitted and appended; who asks then is turned away."""
REQUEST_BYTES = 2**11
"""What a request costs beside the bytes of its transactions."""
EVERY_S = 0.008
"""Between two groups: whole columns cost the same for one row and for ten, here and in the worker.
"""
COMMITS_MAX = 16
PRIMED = 64
"""Commits whose decisions are read at the start: who asked before a restart asks again."""
_LATENCIES_MAX = 20_000
_PAUSE_S, _IDLE_S, _OUTAGE_S = 0.001, 0.02, 1.0

_Asked = tuple[Request, list[int]]
"""Places in a request."""

_told = msgspec.json.Decoder(Told)
_letter = msgspec.json.Decoder(DeadLetter)


class Following(NamedTuple):
    """The decisions log, opened. bounds: (first commit kept, index behind the last)."""

    commits: CommitReader
    bounds: Callable[[], tuple[int, int]]


class Provisional(Protocol):
    """Makes provisional answers. Neither raises."""

    def warm(self) -> None:
        """Called once something decides, beside `answers`: the first of them is to be quick."""
        ...

    def answers(self, rows: Sequence[Row]) -> list[Answer]:
        """One each."""
        ...


class Answered(Protocol):
    """Keeps what was answered provisionally."""

    def keep(self, answers: Sequence[Answer]) -> None:
        """Keep them, for as long as there is room. StoreError: it could not."""
        ...


@dataclass(frozen=True)
class AskingParts:
    """What asking is made of.

    stored: the decisions on those of these transactions that the store has; StoreError, and the
    worker is the judge of repeats. tell: what goes wrong beside.
    on_provisional: told how many answers were provisional, each time there are some.
    """

    intake: Intake
    open_decisions: Callable[[ExitStack], Following]
    admitting: Admitting
    stored: Callable[[Sequence[str]], Sequence[Stored]]
    provisional: Provisional
    answered: Answered
    tell: Callable[[AlcyonError], None]
    timeout_ms: int
    waiting_max: int = WAITING_MAX
    on_provisional: Callable[[int], None] = lambda count: None


class LogAsking:
    """Implements `domain.office.ports.Asking`. Asked in one event loop; `close` last."""

    def __init__(self, parts: AskingParts) -> None:
        self._parts = parts
        self._waiting = Waiting(parts.waiting_max)
        self._lock, self._is_over, self._is_asked = Lock(), Event(), Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_warm = False
        self._latencies_s: deque[float] = deque(maxlen=_LATENCIES_MAX)
        self._appending = Grouping("appending", self._append, _rows_bytes, AT_ONCE)
        self._admitting = Grouping("admitting", self._take, _request_bytes, AT_ONCE, EVERY_S)
        self._late = Grouping("provisional", self._answer_late, _request_bytes, AT_ONCE)
        self._follower = Thread(target=self._follow, name="following", daemon=True)
        self._follower.start()

    async def ask(self, payloads: Sequence[bytes]) -> list[Answer]:
        """The answers, in order."""
        if not payloads:
            return []
        if self._admitting.waiting + self._appending.waiting > WAITING_BYTES_MAX:
            raise UnreachableError("the log takes nothing now: ask again soon")
        loop = self._loop = asyncio.get_running_loop()
        started = time.perf_counter()
        future: asyncio.Future[None] = loop.create_future()
        request = Request(payloads, future, started)
        self._admitting.put(request)
        timer = loop.call_later(self._parts.timeout_ms / 1000, self._is_due, request)
        try:
            await future
        finally:
            timer.cancel()
        self._latencies_s.append(time.perf_counter() - started)
        if request.error is not None:
            raise request.error
        return [answer for answer in request.answers if answer is not None]

    def taken_latencies(self) -> list[float]:
        """How many seconds answers took since the last call, of the newest. From one thread."""
        taken = self._latencies_s
        return [taken.popleft() for _ in range(len(taken))]

    def close(self) -> None:
        """Called once, last: what was asked is appended, nobody is told any more."""
        self._admitting.close()
        self._appending.close()
        self._is_over.set()
        self._is_asked.set()
        self._late.close()
        self._follower.join()

    def _is_due(self, request: Request) -> None:
        if not request.is_over:
            self._late.put(request)

    def _resolve(self, over: Sequence[Request]) -> None:
        """Wake those who wait, from whatever thread."""
        if over and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_wake, over)

    def _take(self, requests: list[Request]) -> None:
        over = list[Request]()
        try:
            self._admit(requests)
            with self._lock:
                asked = self._known(requests)
            if new := self._looked_up(asked, over):
                self._appending.put(new)
        except Exception as error:  # whatever it is: nobody must wait for ever
            failed = _told_as(error)
            self._parts.tell(failed)
            for request in requests:
                request.fail(failed)
        self._resolve(over + [request for request in requests if request.is_over])

    def _admit(self, requests: Sequence[Request]) -> None:
        """Give rows to those that may be written, an error to the others."""
        payloads = [payload for request in requests for payload in request.payloads]
        rows, faults = self._parts.admitting.admit(payloads)
        why, at = {fault.row: fault for fault in faults}, 0
        for request in requests:
            count = len(request.payloads)
            places = range(at, at + count)
            wrong = next((why[i] for i in places if i in why), None) if why else None
            if wrong is None:
                request.rows = [rows[i] for i in places]
            else:
                place = "" if count == 1 else f"transaction {wrong.row - at + 1} of {count}: "
                request.fail(InputError(f"{place}{wrong.reason}: {wrong.detail}"))
            at += count

    def _known(self, requests: Sequence[Request]) -> list[_Asked]:
        """What has to be looked for in the store; the rest is answered, waits, or is refused. The
        lock is held."""
        asked: list[_Asked] = []
        for request in requests:
            try:
                self._waiting.check(request.rows)
            except ConflictError as error:
                request.fail(error)
            else:
                wanted = self._waiting.take(request)
                asked += [(request, wanted)] if wanted else []
        return asked

    def _looked_up(self, asked: Sequence[_Asked], over: list[Request]) -> list[Row]:
        """What the store does not have either. Who asked about one that it has is answered."""
        names = list({r.rows[at].transaction_id for r, places in asked for at in places})
        stored: Sequence[Stored] = ()
        try:
            stored = self._parts.stored(names) if names else ()
        except StoreError as error:
            self._parts.tell(error)
        new: list[Row] = []
        with self._lock:
            for one in stored:
                over += self._waiting.decided(_told_of(one), mark_of(one.transaction))
            for request, places in asked:
                try:
                    self._waiting.check([request.rows[at] for at in places])
                except ConflictError as error:
                    request.fail(error)
                else:
                    new += self._waiting.await_new(request, places)
        return new

    def _append(self, groups: list[list[Row]]) -> None:
        rows = [row for group in groups for row in group]
        try:
            self._parts.intake.append(Topic.TRANSACTIONS, [row.payload for row in rows])
        except Exception as error:  # whatever it is: nobody must wait for ever
            failed = _told_as(error)
            self._parts.tell(failed)
            if isinstance(error, LogError | UnreachableError):
                failed = UnreachableError(f"the log takes nothing now: {error}")
            with self._lock:
                over = self._waiting.give_up([row.transaction_id for row in rows], failed)
            self._resolve(over)
        else:
            self._is_asked.set()

    def _follow(self) -> None:
        """Until it is over: whatever befalls the log is told and waited out."""
        index: int | None = None
        while not self._is_over.is_set():
            try:
                with ExitStack() as files:
                    following = self._parts.open_decisions(files)
                    if index is None:
                        first, end = following.bounds()
                        index = max(first, end - PRIMED)
                    while not self._is_over.is_set():
                        commits = following.commits.read(index, COMMITS_MAX)
                        index += len(commits)
                        if commits:
                            self._decided(
                                [d for commit in commits for d in commit.decisions],
                                [d for commit in commits for d in commit.dead_letters],
                            )
                        else:
                            self._pause()
            except AlcyonError as error:
                self._parts.tell(error)
                self._is_over.wait(_OUTAGE_S)

    def _pause(self) -> None:
        if len(self._waiting):
            time.sleep(_PAUSE_S)
        else:
            self._is_asked.wait(_IDLE_S)
            self._is_asked.clear()

    def _decided(self, decisions: Sequence[bytes], letters: Sequence[bytes]) -> None:
        if not self._is_warm:
            self._is_warm = True
            Thread(target=self._parts.provisional.warm, name="warming", daemon=True).start()
        try:
            told = list(map(_told.decode, decisions))
            refused = list(map(_letter.decode, letters))
        except msgspec.DecodeError as error:
            raise LogError(f"the decisions log holds what is no decision: {error}") from error
        over: list[Request] = []
        with self._lock:
            for one in told:
                over += self._waiting.decided(one)
            for letter in refused:
                if letter.topic == Topic.TRANSACTIONS.name:
                    over += self._waiting.refused(letter)
        self._resolve(over)

    def _answer_late(self, requests: list[Request]) -> None:
        late = [request for request in requests if not request.is_over]
        try:
            self._admit([request for request in late if not request.rows])
            with self._lock:
                asked = [(r, at) for r in late if r.error is None for at in self._waiting.late(r)]
            answers = self._parts.provisional.answers([r.rows[at] for r, at in asked])
            told = list[Answer]()
            with self._lock:
                for (request, at), answer in zip(asked, answers, strict=True):
                    if request.answers[at] is None:
                        request.answer(at, answer)
                        told.append(answer)
            self._parts.on_provisional(len(told))
            self._parts.answered.keep(told)
        except Exception as error:  # whatever it is: nobody must wait for ever
            failed = _told_as(error)
            self._parts.tell(failed)
            for request in late:
                request.fail(failed)
        self._resolve(late)


def _request_bytes(request: Request) -> int:
    return REQUEST_BYTES + sum(map(len, request.payloads))


def _rows_bytes(rows: Sequence[Row]) -> int:
    return sum(len(row.payload) for row in rows)


def _told_as(error: Exception) -> AlcyonError:
    """What nobody thought of may quote a payment: its kind alone is told."""
    if isinstance(error, AlcyonError):
        return error
    return LogError(f"asking failed ({type(error).__name__}): ask again, and tell us if it stays")


def _wake(over: Sequence[Request]) -> None:
    for request in over:
        future = request.future
        assert isinstance(future, asyncio.Future)
        if not future.done():
            future.set_result(None)


def _told_of(stored: Stored) -> Told:
    return msgspec.convert(stored.decision, Told, from_attributes=True)
