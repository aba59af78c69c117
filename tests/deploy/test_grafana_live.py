"""Every question of Grafana's dashboards has an answer, from a Prometheus over real processes."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from alcyon.domain.office.access import Role
from alcyon.learning.dataset import DAY_MS
from services import ServiceError
from tests.card_models import card_models
from tests.cli.run_process import kafka_settings, until
from tests.deploy.asked import Asked, asked, marks
from tests.deploy.observed import Observed, observed
from tests.kafka import Broker
from tests.servers import cannot
from tests.whole import burst, decided, payment, stored

RANGE_S, STEP_S = 30, 5
VARIABLES = {
    "$__rate_interval": "15s", "$__range": f"{RANGE_S}s", "$job": ".*", "$instance": ".*",
}  # fmt: skip
DAYS, PER_DAY = 12, 120
"""Payments of the past, so that there is a last day to compare with the days before."""
OF_A_BROKER = {"Decided within 0.1 s", "Slowest of 100", "How long a payment waits", "Lag"}
"""Logs in files do not say when they took a record, or how many wait; the panels say so."""
SEEN = (
    "sum(rate(alcyon_worker_decisions_total[15s])) > 0"
    " and count(alcyon_learner_score_drift_psi < Inf)"
    " and count(alcyon_learner_feature_drift_psi < Inf)"
)
"""Payments are decided, and drift is known."""
SILENT = {"files": OF_A_BROKER, "broker": set[str]()}


@dataclass(frozen=True)
class Live:
    """What a test holds."""

    prometheus: Observed
    decisions: list[dict[str, Any]]
    """What the API answered last."""
    at: float
    """When traffic ended, unix time; what is asked later is asked of then."""
    silent: set[str]
    """The panels that have nothing to show."""

    def answer(self, asked: Asked) -> list[dict[str, Any]]:
        """The series, as Grafana would have them; `values` of each are of one or more moments."""
        expr = _filled(asked.expr)
        if not asked.is_instant:
            span = {"start": self.at - RANGE_S, "end": self.at, "step": STEP_S}
            found: list[dict[str, Any]] = self.prometheus.ask("query_range", query=expr, **span)[
                "result"
            ]
            return found
        found = self.prometheus.ask("query", query=expr, time=self.at)["result"]
        return [each | {"values": [each["value"]]} for each in found]


def _filled(expr: str) -> str:
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    assert "$" not in expr
    return expr


@pytest.fixture(scope="module", params=SILENT)
def live(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Live]:
    """All processes under traffic for longer than the dashboards look back here."""
    home, model, settings = tmp_path_factory.mktemp("home"), card_models()[0], dict[str, object]()
    if request.param == "broker":
        broker = Broker.of(request.getfixturevalue("kafka").bootstrap)
        settings = kafka_settings(
            broker.connection.bootstrap, broker.names, broker.transactional_id
        )
    try:
        with observed(home, model, settings) as all_of_it:
            decisions = _traffic(all_of_it)
            yield Live(all_of_it, decisions, time.time(), SILENT[request.param])
    except ServiceError as error:
        cannot(request.config, f"no Prometheus for tests: {error}")


def _days(program: httpx2.Client) -> None:
    """Days of payments, in order."""
    rng, until_ms = random.Random(7), time.time() * 1000
    for day in range(DAYS):
        begin = until_ms - (DAYS - day) * DAY_MS
        rows = [
            payment(
                f"d{day}-{i}", event_time=round(begin + i * DAY_MS / PER_DAY),
                amount_minor=rng.randrange(100, 20_000), card_id=f"c{rng.randrange(60)}",
            )
            for i in range(PER_DAY)
        ]  # fmt: skip
        decided(program, *rows)


def _traffic(all_of_it: Observed) -> list[dict[str, Any]]:
    """Payments, frauds, repeats, labels, refusals: until Prometheus has seen it go on, and drift be
    known, for as long as the dashboards look back."""
    program, stranger = all_of_it.served.program(Role.INGEST), all_of_it.served.client({})
    _days(program)
    seen_since, answers = math.inf, list[dict[str, Any]]()

    def goes_on() -> bool:
        nonlocal seen_since
        k = len(answers)
        answers[:] = decided(
            program,
            *burst(f"a{k}{time.time_ns()}"),
            *(payment(f"b{time.time_ns()}") for _ in "123"),
        )
        again = program.post("/v1/decisions", json=[{**payment("same"), "event_time": 1e12}])
        assert again.status_code in (200, 409, 422)
        label = {"transaction_id": answers[0]["transaction_id"], "is_fraud": True}
        program.post("/v1/labels", json=label | {"source": "chargeback"})
        stranger.post("/v1/session", json={"name": "nobody", "password": "wrong"})
        if all_of_it.ask("query", query=SEEN)["result"]:
            seen_since = min(seen_since, time.monotonic())
        return time.monotonic() - seen_since > RANGE_S + STEP_S

    until(goes_on, 600)
    return answers


def _is_known(series: list[dict[str, Any]]) -> bool:
    return bool(series) and all(
        math.isfinite(float(value)) for each in series for _, value in each["values"]
    )


def test_prometheus_takes_every_question(live: Live) -> None:
    for expr in {each.expr for each in asked()} | {expr for _, expr in marks()}:
        assert live.prometheus.ask("format_query", query=_filled(expr))


def test_no_panel_is_empty_but_those_that_say_why(live: Live) -> None:
    answers = {each: live.answer(each) for each in asked()}
    without = {each.title for each, series in answers.items() if not _is_known(series)}
    assert without == live.silent
    assert all(each.unknown for each in asked() if each.title in without)


def test_series_have_the_names_that_the_legend_gives_them(live: Live) -> None:
    for each in asked():
        wanted = set(re.findall(r"\{\{(\w+)\}\}", each.legend))
        series = live.answer(each)
        assert all(wanted <= set(one["metric"]) for one in series), each
        names = [tuple(one["metric"].get(label, "") for label in wanted) for one in series]
        assert len(set(names)) == len(names) or each.kind == "table", each


def test_a_number_is_one_number(live: Live) -> None:
    numbers = [each for each in asked() if each.kind == "stat" and each.title not in live.silent]
    assert [each.title for each in numbers if len(live.answer(each)) != 1] == []


def test_each_store_is_told_of_by_the_process_that_fills_it(live: Live) -> None:
    """A counter that stays 0 in another process would be taken for a store that is not filled."""
    found = live.prometheus.ask("query", query="alcyon_projection_rows_total")["result"]
    rows = {(one["metric"]["process"], one["metric"]["store"]): one["value"][1] for one in found}
    assert set(rows) == {("projections", "sqlite"), ("duties", "office")}
    assert all(float(count) > 0 for count in rows.values()), rows


def test_shares_add_up_and_what_the_api_answered_is_seen(live: Live) -> None:
    titled = {(each.dashboard, each.title): each for each in asked()}

    def values(title: str, label: str = "") -> dict[str, float]:
        series = live.answer(titled["alcyon-business", title])
        return {one["metric"].get(label, ""): float(one["values"][-1][1]) for one in series}

    shares = [values(t)[""] for t in ("Approved", "Stepped up", "To review", "Declined")]
    assert sum(shares) == pytest.approx(1)
    actions = {each["action"] for each in live.decisions}
    assert {"APPROVE", "DECLINE"} <= actions
    money = values("Money by action", "action")
    assert all(money[action] > 0 for action in actions)
    hit = {rule for each in live.decisions for rule in each["rule_hits"]}
    assert hit
    hits = values("Rules that hit most", "rule")
    assert all(hits[rule] > 0 for rule in hit)
    assert values("Turned away")[""] > 0


def test_versions_in_force_are_marked_when_they_are_new(live: Live) -> None:
    (marked,) = [expr for name, expr in marks() if "versions" in name]
    found = live.prometheus.ask("query", query=_filled(marked).replace("5m", "25s"))
    assert found["result"] == []  # they have been in force for longer
    found = live.prometheus.ask("query", query=_filled(marked).replace("5m", "30d"))
    (version,) = [each["metric"] for each in found["result"]]
    told = live.prometheus.served.program(Role.VIEWER)
    decision = stored(told, f"/v1/decisions/{live.decisions[0]['transaction_id']}")
    assert version["model"] == decision["versions"]["model"]
