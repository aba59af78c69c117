"""Labels that people and programs give through the API: who may say what, as payloads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import msgspec

from alcyon.codecs.json import LabelDecoder, encode_labels
from alcyon.domain.errors import AccessError, InputError
from alcyon.domain.label import LABEL_COLUMNS
from alcyon.domain.office.access import Caller, Role
from alcyon.domain.token_keys import TokenKeys
from alcyon.domain.tokens import mask

PROGRAMS_SAY = ("chargeback", "issuer")
PEOPLE_SAY = ("analyst",)
LABELS_MAX = 100_000
"""At once."""

_encode = msgspec.json.Encoder(order="deterministic").encode


def label_payloads(
    labels: Sequence[Mapping[str, Any]], by: Caller, keys: TokenKeys, now_ms: Callable[[], int]
) -> list[bytes]:
    """The records to append, card numbers replaced; a label without an id gets one.

    Given when, whose and what it says, the id is a function of that: to send it again changes
    nothing. A person says `analyst` and is the author; a program with the role ingest says
    `chargeback` or `issuer`. InputError names the first that is none, AccessError the first that
    this caller may not say.
    """
    if len(labels) > LABELS_MAX:
        raise InputError(f"{len(labels):,} labels: send at most {LABELS_MAX:,} at once")
    given = [_given(number, label, by, now_ms) for number, label in enumerate(labels, 1)]
    decoded = LabelDecoder(keys).decode([_encode(one) for one in given])
    if decoded.dead:
        fault = decoded.dead[0]
        raise InputError(f"label {fault.row + 1}: {fault.reason}: {fault.detail}")
    return encode_labels(decoded.batch)


def _given(
    number: int, label: Mapping[str, Any], by: Caller, now_ms: Callable[[], int]
) -> dict[str, Any]:
    known = {name: value for name, value in label.items() if value is not None}
    if unknown := sorted(set(known) - set(LABEL_COLUMNS)):
        raise InputError(f"label {number}: a label has no {unknown[0][:64]}")
    _check_source(number, str(known.get("source", "")), by)
    known["author"] = by.name if by.role is Role.INGEST else by.person
    if isinstance(fraud_type := known.get("fraud_type"), str):
        known["fraud_type"] = mask(fraud_type)
    known.setdefault("label_id", _id_of(known))
    known.setdefault("labelled_at", now_ms())
    return known


def _check_source(number: int, source: str, by: Caller) -> None:
    may = PROGRAMS_SAY if by.role is Role.INGEST else PEOPLE_SAY
    if source not in may:
        who = "a program" if by.role is Role.INGEST else "a person"
        raise AccessError(
            f"label {number}: {who} may not give labels of the source {source[:32]!r}: only "
            f"{' or '.join(may)}"
        )


def _id_of(known: Mapping[str, Any]) -> str:
    if "labelled_at" not in known:
        return f"l-{uuid4().hex}"
    return f"l-{hashlib.sha256(_encode(known)).hexdigest()[:32]}"
