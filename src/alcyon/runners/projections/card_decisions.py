"""Decisions by card: whose card each decision is on, and a card's last one as its blob."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple

import msgspec

from alcyon.domain.columns import Strings
from alcyon.domain.commit import Commit
from alcyon.domain.errors import LogError
from alcyon.domain.read_model import pack
from alcyon.domain.tokens import TokenKeys, tokenise_ids
from alcyon.runners.projections.projection import Decoder
from alcyon.runners.stream.reading import Reading


class ScoredVersions(msgspec.Struct, gc=False):
    """As much of `Versions`."""

    catalog: str
    rates: str


class Scored(msgspec.Struct, gc=False):
    """As much of a decision as a blob holds."""

    sequence: int
    transaction_id: str
    event_time: int
    action: str
    score: int | None
    features: bytes
    versions: ScoredVersions


class Decided(NamedTuple):
    """Decisions, and whose card each is on."""

    decisions: Sequence[Scored]
    cards: Sequence[str | None]


class _Card(msgspec.Struct, gc=False):
    """As much of a transaction."""

    transaction_id: str
    card_id: str | None = None


_decode = msgspec.json.Decoder(Scored).decode
_card = msgspec.json.Decoder(_Card).decode
_FOREIGN = "this intake belongs to another decisions log"


class Cards:
    """Whose card each decided payload is of.

    decoder: of all columns under the rate table of that version, for payloads that are not JSON.
    """

    def __init__(self, keys: TokenKeys, decoder: Callable[[str], Decoder]) -> None:
        self._keys, self._decoder = keys, decoder

    def of(self, payloads: Sequence[bytes], decisions: Sequence[Scored]) -> Sequence[str | None]:
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

    def decided(self, commits: Sequence[Commit], reading: Reading) -> Decided:
        """The decisions in these commits and whose card each is on. LogError as `of`."""
        found, base = scored(commits), commits[0].first_sequence
        records = reading.records(commits)
        return Decided(found, self.of([records[d.sequence - base].payload for d in found], found))

    def _found(self, payloads: Sequence[bytes], decisions: Sequence[Scored]) -> list[_Card]:
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


def scored(commits: Sequence[Commit]) -> list[Scored]:
    """The decisions in these commits. LogError: there is one that is none."""
    try:
        return [_decode(d) for commit in commits for d in commit.decisions]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LogError(f"the decisions log holds what is no decision: {error}") from error


def newest(decided: Decided) -> dict[str, bytes]:
    """Each card's blob, of its last decision here."""
    last = dict(zip(decided.cards, decided.decisions, strict=True))
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
