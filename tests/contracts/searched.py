"""What the searcher's suite searches: decisions with everything odd in them, and brute force."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from alcyon.codecs.decisions import encode
from alcyon.domain.alert import alert, reason_shown
from alcyon.domain.columns import NULL_INT, Batch, Column, Strings
from alcyon.domain.decision import Decision, Reason, Versions
from alcyon.domain.office.searching import ENTITY_COLUMNS, Filter
from alcyon.domain.projected import Projected, decision_rows
from alcyon.domain.record import DeadLetter
from alcyon.io.postgres.partitions import PARTITION_ROWS

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
START_MS = 1_750_000_000_000
DAYS = 40
ACTIONS = ("APPROVE", "APPROVE", "APPROVE", "APPROVE", "STEP_UP", "REVIEW", "DECLINE", "DECLINE")
NOT_SHOWN = ("base_rate", "other_features")
CODES = ("late_transaction", "card_testing", "100%_sure", "it's")
RULES = ("r1", "r_2", "r%", "r'; DROP TABLE alerts; --")
CARDS = ("c1", "c11", "c_1", "c%1", "c'1", 'c"1', "cé", "d2", "C1", "c\\1")
MERCHANTS = ("m1", "m2", "m22", "<img src=x onerror=alert(1)>", "m;--")


@dataclass
class Paid:
    """A transaction and the decision on it, as written."""

    decision: Decision
    columns: dict[str, Any]
    is_fraud: bool | None = None
    labels: int = 0

    @property
    def place(self) -> tuple[int, int]:
        """The order in which they are found, backwards."""
        return self.decision.event_time, self.decision.sequence

    @property
    def shown(self) -> str:
        return reason_shown(self.decision.codes, self.decision.reasons)

    @property
    def expected_loss(self) -> int:
        ppm = self.decision.probability_ppm
        amount = self.columns["amount_base_minor"] or 0
        return amount * (1_000_000 if ppm is None else ppm) // 1_000_000

    def is_found_by(self, f: Filter) -> bool:
        """What the filter says, one word after the other."""
        d, of = self.decision, self.columns.get
        codes = {r.code for r in d.reasons if r.code not in NOT_SHOWN} | set(d.codes)
        if d.action != "APPROVE":
            codes.add(self.shown)
        score = -1 if d.score is None else d.score
        ids = (of("transaction_id"), of("card_id"), of("merchant_id"), of("device_id"))
        return all((
            f.entity_kind is None or of(ENTITY_COLUMNS[f.entity_kind]) == f.entity_id,
            f.first_ms is None or d.event_time >= f.first_ms,
            f.last_ms is None or d.event_time <= f.last_ms,
            not f.actions or d.action in f.actions,
            f.score_min is None or (d.score is not None and score >= f.score_min),
            f.score_max is None or (d.score is not None and score <= f.score_max),
            f.reason is None or f.reason in codes,
            f.rule is None or f.rule in d.rule_hits,
            f.country is None or of("country") == f.country,
            not f.text or any(i is not None and i.startswith(f.text) for i in ids),
        ))  # fmt: skip


class World:
    """Decisions, labels and dead letters, made from a seed and written in some commits."""

    def __init__(self, seed: int = 5, n: int = 900) -> None:
        self._rng = random.Random(seed)
        first = PARTITION_ROWS - 2 * n  # across the end of a partition
        self.paid = [self._paid(first + 4 * i, i) for i in range(n)]
        self.labels = list(self._labels(first + 4 * n))
        self.letters = [
            DeadLetter(
                first + 4 * n + 5_000 + i, "TRANSACTIONS", i, f"why{i % 3}", "so", b"{\xff\0"
            )
            for i in range(40)
        ]
        self.by_id = {p.decision.transaction_id: p for p in self.paid}

    def found(self, found_by: Filter) -> list[Paid]:
        """All that the filter finds, the newest first."""
        meant = (p for p in self.paid if p.is_found_by(found_by))
        return sorted(meant, key=lambda p: p.place, reverse=True)

    def of(self, kind: str, entity_id: str) -> list[Paid]:
        """An entity's, the newest first."""
        column = ENTITY_COLUMNS[kind]
        meant = (p for p in self.paid if p.columns[column] == entity_id)
        return sorted(meant, key=lambda p: p.place, reverse=True)

    def commits(self) -> Iterator[Projected]:
        """In three, the labels and dead letters with the last."""
        third = len(self.paid) // 3
        for index in range(3):
            some = self.paid[index * third : (index + 1) * third if index < 2 else None]
            labels = self.labels if index == 2 else []
            decisions = [p.decision for p in some]
            yield Projected(
                index, index + 1, [batch(some)], np.arange(len(some)),
                decision_rows(encode(decisions)), label_batch(labels),
                np.array([sequence for sequence, *_ in labels], np.int64),
                [alert(p.decision, p.columns["amount_minor"], "EUR")
                 for p in some if p.decision.action != "APPROVE"],
                self.letters if index == 2 else [],
            )  # fmt: skip

    def _paid(self, sequence: int, i: int) -> Paid:
        rng = self._rng
        spread = rng.randrange(DAYS * 24) * HOUR_MS + rng.choice([0, 0, 1, rng.randrange(HOUR_MS)])
        columns = {
            "transaction_id": rng.choice(["t", "t", "T-", "t_%"]) + str(i),
            "event_time": START_MS + spread,
            "amount_minor": rng.randrange(100_000),
            "currency": "EUR",
            "card_id": rng.choice([*CARDS, "c1", "c1", None]),
            "account_id": rng.choice(["a1", None]),
            "customer_id": rng.choice(["u1", "u2"]),
            "merchant_id": rng.choice([*MERCHANTS, "m1", "m1", "m1", None]),
            "device_id": rng.choice(["d1", "d2", "d3", "", None]),
            "counterparty_id": None,
            "country": rng.choice(["FR", "FR", "FR", "NG", "'", "", None]),
            "merchant_country": rng.choice(["FR", "DE", None]),
            "category": rng.choice(["food", "travel", None]),
            "channel": rng.choice(["ecommerce", None]),
            "amount_base_minor": rng.choice([rng.randrange(10**6), 10**15, 0, None]),
        }
        return Paid(self._decision(sequence, columns), columns)

    def _decision(self, sequence: int, columns: dict[str, Any]) -> Decision:
        rng, action = self._rng, self._rng.choice(ACTIONS)
        is_scored = rng.random() < 0.85
        score = rng.randrange(1001)
        reasons: tuple[Reason, ...] = ()
        if is_scored and (action != "APPROVE" or rng.random() < 0.1):
            named = rng.sample(
                ["velocity_card_1h", "amount", "new_country", "gone"], rng.randrange(4)
            )
            parts = [
                Reason(code, "card_count_10m", rng.choice([None, 4.0]), rng.uniform(0.1, 3))
                for code in named
            ]
            reasons = (*parts, Reason("base_rate", None, None, -5.0))
        return Decision(
            sequence, columns["transaction_id"], columns["event_time"], action,
            score if is_scored else None, rng.randrange(1_000_001) if is_scored else None,
            {"trees": 0.5} if is_scored else {},
            tuple(rng.sample(CODES, rng.choice([0, 0, 0, 1, 2]))),
            tuple(rng.sample(RULES, rng.choice([0, 0, 0, 1, 2]))),
            tuple(rng.sample(("s1", "r1"), rng.choice([0, 0, 0, 1]))),
            reasons, np.array([1.5, np.nan], "<f4").tobytes(),
            Versions("1", "catalog", "r", "l", "p", rng.choice("mn"), "t"),
        )  # fmt: skip

    def _labels(self, sequence: int) -> Iterator[tuple[Any, ...]]:
        for i in range(200):
            paid = self._rng.choice(self.paid)
            paid.is_fraud = self._rng.random() < 0.6
            paid.labels += 1
            yield sequence + i, f"l{i}", paid.decision.transaction_id, paid.is_fraud


def batch(some: list[Paid]) -> Batch:
    """Their transactions."""
    columns: dict[str, Column] = {}
    for name, first in some[0].columns.items():
        values = [p.columns[name] for p in some]
        if name in ("event_time", "amount_minor", "amount_base_minor"):
            columns[name] = np.array([NULL_INT if v is None else v for v in values], np.int64)
        else:
            assert first is None or isinstance(first, str)
            columns[name] = Strings.from_list(values)
    return Batch(columns)


def label_batch(labels: list[tuple[Any, ...]]) -> Batch:
    """Their columns."""
    n = len(labels)
    return Batch(
        {
            "label_id": Strings.from_list([one[1] for one in labels]),
            "transaction_id": Strings.from_list([one[2] for one in labels]),
            "is_fraud": np.array([one[3] for one in labels], np.int64),
            "source": Strings.from_list(["analyst"] * n),
            "labelled_at": np.full(n, START_MS + (DAYS + 1) * DAY_MS, np.int64),
        }
    )


WORLD = World()
