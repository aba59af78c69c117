"""Two consumers of the usual shape, to stand beside the engine: features in Redis, then a model.

Both ask a real Redis server over loopback for twenty features (sorted sets for windows, hashes for
profiles) by the same commands, decode the payloads the engine gets, score with XGBoost and an
Isolation Forest of the engine's size, apply a threshold and encode a decision. They do less: no
validation, no duplicates, no exactness for late payments, lifetime means in place of 30 days, no
rules, no reasons, twenty features in place of forty-two.

naive: one payload at a time, one round trip per command, `json`, scikit-learn's interface.
tuned: micro-batches of 64, one pipelined round trip each, msgspec, one fused ONNX file in batches.

The server is a process of its own on another core, where the machine has one: its work is not in
the consumers' processor time.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from xgboost import XGBClassifier

from alcyon.learning.boosting import Boosting
from alcyon.learning.graph import fused_model
from alcyon.learning.isolation import SAMPLES, TREES, Isolation
from alcyon.learning.member import FitSettings
from alcyon.scoring.model import session_of

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
MICRO_BATCH = 64
THRESHOLD = 0.5
NAMES = (
    "amount", "card_count_10m", "card_count_1h", "card_count_24h", "card_count_7d",
    "card_sum_1h", "card_sum_24h", "card_merchants_24h", "card_countries_24h", "elapsed_ms",
    "amount_to_mean", "amount_z", "is_other_country", "km_from_previous", "speed_kmh",
    "merchant_count_1h", "amount_to_merchant_mean", "device_count_1h", "device_cards_1d", "hour",
)  # fmt: skip


class Payment(msgspec.Struct, gc=False):
    """What the features read."""

    transaction_id: str
    event_time: int
    amount_base_minor: int
    card_id: str
    merchant_id: str
    country: str
    device_id: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    utc_offset_minutes: int | None = None


class Naive:
    """One payload, one round trip per command, one row at a time."""

    def __init__(self, client: Any, features: NDArray[np.float32], frauds: NDArray[np.bool_]):
        self._client = client
        self._trees = XGBClassifier(n_estimators=100, max_depth=5, learning_rate=0.1, n_jobs=1)
        self._trees.fit(features, frauds)
        self._forest = IsolationForest(n_estimators=TREES, max_samples=SAMPLES, random_state=7)
        self._forest.fit(np.nan_to_num(features))

    def decide(self, payload: bytes) -> bytes:
        """One decision."""
        payment = json.loads(payload)
        found = features_of(payment, commands(self._client, payment))
        row = np.array([found], np.float32)
        probability = float(self._trees.predict_proba(row)[0, 1])
        oddity = float(-self._forest.score_samples(np.nan_to_num(row))[0])
        decision = {
            "transaction_id": payment["transaction_id"],
            "action": "REVIEW" if probability + 0.1 * oddity > THRESHOLD else "APPROVE",
            "probability": probability,
            "oddity": oddity,
            "features": dict(zip(NAMES, found, strict=True)),
        }
        return json.dumps(decision).encode()


class Tuned:
    """Micro-batches: one pipeline, one run of ONNX."""

    def __init__(self, client: Any, features: NDArray[np.float32], frauds: NDArray[np.bool_]):
        self._client = client
        members = [k.fit(features, frauds, FitSettings()) for k in (Boosting, Isolation)]
        graphs = [m.graph(len(NAMES)) for m in members]
        fused = fused_model(graphs, [m.name for m in members], np.array([1, -0.1]), 0.0, len(NAMES))
        self._session = session_of(fused.SerializeToString(), len(NAMES))
        self._decode = msgspec.json.Decoder(Payment).decode

    def decide(self, payloads: Sequence[bytes]) -> list[bytes]:
        """The decisions of a micro-batch."""
        payments = [msgspec.structs.asdict(p) for p in map(self._decode, payloads)]
        found = features_of_all(self._client, payments)
        rows = np.array(found, np.float32)
        odds, members = self._session.run(("log_odds", "members"), {"features": rows})
        columns = zip(payments, odds.tolist(), members.tolist(), found, strict=True)
        return [
            msgspec.json.encode(
                {
                    "transaction_id": payment["transaction_id"],
                    "action": "REVIEW" if odd > 0 else "APPROVE",
                    "log_odds": odd,
                    "members": member,
                    "features": values,
                }
            )
            for payment, odd, member, values in columns
        ]


def commands(client: Any, p: dict[str, Any]) -> list[Any]:
    """File a payment and ask for what its features need; a pipeline answers later, in order."""
    now, amount = p["event_time"], p["amount_base_minor"]
    card, profile = f"card:{p['card_id']}", f"profile:{p['card_id']}"
    shop, sales = f"shop:{p['merchant_id']}", f"sales:{p['merchant_id']}"
    entry = f"{p['transaction_id']}|{amount}|{p['merchant_id']}|{p['country']}"
    replies = [
        client.zadd(card, {entry: now}),
        client.zremrangebyscore(card, "-inf", now - 7 * DAY),
        client.zcount(card, now - 10 * MINUTE + 1, now),
        client.zcount(card, now - HOUR + 1, now),
        client.zcount(card, now - 7 * DAY + 1, now),
        client.zrangebyscore(card, now - DAY + 1, now, withscores=True),
        client.hgetall(profile),
        client.hincrby(profile, "count", 1),
        client.hincrby(profile, "sum", amount),
        client.hincrby(profile, "squares", amount * amount),
        client.hset(profile, mapping=_latest(p)),
        client.zadd(shop, {p["transaction_id"]: now}),
        client.zremrangebyscore(shop, "-inf", now - HOUR),
        client.zcard(shop),
        client.hincrby(sales, "count", 1),
        client.hincrby(sales, "sum", amount),
    ]
    device = f"device:{p.get('device_id') or 'none'}"
    replies += [
        client.zadd(device, {f"{p['transaction_id']}|{p['card_id']}": now}),
        client.zremrangebyscore(device, "-inf", now - DAY),
        client.zrangebyscore(device, "-inf", now, withscores=True),
    ] if p.get("device_id") else [None, None, []]  # fmt: skip
    return replies


def _latest(p: dict[str, Any]) -> dict[str, Any]:
    place = {"latitude": p.get("latitude"), "longitude": p.get("longitude")}
    known = {name: value for name, value in place.items() if value is not None}
    return {"country": p["country"], "time": p["event_time"], **known}


def features_of(p: dict[str, Any], replies: Sequence[Any]) -> list[float]:
    """`NAMES`' values from the answers to `commands`."""
    now, amount = p["event_time"], p["amount_base_minor"]
    day = [(entry.decode().split("|"), time) for entry, time in replies[5]]
    hour_sum = sum(int(parts[1]) for parts, time in day if time > now - HOUR)
    profile = {k.decode(): v.decode() for k, v in replies[6].items()}
    count, total = int(profile.get("count", 0)), int(profile.get("sum", 0))
    mean = total / count if count else math.nan
    variance = int(profile.get("squares", 0)) / count - mean * mean if count else math.nan
    elapsed = now - int(profile["time"]) if "time" in profile else math.nan
    km = _kilometres(p, profile)
    devices = [entry.decode().split("|")[1] for entry, _ in replies[18]]
    local = (now + (p.get("utc_offset_minutes") or 0) * MINUTE) % DAY
    return [
        amount, replies[2], replies[3], len(day), replies[4],
        hour_sum, sum(int(parts[1]) for parts, _ in day), len({parts[2] for parts, _ in day}),
        len({parts[3] for parts, _ in day}), elapsed, amount / mean if mean else math.nan,
        (amount - mean) / math.sqrt(variance) if variance > 0 else math.nan,
        float(p["country"] != profile.get("country", p["country"])), km,
        km / (max(elapsed, MINUTE) / HOUR) if not math.isnan(elapsed) else math.nan,
        replies[13], amount * replies[14] / max(replies[15], 1),
        sum(time > now - HOUR for _, time in replies[18]), len(set(devices)), local // HOUR,
    ]  # fmt: skip


def _kilometres(p: dict[str, Any], profile: dict[str, str]) -> float:
    if p.get("latitude") is None or "latitude" not in profile:
        return math.nan
    a, b = math.radians(p["latitude"]), math.radians(float(profile["latitude"]))
    turn = math.radians(p["longitude"] - float(profile["longitude"]))
    half = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(turn / 2) ** 2
    return 2 * 6371 * math.asin(min(1.0, math.sqrt(half)))


def features_of_all(client: Any, payments: Sequence[dict[str, Any]]) -> list[list[float]]:
    """Features of a micro-batch by one round trip; later payments see earlier ones."""
    pipeline, places = client.pipeline(transaction=False), []
    for payment in payments:
        before = len(pipeline)
        commands(pipeline, payment)
        places.append((before, len(pipeline)))
    replies = pipeline.execute()
    none: list[Any] = [None, None, []]
    parts = [[*replies[a:b], *(none if b - a < 19 else ())] for a, b in places]
    return [features_of(p, r) for p, r in zip(payments, parts, strict=True)]


def timed(calls: Iterable[Any], rows: int) -> tuple[float, float]:
    """(wall, processor) µs per row of running all calls."""
    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    for call in calls:
        call()
    wall, cpu = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
    return wall / 1000 / rows, cpu / 1000 / rows
