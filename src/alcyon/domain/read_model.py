"""The read model: each card's last decision as one packed blob, and feeds of what is new.

It can be lost at any moment, whole or in part, and is filled again from the decisions log. A card
that is not in it says nothing: ask the store.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from alcyon.domain.decision import Action
from alcyon.domain.errors import InputError

FORMAT = 1
"""First byte of a blob."""
SEQUENCE_AT = 4
"""Where in a blob its sequence stands: int64, little-endian."""
_HEADER = struct.Struct("<BBhqqBH")
_header = _HEADER.pack
_NO_SCORE = -1
_CODES = {action.value: action.code for action in Action}
KNOWN_CARDS_MAX = 1_000_000
"""Cards kept in memory, half a kilobyte each: what a rebuild need not read again."""


class Latest(NamedTuple):
    """The decision on a card's transaction with the highest sequence."""

    sequence: int
    transaction_id: str
    event_time: int
    action: str
    score: int | None
    catalog: str
    """Hash of the catalog that names the features."""
    features: bytes
    """As `Decision.features`: little-endian float32 in catalog order, NaN is null."""


def pack(
    sequence: int,
    transaction_id: str,
    event_time: int,
    action: str,
    score: int | None,
    catalog: str,
    features: bytes,
) -> bytes:
    """A `Latest` as the read model keeps it.

    The header, little-endian and without gaps: uint8 `FORMAT`, uint8 action code, int16 score (-1:
    none), int64 sequence, int64 event time, uint8 length of the catalog's hash, uint16 length of
    the id; then hash and id as UTF-8, and the features. KeyError: there is no such action.

    >>> one = Latest(7, "t", 1_700_000_000_000, "REVIEW", None, "c0", bytes(4))
    >>> unpack(pack(*one)) == one, len(pack(*one))
    (True, 30)
    """
    name, of = transaction_id.encode(), catalog.encode()
    code, score = _CODES[action], _NO_SCORE if score is None else score
    header = _header(FORMAT, code, score, sequence, event_time, len(of), len(name))
    return b"".join((header, of, name, features))


def unpack(blob: bytes) -> Latest:
    """Inverse of `pack`. InputError: it is no such blob."""
    try:
        version, action, score, sequence, event_time, of, name = _HEADER.unpack_from(blob)
        if version != FORMAT:
            raise InputError(f"a card's blob has format {version}, this version reads {FORMAT}")
        id_at = _HEADER.size + of
        return Latest(
            sequence,
            blob[id_at : id_at + name].decode(),
            event_time,
            Action.of_code(action).value,
            None if score == _NO_SCORE else score,
            blob[_HEADER.size : id_at].decode(),
            blob[id_at + name :],
        )
    except (struct.error, KeyError, UnicodeDecodeError) as error:
        raise InputError(f"no blob of a card: {error}") from error


class Sampled(msgspec.Struct, frozen=True):
    """A decision in the feed of decisions, as JSON."""

    sequence: int
    transaction_id: str
    event_time: int
    card_id: str | None
    action: str
    score: int | None
    reason: str
    """The one code to show, see `reason_shown`."""


class Covered(NamedTuple):
    """The commits [begin, end): each card decided on in them has its last decision, as of `end`."""

    begin: int
    end: int
    next_sequence: int
    """Behind the last of them; -1 where that is not known."""


@dataclass(frozen=True, eq=False)
class Update:
    """What one write changes, all of it or nothing."""

    before: Covered | None
    """What must be covered for it to take place; None: nothing."""
    after: Covered
    cards: Mapping[str, bytes]
    """Blobs by card token."""
    is_older: bool = False
    """Whether a card may have a newer blob already, which then stays."""
    alerts: Sequence[bytes] = ()
    """For the feed: `Alert`s as JSON."""
    decisions: Sequence[bytes] = ()
    """For the feed: `Sampled`s as JSON."""


class Known:
    """The blobs of cards decided on in the commits [begin, end), as of `end`, in memory.

    In two generations: once the newer one is full, the older one is forgotten.
    """

    def __init__(self, cards_max: int = KNOWN_CARDS_MAX) -> None:
        self._cards_max = cards_max
        self.forget()

    def forget(self) -> None:
        """Know nothing."""
        self.begin, self.end, self._newer_begin, self.next_sequence = 0, -1, 0, -1
        self._older: dict[str, bytes] = {}
        self._newer: dict[str, bytes] = {}

    def __contains__(self, card: str) -> bool:
        return card in self._newer or card in self._older

    def add(self, first: int, end: int, cards: Mapping[str, bytes]) -> None:
        """The commits [first, end) came; `cards` as of `end`."""
        if end <= self.end:
            return
        if not self.begin <= first <= self.end:
            self.begin, self._newer_begin, self._older, self._newer = first, first, {}, {}
        if self._newer and len(self._newer) + len(cards) > self._cards_max // 2:
            self.begin, self._newer_begin = self._newer_begin, first
            self._older, self._newer = self._newer, {}
        self._newer |= cards
        self.end = end

    def add_older(self, first: int, before: int, cards: Mapping[str, bytes]) -> None:
        """The commits [first, before) were read, as far as there is room."""
        if before == self.begin and len(self._older) + len(cards) <= self._cards_max // 2:
            self._older = {**cards, **self._older}
            self.begin = first

    def blobs(self) -> dict[str, bytes]:
        """All of them."""
        return self._older | self._newer


class ReadModel(Protocol):
    """What the runner fills; StoreError from any method: it is out of reach, full, or takes no
    writes, and a later call may succeed. Whether the write took place, `covered` then tells."""

    def covered(self) -> Covered | None:
        """The commits it covers; None: none, it is new or was emptied."""
        ...

    def write(self, update: Update) -> bool:
        """Change it, unless it covers other commits than `update.before`; whether it did."""
        ...

    def latest(self, cards: Sequence[str]) -> list[Latest | None]:
        """Each card's last decision; None where the read model does not know."""
        ...

    def close(self) -> None:
        """Called once, last."""
        ...
