"""The runner of the read model: reads the decisions log and the intake, and fills it.

It covers commits [begin, end), which one key of the read model says and each write checks. Where
that key is gone (new, flushed, evicted), it begins anew at the log's end and grows both ways:
forward as commits come, and backward until the log's first. Forward goes first. Going back, a card
takes a blob only where it has none newer. So at any moment a card's blob is that of its last
decision in what is covered, or the card is not there: never that of another decision.

A rebuild writes at once the cards that this process read since it started, the newest
`KNOWN_CARDS_MAX / 2` at least, however long the log is. The others come from the log, the newest
first: a minute is enough for one or a few million decisions, and not for a longer log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby, islice
from threading import Event
from typing import cast
from zlib import crc32

import msgspec

from alcyon.domain.columns import Strings
from alcyon.domain.commit import Commit
from alcyon.domain.errors import InputError, LogError, UnreachableError
from alcyon.domain.ports import CommitReader, Source
from alcyon.domain.projected import decision_rows
from alcyon.domain.read_model import Covered, Known, ReadModel, Sampled, Update, pack
from alcyon.domain.record import Record
from alcyon.domain.tokens import TokenKeys, tokenise_ids
from alcyon.runners.projection import RECORDS_TIMEOUT_S, Decoder
from alcyon.runners.recovery import groups
from alcyon.runners.status import utc_ms
from alcyon.runners.telling import ReadModelTelling

COMMITS_MAX = 16
"""How many commits are read together; with the bound of a commit it bounds the memory."""
WRITE_CARDS = 2_000
"""How many cards one write changes, more or less: the server answers nobody else meanwhile."""
PART_DECISIONS, SPAN_DECISIONS, SPAN_COMMITS = 8_192, 262_144, 64
"""Going back: decisions of one step; of a span, read forward, as leaps take long; its commits."""
HISTORY_TRIES = 3
SAMPLE_ONE_OF = 100
"""One decision of so many goes into the feed of decisions."""
PAUSE_S, OUTAGE_PAUSE_S, LOOK_EVERY_S = 0.02, 1.0, 1.0
"""How often it is looked whether the read model was emptied, while there is nothing to write."""


class _Versions(msgspec.Struct, gc=False):
    catalog: str
    rates: str


class _Scored(msgspec.Struct, gc=False):
    """As much of a decision as a blob holds."""

    sequence: int
    transaction_id: str
    event_time: int
    action: str
    score: int | None
    features: bytes
    versions: _Versions


class _Card(msgspec.Struct, gc=False):
    """As much of a transaction."""

    transaction_id: str
    card_id: str | None = None


_decode = msgspec.json.Decoder(_Scored).decode
_card = msgspec.json.Decoder(_Card).decode
_encode = msgspec.json.Encoder().encode
_FOREIGN = "this intake belongs to another decisions log"


class Cards:
    """Whose card each decided payload is of.

    decoder: of all columns under the rate table of that version, for payloads that are not JSON.
    """

    def __init__(self, keys: TokenKeys, decoder: Callable[[str], Decoder]) -> None:
        self._keys, self._decoder = keys, decoder

    def of(self, payloads: Sequence[bytes], decisions: Sequence[_Scored]) -> Sequence[str | None]:
        """The card tokens. LogError: a payload is not of the transaction decided on."""
        try:
            found = self._found(payloads, decisions)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LogError(f"a decided record cannot be read: {error}; {_FOREIGN}") from error
        ids = [each.transaction_id for each in found]
        decided = [decision.transaction_id for decision in decisions]
        if ids != decided and self._tokens(ids) != decided:
            first = decisions[0].sequence
            raise LogError(f"decisions from {first} on are not on their records; {_FOREIGN}")
        return self._tokens([each.card_id for each in found])

    def _found(self, payloads: Sequence[bytes], decisions: Sequence[_Scored]) -> list[_Card]:
        if b"\0" not in {payload[:1] for payload in payloads}:
            return list(map(_card, payloads))
        found, at = list[_Card](), 0
        for version, part in groupby(decisions, key=lambda d: d.versions.rates):
            count = len(list(part))
            batch = self._decoder(version).decode(payloads[at : at + count], ()).batch
            ids = batch.strings("transaction_id").to_list()
            if len(ids) != count:
                raise LogError(f"{count - len(ids)} decided records cannot be read; {_FOREIGN}")
            cards = batch.strings("card_id").to_list() if "card_id" in batch else [None] * len(ids)
            found += [_Card(i or "", card) for i, card in zip(ids, cards, strict=True)]
            at += count
        return found

    def _tokens(self, ids: Sequence[str | None]) -> Sequence[str | None]:
        column = Strings.from_list(ids)
        tokens = tokenise_ids(column, self._keys)
        return ids if tokens is column else tokens.to_list()


class Reading:
    """Commits with the records they decided on; read on where the last read ended."""

    def __init__(self, commits: CommitReader, source: Source) -> None:
        self._commits, self._source = commits, source
        self._at: int | None = None  # where the source stands; None where that is not known

    def commits(self, index: int, count: int) -> list[Commit]:
        """Commits from there on."""
        return self._commits.read(index, count)

    def records(self, commits: Sequence[Commit]) -> list[Record]:
        """What these cover. LogError: it is gone."""
        position, end = commits[0].first_position, commits[-1].position
        if self._at != position:
            self._source.seek(position)
        self._at, records = None, list[Record]()
        while len(records) < end - position:
            polled = self._source.poll(end - position - len(records), RECORDS_TIMEOUT_S)
            if not polled:
                raise LogError(f"the intake ends before {end}, up to which records were decided")
            records += polled
        self._at = end
        return records


@dataclass(frozen=True)
class Logs:
    """What is read."""

    live: Reading
    open_history: Callable[[ExitStack], Reading]
    """Opens readers of their own: going back does not disturb going on."""
    bounds: Callable[[], tuple[int, int]]
    """(index of the first commit kept, index behind the last), asked of the decisions log."""
    cards: Cards


@dataclass
class _Span:
    """Commits [begin, end), read up to `at`."""

    begin: int
    end: int
    at: int
    blobs: dict[str, bytes] = field(default_factory=dict)


class ReadModelRunner:
    """Fills `model`. known: outlives it, so that what was read need not be read again."""

    def __init__(
        self, logs: Logs, model: ReadModel, known: Known, sample_one_of: int = SAMPLE_ONE_OF
    ) -> None:
        self._logs, self._model, self._known = logs, model, known
        self._sample_one_of = sample_one_of
        self._covered: Covered | None = None  # None: ask
        self._asked_at = 0.0
        self._first = 0  # of the commits kept
        self._rest: tuple[int, Iterator[tuple[str, bytes]]] | None = None
        """Older blobs to write, and where what is covered then begins."""
        self._span: _Span | None = None
        self._files, self._history = ExitStack(), cast("Reading | None", None)
        self._span_commits, self._per_commit, self._tries = SPAN_COMMITS, 256.0, 0

    def step(self) -> int:
        """Write what came, then a part of what came before; return how many writes (a part that was
        only read counts as one), 0 at both ends.

        UnreachableError: an outage, call again later. LogError, InputError: the logs are damaged,
        or it is filled from others.
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

    def close(self) -> None:
        """Let go what going back holds; called last, too."""
        self._files.close()
        self._history, self._span = None, None

    def _begun(self, covered: Covered | None) -> Covered:
        """Where to go on: what is covered, or where there is nothing of use, a new beginning."""
        self._first, end = self._logs.bounds()
        if self._known.end > end:
            self._known.forget()  # it is of another log
        self._rest, self._span, self._tries = None, None, 0
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
        return covered

    def _write(self, update: Update) -> bool:
        self._covered = None
        if self._model.write(update):
            self._covered = update.after
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
            scored = _scored(group)
            cards = self._cards(group, scored, self._logs.live)
            after = Covered(covered.begin, covered.end + len(group), group[-1].next_sequence)
            blobs = _newest(scored, cards)
            self._known.add(covered.end, after.end, blobs)
            self._known.next_sequence = after.next_sequence
            alerts = [alert for commit in group for alert in commit.alerts]
            sampled = self._sampled(group, scored, cards)
            update = Update(covered, after, blobs, alerts=alerts, decisions=sampled)
            written += self._write(update) and 1 + len(blobs) + len(alerts) + len(sampled)
        return written

    def _backward(self) -> int:
        """Some of what came before what is covered."""
        covered = self._covered
        if covered is None:
            return 0
        if covered.begin <= self._first or self._tries >= HISTORY_TRIES:
            self.close()
            return 0
        if self._rest is None:
            return self._gathered(covered.begin)
        begin, rest = self._rest
        part = dict(islice(rest, WRITE_CARDS))
        if not part:
            self._rest = None
        after = covered._replace(begin=covered.begin if part else begin)
        return (1 + len(part)) * self._write(Update(covered, after, part, is_older=True))

    def _gathered(self, before: int) -> int:
        """One step towards the blobs of cards that commits before that one decided on."""
        if self._known.begin < before <= self._known.end:
            self._rest = self._known.begin, iter(self._known.blobs().items())
            return 1
        try:
            self._read_back(before)
        except LogError:
            # It has left the log; or that is out of reach, and going on says so.
            self._tries += 1
            self.close()
            return 0
        self._tries = 0
        return 1

    def _read_back(self, before: int) -> None:
        """Read a part of the span before that commit; spans go backward, their parts forward."""
        if self._history is None:
            self._history = self._logs.open_history(self._files)
        if self._span is None:
            begin = max(self._first, before - self._span_commits)
            self._span = _Span(begin, before, begin)
        span = self._span
        count = min(span.end - span.at, max(1, int(PART_DECISIONS / self._per_commit)))
        commits = self._history.commits(span.at, count)
        if not commits:
            raise LogError(f"commits from {span.at} on do not come")
        scored = _scored(commits)
        cards = self._cards(commits, scored, self._history)
        unknown = [None if card is None or card in self._known else card for card in cards]
        span.blobs |= _newest(scored, unknown)
        span.at += len(commits)
        self._per_commit = max(1.0, len(scored) / len(commits))
        if span.at == span.end:
            self._known.add_older(span.begin, span.end, span.blobs)
            self._rest, self._span = (span.begin, iter(span.blobs.items())), None
            most = max(1, int(SPAN_DECISIONS / self._per_commit))
            self._span_commits = min(8 * self._span_commits, most)

    def _cards(
        self, commits: Sequence[Commit], scored: Sequence[_Scored], reading: Reading
    ) -> Sequence[str | None]:
        """Whose card each decision is on."""
        records, base = reading.records(commits), commits[0].first_sequence
        return self._logs.cards.of([records[d.sequence - base].payload for d in scored], scored)

    def _sampled(
        self,
        commits: Sequence[Commit],
        scored: Sequence[_Scored],
        cards: Sequence[str | None],
    ) -> list[bytes]:
        """Entries for the feed of decisions: always the same for the same id."""
        of = self._sample_one_of
        rows = [i for i, d in enumerate(scored) if crc32(d.transaction_id.encode()) % of == 0]
        payloads = [d for commit in commits for d in commit.decisions]
        decided = decision_rows(payloads[row] for row in rows)
        return [
            _encode(
                Sampled(
                    d.sequence, d.transaction_id, d.event_time, cards[row], d.action, d.score,
                    d.reason_shown(),
                )
            )
            for row, d in zip(rows, decided, strict=True)
        ]  # fmt: skip


def fill(
    open_runner: Callable[[ExitStack], ReadModelRunner], telling: ReadModelTelling, stop: Event
) -> None:
    """Keep the read model filled until stopped; whatever befalls it is told and waited out.

    open_runner: opens it anew, to be closed with the stack.
    """
    while not stop.is_set():
        try:
            with ExitStack() as files:
                runner = open_runner(files)
                while not stop.is_set():
                    written = runner.step()
                    telling.written(written, utc_ms())
                    if not written:
                        stop.wait(PAUSE_S)
        except (UnreachableError, LogError, InputError) as error:
            telling.away(error, utc_ms())
            stop.wait(OUTAGE_PAUSE_S)


def _scored(commits: Sequence[Commit]) -> list[_Scored]:
    try:
        return [_decode(d) for commit in commits for d in commit.decisions]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LogError(f"the decisions log holds what is no decision: {error}") from error


def _newest(scored: Sequence[_Scored], cards: Sequence[str | None]) -> dict[str, bytes]:
    """Each card's blob, of its last decision here."""
    last = dict(zip(cards, scored, strict=True))
    try:
        return {
            card: pack(
                d.sequence, d.transaction_id, d.event_time, d.action, d.score, d.versions.catalog,
                d.features,
            )
            for card, d in last.items()
            if card is not None
        }  # fmt: skip
    except KeyError as error:
        raise LogError(f"the decisions log names an action {error}: upgrade") from error


def _of_another_log(why: str) -> LogError:
    return LogError(
        f"the read model is of another decisions log ({why}): delete the keys alcyon:* of redis.url"
    )
