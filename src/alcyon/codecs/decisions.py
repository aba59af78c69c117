"""Decisions as the decisions log holds them: JSON, the same bytes for the same decision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from alcyon.domain.decision import Decision
from alcyon.domain.errors import InputError

_HEAD = b'{"sequence":'


def encode(decisions: Iterable[Decision]) -> list[bytes]:
    """One JSON object per decision, its keys in the order of the schema.

    Members are written by name. A reason's value that is not finite is written as null; scores
    are finite, which loading a model makes sure of.
    """
    return list(map(msgspec.json.Encoder(order="deterministic").encode, decisions))


def sequence_of(payload: bytes) -> int:
    """The sequence of what `encode` wrote, of which no more is looked at. InputError: it is none.

    >>> sequence_of(b'{"sequence":12,"transaction_id":"t1"}')
    12
    """
    number = payload[len(_HEAD) : payload.find(b",", len(_HEAD))]
    if not payload.startswith(_HEAD) or not number.isdigit():
        raise InputError("a payload is no decision: it does not begin with its sequence")
    return int(number)


def decode(payloads: Sequence[bytes]) -> list[Decision]:
    """What `encode` wrote. Raises InputError naming the first payload that is no decision."""
    decoder = msgspec.json.Decoder(Decision)
    decisions: list[Decision] = []
    try:
        decisions.extend(map(decoder.decode, payloads))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"payload {len(decisions)} is no decision: {error}") from error
    return decisions
