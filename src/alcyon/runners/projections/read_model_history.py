"""History: what the read model lacks of the time before it began, read from the log backward.

Spans of commits go backward, as the newest are wanted first; each is read forward, in parts, as
leaps take long. What is known anyway is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, cast

from alcyon.domain.errors import LogError
from alcyon.domain.read_model import Known
from alcyon.runners.projections.card_decisions import Cards, Decided, newest
from alcyon.runners.stream.reading import Reading

WRITE_CARDS = 2_000
"""How many cards one write changes, more or less: the server answers nobody else meanwhile."""
PART_DECISIONS, SPAN_DECISIONS, SPAN_COMMITS = 8_192, 262_144, 64
"""Decisions of one step and of a span, more or less; the commits of the first span."""
TRIES_MAX = 3


class Older(NamedTuple):
    """Blobs for cards that have none newer; once they are written, it covers from `begin` on."""

    cards: dict[str, bytes]
    begin: int


@dataclass
class _Span:
    """Commits [begin, end), read up to `at`."""

    begin: int
    end: int
    at: int
    blobs: dict[str, bytes] = field(default_factory=dict)


class History:
    """Goes back from what is covered, a step at a time.

    open_reading: opens readers of its own, as going back must not disturb going on. known: what
    need not be read, and is added to.
    """

    def __init__(
        self, open_reading: Callable[[ExitStack], Reading], cards: Cards, known: Known
    ) -> None:
        self._open_reading, self._of_cards, self._known = open_reading, cards, known
        self._files, self._reading = ExitStack(), cast("Reading | None", None)
        self._rest: tuple[int, Iterator[tuple[str, bytes]]] | None = None
        """Blobs to write, and where what is covered then begins."""
        self._span: _Span | None = None
        self._span_commits, self._per_commit, self._tries = SPAN_COMMITS, 256.0, 0

    def begin_anew(self) -> None:
        """What is covered has changed by other means."""
        self._rest, self._span, self._tries = None, None, 0

    def is_over(self, first: int, before: int) -> bool:
        """Whether nothing is left of commits [first, before), or it cannot be had."""
        return before <= first or self._tries >= TRIES_MAX

    def step(self, first: int, before: int) -> Older | None:
        """A part of what the commits [first, before) say; None: it was only read."""
        if self._rest is None:
            self._gather(first, before)
            return None
        begin, rest = self._rest
        cards = dict(islice(rest, WRITE_CARDS))
        if cards:
            return Older(cards, before)
        self._rest = None
        return Older({}, begin)

    def close(self) -> None:
        """Let go what is open; it may go on, and is called last, too."""
        self._files.close()
        self._reading, self._span = None, None

    def _gather(self, first: int, before: int) -> None:
        if self._known.begin < before <= self._known.end:
            self._rest = self._known.begin, iter(self._known.blobs().items())
            return
        try:
            self._read(first, before)
        except LogError:
            # It has left the log; or that is out of reach, and going on says so.
            self._tries += 1
            self.close()
        else:
            self._tries = 0

    def _read(self, first: int, before: int) -> None:
        """A part of the span before that commit."""
        if self._reading is None:
            self._reading = self._open_reading(self._files)
        if self._span is None:
            begin = max(first, before - self._span_commits)
            self._span = _Span(begin, before, begin)
        span = self._span
        count = min(span.end - span.at, max(1, int(PART_DECISIONS / self._per_commit)))
        commits = self._reading.commits(span.at, count)
        if not commits:
            raise LogError(f"commits from {span.at} on do not come")
        decisions, cards = self._of_cards.decided(commits, self._reading)
        unknown = [None if card is None or card in self._known else card for card in cards]
        span.blobs |= newest(Decided(decisions, unknown))
        span.at += len(commits)
        self._per_commit = max(1.0, len(decisions) / len(commits))
        if span.at == span.end:
            self._end(span)

    def _end(self, span: _Span) -> None:
        self._known.add_older(span.begin, span.end, span.blobs)
        self._rest, self._span = (span.begin, iter(span.blobs.items())), None
        most = max(1, int(SPAN_DECISIONS / self._per_commit))
        self._span_commits = min(8 * self._span_commits, most)
