"""Waiting: who waits for which decision, and what was decided lately. Not for several threads at
once: whoever uses it holds a lock."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

import msgspec

from alcyon.domain.errors import AlcyonError, ConflictError, InputError
from alcyon.domain.office.asking import Answer
from alcyon.domain.record import DeadLetter
from alcyon.domain.tokens import mask
from alcyon.runners.serving.admitting import Row
from alcyon.runners.stream.deciding import CONFLICTING_DUPLICATE

RECENT_MAX = 50_000
"""Decisions of which the answer is kept; half a kilobyte each."""
REASONS_MAX = 3
_NOT_TOLD = ("base_rate", "other_features")


class Request:
    """Transactions that were asked about together, and the answers so far."""

    __slots__ = ("answers", "error", "future", "is_late", "left", "payloads", "rows", "started")

    def __init__(self, payloads: Sequence[bytes], future: object, started: float) -> None:
        self.payloads, self.future, self.started = payloads, future, started
        self.answers: list[Answer | None] = [None] * len(payloads)
        self.left = len(payloads)
        self.rows: list[Row] = []
        """The transactions, once they were admitted."""
        self.error: AlcyonError | None = None
        self.is_late = False

    @property
    def is_over(self) -> bool:
        """Whether everything is answered, or nothing will be."""
        return self.left == 0 or self.error is not None

    def answer(self, at: int, answer: Answer) -> bool:
        """Note an answer; whether the request is over by it."""
        if self.answers[at] is not None or self.error is not None:
            return False
        self.answers[at] = answer
        self.left -= 1
        return self.left == 0

    def fail(self, error: AlcyonError) -> bool:
        """Whether it is over by it."""
        if self.is_over:
            return False
        self.error = error
        return True


class Awaited(msgspec.Struct, gc=False):
    """A transaction that was written and is not decided, and who waits."""

    row: Row
    by: list[tuple[Request, int]]
    is_stale: bool = False
    """Somebody was told a provisional answer: the decision may never be heard of, so the next one
    who asks is a reason to look in the store."""


class _Reason(msgspec.Struct, gc=False):
    code: str
    log_odds: float


class Told(msgspec.Struct, gc=False):
    """As much of a decision as an answer needs."""

    sequence: int
    transaction_id: str
    action: str
    score: int | None
    probability_ppm: int | None
    codes: tuple[str, ...]
    rule_hits: tuple[str, ...]
    reasons: tuple[_Reason, ...]

    def answer(self, is_repeat: bool = False) -> Answer:
        """What the caller is told of it."""
        reasons: tuple[str, ...] = ()
        if self.codes or self.reasons:
            reasons = reasons_told(self.codes, ((r.code, r.log_odds) for r in self.reasons))
        return Answer(
            self.transaction_id, self.action, self.score, self.probability_ppm, reasons,
            self.rule_hits, False, is_repeat, self.sequence,
        )  # fmt: skip


class _Recent(msgspec.Struct, gc=False):
    """A decision that was heard of. Not as an `Answer`: the collector would look at fifty thousand
    of them again and again."""

    told: Told
    mark: int | None
    """Of its transaction; None where nobody here asked about it."""


def reasons_told(codes: Sequence[str], parts: Iterable[tuple[str, float]]) -> tuple[str, ...]:
    """At most `REASONS_MAX` codes: those beside the model's, then the model's for fraud.

    >>> reasons_told(("abroad",), [("base_rate", -3.0), ("new_device", 0.5), ("velocity", 2.0)])
    ('abroad', 'velocity', 'new_device')
    """
    found = sorted((-odds, code) for code, odds in parts if odds > 0 and code not in _NOT_TOLD)
    return tuple(dict.fromkeys((*codes, *(code for _, code in found))))[:REASONS_MAX]


class Waiting:
    """By transaction: who waits, and recent answers."""

    def __init__(self, waiting_max: int, recent_max: int = RECENT_MAX) -> None:
        self._waiting_max, self._recent_max = waiting_max, recent_max
        self._awaited: OrderedDict[str, Awaited] = OrderedDict()
        """The oldest first, which are given up first."""
        self._recent: dict[str, _Recent] = {}
        self._order: deque[str] = deque()

    def __len__(self) -> int:
        return len(self._awaited)

    def check(self, rows: Sequence[Row]) -> None:
        """ConflictError: an id among these was used with another payload, as far as is known."""
        marks = {row.transaction_id: row.mark for row in rows}
        if len(marks) < len(rows):
            for row in rows:
                check(marks[row.transaction_id], row)
        awaited, recent = self._awaited, self._recent
        for row in [row for row in rows if row.transaction_id in recent]:
            mark = recent[row.transaction_id].mark
            check(row.mark if mark is None else mark, row)
        for row in [row for row in rows if row.transaction_id in awaited]:
            check(awaited[row.transaction_id].row.mark, row)

    def take(self, request: Request) -> list[int]:
        """Let a request wait for its rows, or answer it from what is known; the places of those
        that somebody has to look for in the store first. Its rows were checked."""
        places = range(len(request.rows))
        return [at for at in places if not self._is_taken(request, at, is_looked_up=False)]

    def await_new(self, request: Request, places: Iterable[int]) -> list[Row]:
        """Of the rows at these places those that go into the log, which this request waits for:
        nobody knows them, and what the store has was told (`decided`)."""
        new: list[Row] = []
        for at in places:
            if not self._is_taken(request, at, is_looked_up=True):
                row = request.rows[at]
                self._awaited[row.transaction_id] = Awaited(row, [(request, at)])
                new.append(row)
        while len(self._awaited) > self._waiting_max:
            self._awaited.popitem(last=False)
        return new

    def _is_taken(self, request: Request, at: int, is_looked_up: bool) -> bool:
        name = request.rows[at].transaction_id
        awaited = self._awaited.get(name)
        if awaited is not None:
            if awaited.is_stale and not is_looked_up:
                return False
            awaited.by.append((request, at))
            return True
        recent = self._recent.get(name)
        if recent is not None and (recent.mark is not None or is_looked_up):
            request.answer(at, recent.told.answer(is_repeat=True))
            return True
        return False

    def give_up(self, transaction_ids: Iterable[str], why: AlcyonError) -> list[Request]:
        """They did not get into the log; the requests that are over by it."""
        given_up = [self._awaited.pop(name, None) for name in transaction_ids]
        waited = [request for one in given_up if one is not None for request, _ in one.by]
        return [request for request in waited if request.fail(why)]

    def decided(self, told: Told, mark: int | None = None) -> list[Request]:
        """A decision came; the requests that are over by it. mark: of its transaction, if known."""
        awaited = self._awaited.pop(told.transaction_id, None)
        self._note(told, mark if awaited is None else awaited.row.mark)
        if awaited is None:
            return []
        answer = told.answer()
        return [request for request, at in awaited.by if request.answer(at, answer)]

    def _note(self, told: Told, mark: int | None) -> None:
        """Keep it for those who ask again."""
        before = self._recent.get(told.transaction_id)
        if before is not None:
            if before.mark is None:
                before.mark = mark
            return
        self._recent[told.transaction_id] = _Recent(told, mark)
        self._order.append(told.transaction_id)
        if len(self._order) > self._recent_max:
            self._recent.pop(self._order.popleft(), None)

    def refused(self, letter: DeadLetter) -> list[Request]:
        """The worker could not use a transaction; the requests that are over by it."""
        name = _id_in(letter.payload)
        if name not in self._awaited:  # a long number in it was masked
            name = next((n for n in self._awaited if mask(n) == name), name)
        awaited = self._awaited.pop(name, None)
        if awaited is None:
            return []
        error: AlcyonError = InputError(f"transaction {name[:100]}: {letter.detail}")
        if letter.reason == CONFLICTING_DUPLICATE:
            error = _conflict(name)
        return [request for request, _ in awaited.by if request.fail(error)]

    def late(self, request: Request) -> list[int]:
        """Places in a request without an answer; who asks for one of them again has the store
        asked."""
        places = [at for at, answer in enumerate(request.answers) if answer is None]
        for at in places:
            awaited = self._awaited.get(request.rows[at].transaction_id)
            if awaited is not None:
                awaited.is_stale = True
        return places


def check(mark: int, row: Row) -> None:
    """ConflictError unless the mark is that of the row."""
    if mark != row.mark:
        raise _conflict(row.transaction_id)


def _conflict(transaction_id: str) -> ConflictError:
    return ConflictError(
        f"transaction {transaction_id[:100]} came before with another payload, which stands: give "
        "a new payment a new id"
    )


_ID = b'"transaction_id":"'
_string = msgspec.json.Decoder(str)


def _id_in(payload: bytes) -> str:
    """The id in our own JSON, which may be cut; empty where there is none."""
    begin = payload.find(_ID) + len(_ID)
    end = payload.find(b'"', begin)
    while end > 0 and payload[end - 1 : end] == b"\\":
        end = payload.find(b'"', end + 1)
    if begin < len(_ID) or end < 0:
        return ""
    try:
        return _string.decode(payload[begin - 1 : end + 1])
    except msgspec.DecodeError:
        return ""
