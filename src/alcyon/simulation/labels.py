"""Labels: who finds out about a fraud, when, and who errs.

Every label depends only on the reporting's seed and its transaction's id, so that it does not
matter how the traffic was cut into slices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from alcyon.domain.columns import NULL_INT, Batch, Strings, concatenate
from alcyon.domain.errors import InputError
from alcyon.simulation.activity import DAY_MS, HOUR_MS
from alcyon.simulation.attacks import FIRST_PARTY
from alcyon.simulation.geography import Floats
from alcyon.simulation.identifiers import (
    Booleans,
    Bytes,
    Ints,
    decimal,
    fixed,
    mixed,
    prefixed,
    unit,
)
from alcyon.simulation.traffic import Slice

_SOURCES = ("chargeback", "issuer", "analyst")
_CHARGEBACK, _ISSUER, _ANALYST = range(3)
_AUTHORS = ("alice", "bruno", "chiara", "dmitri", "elif")


@dataclass(frozen=True)
class Reporting:
    """Who reports what: shares in 0 … 1.

    analyst, issuer: shares of frauds each finds first (within hours, within days); the rest comes
    as chargebacks, weeks later; `unreported` never comes to light. cleared: share of genuine
    transactions an analyst looks at and clears. mistaken: share of analysts' labels that say the
    opposite of the truth and are corrected days later. delay_scale: factor of all delays.
    Raises InputError when a value is out of bounds.
    """

    seed: int = 0
    analyst: float = 0.12
    issuer: float = 0.18
    unreported: float = 0.04
    cleared: float = 0.002
    mistaken: float = 0.03
    delay_scale: float = 1.0

    def __post_init__(self) -> None:
        shares = (self.analyst, self.issuer, self.unreported, self.cleared, self.mistaken)
        if min(shares) < 0 or self.analyst + self.issuer + self.unreported > 1:
            raise InputError("label shares must be 0 or more and add up to 1 at most")
        if max(self.cleared, self.mistaken) > 1 or not 1e-6 <= self.delay_scale <= 100:
            raise InputError("cleared, mistaken at most 1; delay_scale within 1e-6 … 100")


@dataclass(frozen=True, eq=False)
class _Reports:
    """Labels as numbers: `row` in the slice, `turn` 0 for the first label of a transaction."""

    row: Ints
    turn: Ints
    is_fraud: Ints
    source: Ints
    labelled_at: Ints


def labels_of(slices: Iterable[Slice], reporting: Reporting | None = None) -> Batch:
    """All labels that these transactions ever get, sorted by `labelled_at` (ties: as they came).

    Columns as in `alcyon.domain.label`; `loss_minor` is the amount in euro cents where a label
    says fraud, else null. The slices are read one by one and not kept.
    """
    rules = reporting or Reporting()
    parts = [_labels_of_slice(part, rules) for part in slices]
    if not parts:
        raise InputError("there are no transactions to label; give one slice at least")
    every = concatenate(parts)
    return every.take(np.argsort(every.numbers("labelled_at"), kind="stable"))


def _labels_of_slice(part: Slice, rules: Reporting) -> Batch:
    is_fraud = part.truth.numbers("is_fraud") == 1
    chance = _chances(part, rules.seed)
    found = np.flatnonzero(is_fraud & (chance(0) >= rules.unreported))
    cleared = np.flatnonzero(~is_fraud & (chance(0) < rules.cleared))
    row = np.concatenate([found, cleared])
    fraud = np.repeat(np.array([1, 0]), [len(found), len(cleared)])
    source = _sources(chance(1)[row], fraud == 1, rules)
    asked = part.transactions.numbers("event_time")[row].astype(np.int64)
    at = asked + _delays(source, chance(2)[row], chance(3)[row], rules.delay_scale)
    errs = (source == _ANALYST) & (chance(4)[row] < rules.mistaken)
    corrected_at = at + ((0.5 + 9.0 * chance(5)[row]) * DAY_MS * rules.delay_scale).astype(np.int64)
    reports = _Reports(
        row=np.concatenate([row, row[errs]]),
        turn=np.repeat(np.array([0, 1]), [len(row), int(errs.sum())]),
        is_fraud=np.concatenate([np.where(errs, 1 - fraud, fraud), fraud[errs]]),
        source=np.concatenate([source, np.where(fraud == 1, _CHARGEBACK, _ANALYST)[errs]]),
        labelled_at=np.concatenate([at, corrected_at[errs]]),
    )
    return _rendered(part, reports, chance(6))


def _chances(part: Slice, seed: int) -> Callable[[int], Floats]:
    """Uniforms per row, one set per question, from the transaction's id alone."""
    text = _matrix(part.truth.strings("transaction_id"))
    powers = np.int64(131) ** np.arange(text.shape[1] // 2, dtype=np.int64)
    half = text.shape[1] // 2
    head = text[:, :half].astype(np.int64) @ powers
    tail = text[:, half : 2 * half].astype(np.int64) @ powers
    last = text[:, -1].astype(np.int64)
    return lambda question: unit(mixed(seed, 31, head, tail, last, question))


def _matrix(ids: Strings) -> Bytes:
    """uint8[n, width]: our own ids all have one width."""
    return ids.data.reshape(len(ids), len(ids.data) // max(1, len(ids)))


def _sources(chance: Floats, is_fraud: Booleans, rules: Reporting) -> Ints:
    """First by analysts, then by issuers; only analysts clear."""
    found = 1.0 - rules.unreported
    analyst = chance * found < rules.analyst
    issuer = chance * found < rules.analyst + rules.issuer
    source = np.where(analyst, _ANALYST, np.where(issuer, _ISSUER, _CHARGEBACK))
    return np.where(is_fraud, source, _ANALYST)


def _delays(source: Ints, first: Floats, second: Floats, scale: float) -> Ints:
    """Log-normal: analysts hours, issuers days, chargebacks about three weeks (in ms)."""
    median = np.array([20.0 * DAY_MS, 3.0 * DAY_MS, 4.0 * HOUR_MS])[source]
    sigma = np.array([0.45, 0.6, 0.9])[source]
    normal = np.sqrt(-2.0 * np.log1p(-first)) * np.cos(2.0 * np.pi * second)  # Box–Muller
    delay = np.maximum(median * np.exp(sigma * normal) * scale, 1_000.0)
    delay_ms: Ints = delay.astype(np.int64)
    return delay_ms


def _rendered(part: Slice, reports: _Reports, chance: Floats) -> Batch:
    row, says_fraud = reports.row, reports.is_fraud == 1
    ids = part.truth.strings("transaction_id").take(row)
    amount = part.transactions.numbers("amount_base_minor")[row].astype(np.int64)
    author = (chance[row] * len(_AUTHORS)).astype(np.int64)
    return Batch(
        {
            "label_id": _label_ids(ids, reports.turn),
            "transaction_id": ids,
            "is_fraud": reports.is_fraud,
            "fraud_type": _fraud_types(part.truth.strings("attack").take(row), says_fraud),
            "loss_minor": np.where(says_fraud, amount, NULL_INT),
            "source": Strings.from_list(_SOURCES).take(reports.source),
            "author": _AUTHOR_NAMES.take(
                np.where(reports.source == _ANALYST, author, len(_AUTHORS))
            ),
            "labelled_at": reports.labelled_at,
        }
    )


_AUTHOR_NAMES = Strings.from_list([*_AUTHORS, None])


def _label_ids(ids: Strings, turn: Ints) -> Strings:
    """The transaction's id with an l for its t, and the turn: `l-0123abcdef-0000000042-0`."""
    text = _matrix(ids)
    return fixed(np.hstack([prefixed("l", text[:, 1:]), prefixed("-", decimal(turn, 1))]))


def _fraud_types(attacks: Strings, says_fraud: Booleans) -> Strings:
    """first_party or third_party, as whoever says fraud believes; null where it is cleared."""
    first = [name in FIRST_PARTY for name in attacks.to_list()]
    kind = np.where(says_fraud, np.where(np.array(first, np.bool_), 0, 1), 2)
    return Strings.from_list(["first_party", "third_party", None]).take(kind)
