"""Decisions as the decisions log holds them: JSON, the same bytes for the same decision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from alcyon.domain.decision import Decision
from alcyon.domain.errors import InputError


def encode(decisions: Iterable[Decision]) -> list[bytes]:
    """One JSON object per decision, its keys in the order of the schema.

    Members are written by name. A reason's value that is not finite is written as null; scores
    are finite, which loading a model makes sure of.
    """
    return list(map(msgspec.json.Encoder(order="deterministic").encode, decisions))


def decode(payloads: Sequence[bytes]) -> list[Decision]:
    """What `encode` wrote. Raises InputError naming the first payload that is no decision."""
    decoder = msgspec.json.Decoder(Decision)
    decisions: list[Decision] = []
    try:
        decisions.extend(map(decoder.decode, payloads))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"payload {len(decisions)} is no decision: {error}") from error
    return decisions
