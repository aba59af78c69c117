"""Watching: reads what is decided, some times a second, for whoever shows it or asks about it.

It presses on nothing: when it is too far behind it goes on at the end of the log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Event, Thread
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from alcyon.codecs.avro import MixedTransactionDecoder
from alcyon.domain.columns import Batch, Strings
from alcyon.domain.commit import Commit
from alcyon.domain.currency import Rates
from alcyon.domain.errors import AlcyonError
from alcyon.domain.projected import DecisionRow, decision_rows
from alcyon.domain.read_model import Latest
from alcyon.domain.tokens import tokenise_ids
from alcyon.runners.stream.deciding import Means
from alcyon.runners.stream.reading import Reading

EVERY_S = 0.1
COMMITS_MAX = 64
RECORDS_MAX = 2048
"""Decoded together: more leave the processor's cache."""
BEHIND_MAX = 2_000
"""Commits; further behind it goes on at the end."""
CARDS_MAX = 50_000
"""Cards whose last decision is kept, half a kilobyte each."""
_OUTAGE_S = 1.0


class Watched(NamedTuple):
    """The logs, opened. end: the index behind the last commit, asked anew."""

    reading: Reading
    end: Callable[[], int]


class Paid(msgspec.Struct, gc=False):
    """As much of a transaction as everything that is decided is looked at for."""

    amount_minor: int = 0
    currency: str = ""
    card_id: str | None = None
    merchant_id: str | None = None
    country: str | None = None
    amount_base_minor: int | None = None


_paid = msgspec.json.Decoder(Paid).decode


@dataclass(frozen=True, eq=False)
class Seen:
    """Decisions, and row by row what they are on."""

    decisions: Sequence[DecisionRow]
    cards: Sequence[str | None]
    """Tokens."""
    merchants: Sequence[str | None]
    countries: Sequence[str | None]
    amounts_base: Sequence[int]
    """Minor units of the base currency, 0 where that is not known."""
    whole: Callable[[Sequence[int]], Batch]
    """All columns of some rows; where one cannot be read any more, of none."""


class Watcher(Protocol):
    """Is told what was decided. Called by one thread; does not raise."""

    def take(self, seen: Seen) -> None:
        """These came."""
        ...

    def tick(self) -> None:
        """Called some times a second."""
        ...


class LatestByCard:
    """Each card's last decision, as far as it was seen and there is room: at least those of the
    newest `cards_max / 2` cards."""

    def __init__(self, cards_max: int = CARDS_MAX) -> None:
        self._half = cards_max // 2
        self._newer, self._older = dict[str | None, DecisionRow](), dict[str | None, DecisionRow]()

    def take(self, seen: Seen) -> None:
        """Keep the features of these."""
        self._newer.update(zip(seen.cards, seen.decisions, strict=True))
        if len(self._newer) >= self._half:
            self._newer, self._older = {}, self._newer

    def tick(self) -> None:
        """Nothing to do."""

    def latest(self, cards: Sequence[str]) -> list[Latest | None]:
        """Each card's last decision; None where it was not seen. From any thread."""
        newer, older = self._newer, self._older
        found = [newer.get(card) or older.get(card) for card in cards]
        return [None if d is None else _latest(d) for d in found]


class Watching:
    """Reads from `first_index` on until `close`, in a thread of its own.

    tell: what goes wrong; it is waited out.
    """

    def __init__(
        self,
        open_logs: Callable[[ExitStack], Watched],
        means: Means,
        rates: Callable[[], Rates],
        watchers: Sequence[Watcher],
        first_index: int,
        tell: Callable[[AlcyonError], None],
    ) -> None:
        self._open, self._means, self._rates = open_logs, means, rates
        self._keys = means.keys
        self._watchers, self._index, self._tell = watchers, first_index, tell
        self._decoder: tuple[Rates, MixedTransactionDecoder] | None = None
        self._is_over = Event()
        self._thread = Thread(target=self._run, name="watching", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Called once, last."""
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.is_set():
            try:
                with ExitStack() as files:
                    self._follow(self._open(files))
            except AlcyonError as error:
                self._tell(error)
                for watcher in self._watchers:
                    watcher.tick()
                self._is_over.wait(_OUTAGE_S)

    def _follow(self, watched: Watched) -> None:
        end = watched.end()
        if not 0 <= end - self._index <= BEHIND_MAX:
            self._index = end
        while not self._is_over.is_set():
            commits = watched.reading.commits(self._index, COMMITS_MAX)
            for group in _groups(commits):
                seen = self._seen(group, watched.reading)
                for watcher in self._watchers:
                    watcher.take(seen)
                self._index += len(group)
            if len(commits) < COMMITS_MAX:
                for watcher in self._watchers:
                    watcher.tick()
                self._is_over.wait(EVERY_S)
            elif watched.end() - self._index > BEHIND_MAX:
                self._index = watched.end()

    def _seen(self, commits: Sequence[Commit], reading: Reading) -> Seen:
        decisions = decision_rows(d for commit in commits for d in commit.decisions)
        records, base = reading.records(commits), commits[0].first_sequence
        payloads = [records[d.sequence - base].payload for d in decisions]

        def whole(rows: Sequence[int]) -> Batch:
            batch = self._decoder_now().decode([payloads[row] for row in rows], None).batch
            return batch if len(batch) == len(rows) else batch.slice(0, 0)

        try:
            paid = list(map(_paid, payloads))
        except msgspec.DecodeError:  # not all of it is JSON
            return seen_whole(decisions, whole)
        amounts = np.array([one.amount_minor for one in paid], np.int64)
        converted = self._rates().to_base(amounts, Strings.from_list([p.currency for p in paid]))
        cards = self._tokens([one.card_id for one in paid])
        merchants = self._tokens([one.merchant_id for one in paid])
        bases = [
            max(0, made if one.amount_base_minor is None else one.amount_base_minor)
            for one, made in zip(paid, converted.tolist(), strict=True)
        ]
        countries = [one.country for one in paid]
        return Seen(decisions, cards, merchants, countries, bases, whole)

    def _tokens(self, ids: Sequence[str | None]) -> Sequence[str | None]:
        column = Strings.from_list(ids)
        tokens = tokenise_ids(column, self._keys)
        return ids if tokens is column else tokens.to_list()

    def _decoder_now(self) -> MixedTransactionDecoder:
        rates = self._rates()
        if self._decoder is None or self._decoder[0] is not rates:
            self._decoder = rates, self._means.transaction_decoder(rates)
        return self._decoder[1]


def seen_whole(decisions: Sequence[DecisionRow], whole: Callable[[Sequence[int]], Batch]) -> Seen:
    """By all columns of all rows; none where one cannot be read any more."""
    batch = whole(range(len(decisions)))
    cards, merchants = column(batch, "card_id"), column(batch, "merchant_id")
    countries, bases = column(batch, "country"), amounts_base(batch)
    return Seen(decisions[: len(batch)], cards, merchants, countries, bases, whole)


def _groups(commits: Sequence[Commit]) -> list[list[Commit]]:
    groups: list[list[Commit]] = []
    for commit in commits:
        if groups and commit.position - groups[-1][0].first_position <= RECORDS_MAX:
            groups[-1].append(commit)
        else:
            groups.append([commit])
    return groups


def _latest(decision: DecisionRow) -> Latest:
    return Latest(
        decision.sequence, decision.transaction_id, decision.event_time, decision.action,
        decision.score, decision.versions_named().catalog, decision.features,
    )  # fmt: skip


def column(batch: Batch, name: str) -> list[str | None]:
    """A column of strings, null where the batch lacks it."""
    return batch.strings(name).to_list() if name in batch else [None] * len(batch)


def amounts_base(batch: Batch) -> list[int]:
    """Amounts in the base currency, minor units, 0 where not known."""
    if not len(batch):
        return []
    amounts = np.asarray(batch.numbers("amount_base_minor"), np.int64)
    known: list[int] = np.maximum(amounts, 0).tolist()
    return known
