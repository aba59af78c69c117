"""A desk in memory: explanations, feeds, rules and models beside the searcher and the office."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from typing import Any

import msgspec

import alcyon.detectors.card as detector
from alcyon.api.desk import Desk
from alcyon.domain.errors import ExpressionError, InputError
from alcyon.domain.office.access import Caller
from alcyon.domain.office.explanation import (
    Changed,
    Counterfactual,
    Explanation,
    RuleShownHit,
)
from alcyon.domain.office.searching import Share, TopEntity
from alcyon.scoring.conduct import rule_scope
from alcyon.scoring.rules import RuleSet, from_text, to_text
from alcyon.telemetry.metrics import Telemetry
from tests.console.desk import RULES, MemorySearcher, Scene
from tests.console.memory_office import SESSION, MemoryOffice, NothingAsked, now_ms
from tests.console.simulated import HOSTILE, LONG, sample

_encode = msgspec.json.Encoder().encode
SCOPE = rule_scope(detector.catalog)
DAY_MS = 86_400_000


class MemoryExplaining:
    def __init__(self, searcher: MemorySearcher) -> None:
        self._searcher = searcher

    def explain(self, transaction_id: str, *, with_counterfactual: bool) -> Explanation | None:
        found = self._searcher.decision(transaction_id)
        if found is None:
            return None
        changed = Changed("amount_base_minor", 94_000, 18_000, "below € 180.00")
        device = Changed("device_id", "d-9", "d-1", "from a device this card has used before")
        return Explanation(
            transaction_id=transaction_id, action=found.line.action, score=found.line.score,
            headline="", log_odds=sum(part.log_odds for part in found.reasons),
            contributions=found.reasons,
            rule_hits=[
                RuleShownHit(id_, "Too many payments with the card in an hour", "REVIEW", True)
                for id_ in found.rule_hits
            ],
            habit=None,
            habit_words=f"usually € 23.00 in FR; now in {found.line.country}, 7th in 6 minutes",
            counterfactual=Counterfactual([changed, device], "APPROVE", 212, 40),
            counterfactual_status="found" if with_counterfactual else "pending",
            counterfactual_why="", prose="", prose_by="template",
        )  # fmt: skip


class MemorySubscription:
    def __init__(self, scene: Scene, feeds: MemoryFeeds, feed: str) -> None:
        self._scene, self._feeds, self._feed = scene, feeds, feed

    async def next(self) -> bytes:
        if self._feed == "statistics":
            await asyncio.sleep(1)
            return _encode(self._feeds.now())
        is_quiet = self._feed == "alerts" or not self._scene.world.lines
        while is_quiet or self._scene.messages_per_s == 0:
            await asyncio.sleep(3600)
        await asyncio.sleep(1 / self._scene.messages_per_s)
        self._scene.world.now = now_ms()
        return _encode(sample(self._scene.world, next(self._feeds.numbers)))

    def close(self) -> None: ...


class MemoryFeeds:
    def __init__(self, scene: Scene) -> None:
        self.scene, self.numbers = scene, itertools.count(1)

    def subscribe(self, feed: str) -> MemorySubscription:
        return MemorySubscription(self.scene, self, feed)

    def past(self) -> list[dict[str, Any]]:
        names = ("at", "rate", "latency_ms", "actions")
        seconds = range(300, 0, -1) if self.scene.world.lines else ()
        told = [self._told(now_ms() - 1000 * ago) for ago in seconds]
        return [{name: one[name] for name in names} for one in told]

    def now(self) -> dict[str, Any]:
        return self._told(now_ms())

    def _told(self, at: int) -> dict[str, Any]:
        self.scene.check()
        if not self.scene.world.lines:
            none = {"p50": None, "p95": None, "p99": None}
            today = {"decisions": 0, "not_approved": 0, "stopped_base_minor": 0}
            return {
                "at": at, "rate": 0.0, "latency_ms": none, "actions": {}, "today": today,
                "top_rules": [], "top_merchants": [], "countries": [], "base_currency": "EUR",
            }  # fmt: skip
        noise = random.Random(at // 1000)
        wave = 8 + 6 * math.sin(at / 41_000) + noise.gauss(0, 1)
        places = [("NG", 41), ("FR", 22), ("KW", 18), ("JP", 12), ("US", 7), ("ES", 3)]
        merchants = [("Luxe Watches", 9), ("Gift Card Hub", 2)]
        if any(line.merchant_id == HOSTILE for line in self.scene.world.lines):
            merchants[1:1] = [(HOSTILE, 8), (LONG, 5)]
        return {
            "at": at, "rate": round(2_250 + 14 * wave, 1), "base_currency": "EUR",
            "latency_ms": {
                "p50": round(4.1 + noise.gauss(0, 0.1), 1), "p95": round(8.8 + wave / 9, 1),
                "p99": round(13.2 + abs(noise.gauss(0, 1.5)), 1),
            },
            "actions": {
                "APPROVE": 136_200, "STEP_UP": 130, "REVIEW": round(1_120 + 14 * wave),
                "DECLINE": round(500 + 9 * wave),
            },
            "today": {
                "decisions": 91_204_331, "not_approved": 12_841, "stopped_base_minor": 4_128_000,
            },
            "top_rules": [
                {"rule_id": rule, "hits": 900 // n}
                for n, rule in enumerate(("card_velocity", "impossible_travel", "card_testing"), 1)
            ],
            "top_merchants": [
                msgspec.to_builtins(TopEntity("merchant", name, n, n * 80_000, 960, at))
                for name, n in merchants
            ],
            "countries": [
                msgspec.to_builtins(Share(name, 900, n, 10**8, n * 30_000)) for name, n in places
            ],
        }  # fmt: skip


class MemoryControlling:
    def __init__(self, scene: Scene, office: MemoryOffice) -> None:
        self._scene, self._office = scene, office
        self._text = to_text(from_text(RULES.read_text()))
        self._entries: list[dict[str, Any]] = [
            {"name": "block", "column": "card_id", "value": "k1_0f3a9d2b7c4411e0aa55",
             "expires_at": now_ms() + 3 * DAY_MS},
            {"name": "watch", "column": "merchant_id", "expires_at": None,
             "value": next(
                (x.merchant_id for x in scene.world.lines if x.merchant_id == HOSTILE), "m-17")},
        ]  # fmt: skip

    def in_force(self) -> dict[str, Any]:
        rules = from_text(self._text)
        return {
            "rules": {"version": "3f0a11c29d7be410", "rules": msgspec.to_builtins(rules)},
            "rules_text": self._text, "lists": {"version": "l-2", "entries": self._entries},
            "policy": {}, "versions": {"rules": "r", "lists": "l", "model": "blend-0007"},
            "names": {
                "column": sorted(detector.catalog.columns), "feature": list(detector.catalog.names),
                "score": ["score", "probability_ppm"],
            },
        }  # fmt: skip

    def look_again(self) -> None: ...

    def learnt(self, alias: str, model: str) -> None: ...

    def validate(self, rules_text: str) -> list[dict[str, Any]]:
        try:
            RuleSet.compile(from_text(rules_text), SCOPE)
        except (InputError, ExpressionError) as error:
            return [{"rule": None, "line": 1, "column": 1, "problem": str(error)}]
        return []

    def backtest(self, rules_text: str, rule_id: str, days: int) -> dict[str, Any]:
        return {
            "hits": 214, "labelled": 40, "frauds": 31, "amount_base_minor": 8_140_000,
            "stopped_already": 160, "sample": ["a-0000", "a-0001"], "scanned": 2_100_300,
            "is_whole": True,
        }  # fmt: skip

    def prepared(self, kind: str, change: dict[str, Any]) -> dict[str, Any]:
        return change

    def apply(self, kind: str, change: dict[str, Any], by: Caller, why: str) -> dict[str, Any]:
        self._text = change.get("text", self._text)
        return {}

    def label(self, labels: list[dict[str, Any]], by: Caller) -> int:
        self._scene.check()
        for one in labels:
            self._office.label(one["transaction_id"], one["is_fraud"], by)
        return len(labels)

    def models(self) -> dict[str, Any]:
        self._scene.check()
        if not self._scene.world.lines:
            return {
                "champion": None, "challenger": None, "models": [], "moves": [], "comparison": None,
                "drift": [], "drift_now": None,
            }  # fmt: skip
        at = now_ms()
        figures = {
            "average_precision": 0.8123, "recall_at_fpr_0.001": 0.641, "brier": 0.0031,
            "money_lost_minor": 1_507_443.6,
        }  # fmt: skip
        models = [
            {"name": f"blend-000{n}", "catalog_hash": "c", "registered_at": at - n * DAY_MS,
             "metrics": {"blend": {name: value + n / 900 for name, value in figures.items()}},
             "parameters": {}, "files": {}, "run_id": None}
            for n in (9, 8, 7, 6)
        ]  # fmt: skip
        return {
            "champion": "blend-0007", "challenger": "blend-0008", "models": models,
            "moves": _moves(at), "comparison": _finding(at),
            "drift": [{
                "at": at - 20 * DAY_MS,
                "band": {"champion": "blend-0005", "replaced": "blend-0004"},
                "departure": {
                    "kind": "stricter", "at": at, "share": 0.021, "predicted": 0.006,
                },
            }],
            "drift_now": _drift_now(at),
        }  # fmt: skip

    def evidence(self, kind: str, change: dict[str, Any]) -> dict[str, Any] | None:
        if kind not in ("promotion", "roll_back", "challenger"):
            return None
        known = self.models()
        return {"models": {m["name"]: m for m in known["models"][1:3]}, "finding": _finding(0)}


def _moves(at: int) -> list[dict[str, Any]]:
    made = [("blend-0004", 30, "promote", ""), ("blend-0005", 22, "promote", "better AP"),
            ("blend-0004", 20, "roll_back", "declines left the band"),
            ("blend-0007", 6, "promote", "new attack on gift cards")]  # fmt: skip
    return [
        {"number": n, "at": at - days * DAY_MS, "state": "done", "wanted": {
            "alias": "champion", "model": model, "expected": n - 1, "kind": kind, "by": "grace",
            "why": why, "evidence": {}}}
        for n, (model, days, kind, why) in enumerate(made, 1)
    ]  # fmt: skip


def _drift_now(at: int) -> dict[str, Any]:
    def signal(name: str, excess: float, severity: str = "minor") -> dict[str, Any]:
        return {
            "signal": name, "severity": severity, "psi": 0.01 + excess, "psi_usual": 0.01,
            "ks": 0.02 + excess / 3, "ks_usual": 0.02, "chance": 1e-9 if excess > 0.1 else 0.4,
            "matters": excess > 0.1,
        }  # fmt: skip

    drifted = [signal("amount_base_minor", 0.141, "moderate")]
    rest = [signal("card_sum_1d", 0.031), signal("merchant_count_7d", 0.004), signal("hour", 0.0)]
    return {
        "champion": "blend-0007", "reference_start": at - 34 * DAY_MS,
        "reference_stop": at - 6 * DAY_MS, "reference_rows": 200_000,
        "window": {
            "start": at - DAY_MS, "stop": at, "rows": 171_200, "comparisons": [*rest, *drifted],
            "findings": drifted,
        },
    }  # fmt: skip


def _finding(at: int) -> dict[str, Any]:
    def compared(a: float, b: float, spread: float) -> dict[str, Any]:
        interval = {"estimate": b - a, "low": b - a - spread, "high": b - a + spread}
        return {"champion": a, "challenger": b, "difference": interval}

    return {
        "model": "blend-0008", "at": at, "promote": False,
        "reasons": [{"code": "no_approval", "text": "nobody has approved a promotion by itself"}],
        "checks": {"parity": 3e-6, "latency_us": 21.4}, "gate": {}, "approval": None,
        "evidence": {
            "champion": "blend-0007", "challenger": "blend-0008", "start": at - 7 * DAY_MS,
            "stop": at, "as_of": at, "maturity_ms": 7 * DAY_MS, "transactions": 1_204_331,
            "frauds": 1_877, "agreement": 0.9962,
            "actions": {
                "APPROVE": {"APPROVE": 1_190_011, "REVIEW": 1_204, "DECLINE": 31},
                "REVIEW": {"APPROVE": 1_530, "REVIEW": 6_118, "DECLINE": 702},
                "DECLINE": {"APPROVE": 12, "REVIEW": 1_098, "DECLINE": 3_625},
            },
            "scores": {
                "bounds_ppm": [1_000, 10_000, 100_000, 1_000_001],
                "champion": [1_101_400, 83_120, 13_911, 5_900],
                "challenger": [1_120_300, 66_020, 12_001, 6_010],
            },
            "average_precision": compared(0.781, 0.803, 0.011),
            "money_lost_minor_per_day": compared(412_000, 371_000, 22_000),
            "decline_rate": compared(0.0041, 0.0043, 0.0004),
            "review_rate": compared(0.0088, 0.0083, 0.0007),
        },
    }  # fmt: skip


def system_of(scene: Scene) -> dict[str, Any]:
    """As a worker with its stores would tell it."""
    scene.check()
    at = now_ms()
    worker = {"ready": True, "phase": "running", "reasons": [], "notes": []}
    counted = {
        "worker_transactions_total": 91_204_331.0, "worker_lag_seconds": 0.038,
        "worker_lag_records{topic=transactions}": 210.0, "worker_state_bytes": 1_204_331_008.0,
        "worker_snapshot_timestamp_seconds": at / 1000 - 42, "worker_late_total": 12.0,
    }  # fmt: skip
    return {
        "phase": "running", "ready": True, "reasons": [], "worker": {**worker, "metrics": counted},
        "projection": {**worker, "metrics": {"projection_lag_seconds": 0.12}},
        "stores": {"log": "kafka", "store": "postgres", "read_model": "redis", "models": "folder"},
        "snapshot": {"at": at - 42_000, "bytes": 812_000_000.0},
        "versions": {
            "engine": "0.1.0", "model": "blend-0007", "rules": "3f0a11c29d7be410",
            "catalog": "c6b1f0e2a9d84410b7e5f1a20c3d4e5f",
        },
    }  # fmt: skip


def open_desk(scene: Scene) -> tuple[Desk, MemoryOffice]:
    """The desk, and the office to see what was asked of it."""
    searcher, office = MemorySearcher(scene), MemoryOffice(scene)
    desk = Desk(
        asking=NothingAsked(), searcher=searcher, office=office,
        explaining=MemoryExplaining(searcher), feeds=MemoryFeeds(scene),
        controlling=MemoryControlling(scene, office), system=lambda: system_of(scene),
        telemetry=Telemetry(), origins=("http://localhost:5173", "http://127.0.0.1:5173"),
        signs_in=lambda _: SESSION if scene.is_signed_in else None,
    )  # fmt: skip
    return desk, office
