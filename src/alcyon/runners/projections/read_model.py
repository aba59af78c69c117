"""The runner of the read model: reads the decisions log and the intake, and fills it.

It covers commits [begin, end), which one key of the read model says and each write checks. Where
that key is gone (new, flushed, evicted), it begins anew at the log's end and grows both ways:
forward as commits come, and backward (`read_model_history`) until the log's first. Forward goes
first. Going back, a card takes a blob only where it has none newer. So at any moment a card's blob
is that of its last decision in what is covered, or the card is not there: never that of another
decision.

A rebuild writes at once the cards that this process read since it started, the newest
`KNOWN_CARDS_MAX / 2` at least, however long the log is. The others come from the log, the newest
first: a minute is enough for one or a few million decisions, and not for a longer log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from zlib import crc32

import msgspec

from alcyon.domain.commit import Commit
from alcyon.domain.errors import LogError
from alcyon.domain.projected import decision_rows
from alcyon.domain.read_model import Covered, Known, ReadModel, Sampled, Update
from alcyon.runners.projections.card_decisions import Cards, Decided, newest
from alcyon.runners.projections.filling import Filled, Filler
from alcyon.runners.projections.read_model_history import WRITE_CARDS, History
from alcyon.runners.stream.reading import Reading
from alcyon.runners.stream.recovery import groups

COMMITS_MAX = 16
"""How many commits are read together; with the bound of a commit it bounds the memory."""
SAMPLE_ONE_OF = 100
"""One decision of so many goes into the feed of decisions."""
LOOK_EVERY_S = 1.0
"""How often it is looked whether the read model was emptied, while there is nothing to write."""

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Logs:
    """What is read."""

    live: Reading
    open_history: Callable[[ExitStack], Reading]
    """Opens readers of their own: going back does not disturb going on."""
    bounds: Callable[[], tuple[int, int]]
    """(index of the first commit kept, index behind the last), asked of the decisions log."""
    cards: Cards


class ReadModelRunner(Filler):
    """Fills `model`. known: outlives it, so that what was read need not be read again."""

    def __init__(
        self, logs: Logs, model: ReadModel, known: Known, sample_one_of: int = SAMPLE_ONE_OF
    ) -> None:
        self._logs, self._model, self._known = logs, model, known
        self._sample_one_of = sample_one_of
        self._covered: Covered | None = None  # None: ask
        self._asked_at = 0.0
        self._first = 0  # of the commits kept
        self._history = History(logs.open_history, logs.cards, known)
        self._done = Filled(0, 0, 0)

    def step(self) -> int:
        """Write what came, then a part of what came before; return how many writes (a part that was
        only read counts as one), 0 at both ends.

        StoreError: an outage of the read model; UnreachableError: of the log. LogError, InputError:
        the logs are damaged, or it is filled from others.
        """
        covered = self._covered
        is_idle = time.monotonic() - self._asked_at > LOOK_EVERY_S
        if covered is None or is_idle:
            covered = self._model.covered()
            self._asked_at = time.monotonic()
            if covered is None or covered != self._covered:
                covered = self._begun(covered)
        self._covered = covered
        return self._forward() + self._backward()

    def taken(self) -> Filled:
        """Of the steps since the last call; rows: blobs and entries of feeds."""
        done = self._done
        self._done = Filled(0, 0, done.next_index)
        return done

    def close(self) -> None:
        """Called once, last."""
        self._history.close()

    def _begun(self, covered: Covered | None) -> Covered:
        """Where to go on: what is covered, or where there is nothing of use, a new beginning."""
        self._first, end = self._logs.bounds()
        if self._known.end > end:
            self._known.forget()  # it is of another log
        self._history.begin_anew()
        if covered is not None and covered.end > end:
            raise _of_another_log(f"it covers commits up to {covered.end} of {end}")
        if covered is not None and covered.end >= self._first:
            return self._noted(covered)
        at = self._known.end if self._known.end >= self._first else end
        next_sequence = self._known.next_sequence
        if at != self._known.end:
            before = self._logs.live.commits(at - 1, 1) if at > self._first else []
            next_sequence = before[0].next_sequence if before else -1
        begun = Covered(at, at, next_sequence)
        self._write(Update(covered, begun, {}))
        return self._noted(begun)

    def _noted(self, covered: Covered) -> Covered:
        self._known.add(covered.end, covered.end, {})
        if self._known.end == covered.end:
            self._known.next_sequence = covered.next_sequence
        self._done = self._done._replace(next_index=covered.end)
        return covered

    def _write(self, update: Update, commits: int = 0) -> bool:
        self._covered = None
        if self._model.write(update):
            self._covered = update.after
            rows = len(update.cards) + len(update.alerts) + len(update.decisions)
            done = self._done
            self._done = Filled(done.commits + commits, done.rows + rows, update.after.end)
        self._asked_at = time.monotonic()
        return self._covered is not None

    def _forward(self) -> int:
        """The commits behind what is covered, the feeds too."""
        if (covered := self._covered) is None:
            return 0
        commits, written = self._logs.live.commits(covered.end, COMMITS_MAX), 0
        if commits and covered.next_sequence not in (-1, commits[0].first_sequence):
            raise _of_another_log(f"commit {covered.end} begins at {commits[0].first_sequence}")
        for group in groups(commits, WRITE_CARDS):
            covered = self._covered
            if covered is None:
                break
            update = self._update(covered, group)
            self._known.add(covered.end, update.after.end, update.cards)
            self._known.next_sequence = update.after.next_sequence
            changed = len(update.cards) + len(update.alerts) + len(update.decisions)
            written += self._write(update, len(group)) and 1 + changed
        return written

    def _update(self, covered: Covered, commits: Sequence[Commit]) -> Update:
        """What the commits right behind what is covered change."""
        decided = self._logs.cards.decided(commits, self._logs.live)
        after = Covered(covered.begin, covered.end + len(commits), commits[-1].next_sequence)
        alerts = [alert for commit in commits for alert in commit.alerts]
        sampled = self._sampled(commits, decided)
        return Update(covered, after, newest(decided), alerts=alerts, decisions=sampled)

    def _backward(self) -> int:
        """Some of what came before what is covered."""
        covered = self._covered
        if covered is None:
            return 0
        if self._history.is_over(self._first, covered.begin):
            self._history.close()
            return 0
        older = self._history.step(self._first, covered.begin)
        if older is None:
            return 1
        after = covered._replace(begin=older.begin)
        update = Update(covered, after, older.cards, is_older=True)
        return (1 + len(older.cards)) * self._write(update)

    def _sampled(self, commits: Sequence[Commit], decided: Decided) -> list[bytes]:
        """Entries for the feed of decisions: always the same for the same id."""
        of, made = self._sample_one_of, decided.decisions
        rows = [i for i, d in enumerate(made) if crc32(d.transaction_id.encode()) % of == 0]
        payloads = [d for commit in commits for d in commit.decisions]
        whole = decision_rows(payloads[row] for row in rows)
        return [
            _encode(
                Sampled(
                    d.sequence, d.transaction_id, d.event_time, decided.cards[row], d.action,
                    d.score, d.reason_shown(),
                )
            )
            for row, d in zip(rows, whole, strict=True)
        ]  # fmt: skip


def _of_another_log(why: str) -> LogError:
    return LogError(
        f"the read model is of another decisions log ({why}): delete the keys alcyon:* of redis.url"
    )
