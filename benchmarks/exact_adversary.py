"""A long stream made to break windows, and the catalog it is tried on."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from alcyon.features import (
    Catalog,
    Count,
    Distinct,
    Elapsed,
    Entity,
    Max,
    Mean,
    Min,
    Previous,
    Std,
    Sum,
)  # fmt: skip

Row = dict[str, Any]
START = 1_700_000_000_000
LATENESS = 5_000
SMALL, ABROAD = "amount_minor < 200", "country <> 'DE'"

_card, _merchant = Entity("card_id"), Entity("merchant_id")
catalog = Catalog(
    [
        Count(_card, "60s"), Sum(_card, "amount_minor", "600s"), Elapsed(_card, within="600s"),
        Mean(_card, "amount_minor", "600s", exclude_current=True),
        Std(_card, "amount_minor", "600s"), Distinct(_card, "merchant_id", "600s"),
        Max(_card, "amount_minor", "600s", exclude_current=True),
        Previous(_card, "country", within="600s"),
        Previous(_card, "amount_minor", within="60s"),
        Count(_card, "600s", where=SMALL, name="card_small"),
        Count(Entity("card_id", "merchant_id"), "600s", exclude_current=True),
        Count(_merchant, "1s"), Count(_merchant, "600s"), Sum(_merchant, "amount_minor", "60s"),
        Sum(_merchant, "amount_minor", "600s"), Std(_merchant, "amount_minor", "60s"),
        Mean(_merchant, "amount_minor", "60s", exclude_current=True, where=ABROAD, name="abroad"),
        Min(_merchant, "amount_minor", "10s"), Distinct(_merchant, "card_id", "10s"),
        Max(_merchant, "amount_minor", "60s", where=SMALL, name="largest_small"),
        Distinct(_merchant, "country", "60s", exclude_current=True),
        Mean(_merchant, "is_fraud", "600s", delay="60s"), Sum(_merchant, "is_fraud", "60s"),
        Sum(_merchant, "is_fraud", "60s", where=SMALL, exclude_current=True, name="small_frauds"),
        Previous(_merchant, "country", within="1s"), Elapsed(_merchant, within="10s"),
    ],
    lateness_max=f"{LATENESS}ms",
)  # fmt: skip
PREDICATES: Mapping[str, Any] = {
    SMALL: lambda r: r["amount_minor"] < 200,
    ABROAD: lambda r: r["country"] is not None and r["country"] != "DE",
}


def records(size: int, seed: int) -> list[Row | tuple[str, int]]:
    """Transactions and labels (id, is_fraud) in order: about one transaction per 10 ms.

    Times lie on a grid of 10 ms, so that events stand exactly on the edges of every window and
    many share their time. 12 % come out of order, some by exactly `lateness_max`; 1 % are late;
    2 % are repeats; amounts reach 10^15; 10 % of keys are null; 30 % name one merchant.
    Of the labels 10 % come before their transaction.
    """
    rng, time = random.Random(seed), START
    out: list[Row | tuple[str, int]] = []
    sent: list[Row] = []
    while len(sent) < size:
        draw = rng.random()
        if draw < 0.13 and sent:
            old = sent[max(0, len(sent) - int(rng.expovariate(1 / 3000)) - 1)]["transaction_id"]
            early = f"t{len(sent) + rng.randint(0, 2)}"
            out.append((old if rng.random() < 0.9 else early, int(rng.random() < 0.6)))
        elif draw < 0.15 and sent:
            repeat = dict(sent[max(0, len(sent) - rng.randint(1, 5000))])
            repeat["amount_minor"] += rng.choice([0, 0, 1])
            out.append(repeat)
        else:
            time += rng.choice([0, 0, 10, 10, 10, 20, 20])
            sent.append(_transaction(rng, len(sent), time - _behind(rng)))
            out.append(sent[-1])
    return out


def _behind(rng: random.Random) -> int:
    draw = rng.random()
    if draw < 0.12:
        return rng.choice([10, 1000, LATENESS, 10 * rng.randint(1, LATENESS // 10)])
    return LATENESS + 10 * rng.randint(1, 6000) if draw < 0.13 else 0


def _transaction(rng: random.Random, i: int, time: int) -> Row:
    merchant = "hot" if rng.random() < 1 / 3 else f"m{int(rng.expovariate(1 / 500))}"
    return {
        "transaction_id": f"t{i}", "event_time": time, "currency": "EUR",
        "amount_minor": rng.choice([0, 199, 200, 10**15, rng.randint(9 * 10**14, 10**15)]),
        "card_id": None if rng.random() < 0.1 else f"c{int(rng.expovariate(1 / 4000))}",
        "merchant_id": None if rng.random() < 0.1 else merchant,
        "country": rng.choice(["DE", "DE", "FR", "PL", "", None]),
        "latitude": None, "utc_offset_minutes": None,
    }  # fmt: skip
