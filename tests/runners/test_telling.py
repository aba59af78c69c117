"""Telling: a worker's facts, as metrics, lines and readiness."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from alcyon.domain import errors
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.decision import Versions
from alcyon.domain.errors import AlcyonError, FencedError
from alcyon.domain.projected import StoreError
from alcyon.domain.record import Topic
from alcyon.features.compiled.memory import BLOCK_WORDS
from alcyon.io.memory import MemoryDecisions
from alcyon.io.snapshot_writing import Written
from alcyon.runners.process.failing import failure
from alcyon.runners.process.status import Phase, Readiness
from alcyon.runners.stream.measuring import Measured
from alcyon.runners.stream.telling import Telling
from alcyon.runners.stream.worker import Pace
from alcyon.telemetry.words import ACTIONS, KINDS, OTHER, PARTS, VERSIONS
from alcyon.telemetry.worker import EVENT_BUCKETS_S, RULES_MAX, SCORE_BUCKETS
from tests.runners.told import IDLE, NOW, VERSION, Told, recovered
from tests.runners.working import Generator, Home, Traffic, until_idle


def test_metrics_add_up_to_what_the_logs_hold(tmp_path: Path) -> None:
    home, told = Home(tmp_path), Told()
    home.append(Generator(7).traffic(3000))
    worker, at_start = home.start(Pace(batch_max=100, snapshot_every=700))
    told.telling.recovered(at_start, 0.1, NOW)
    steps = list(until_idle(worker))
    for number, stepped in enumerate(steps):
        told.telling.stepped(stepped, NOW + number)
    worker.close()
    told.telling.stopped(NOW + 9000, worker.place.next_sequence)

    for topic in ("TRANSACTIONS", "LABELS", "CONTROL"):
        read = told.value("worker_records_total", topic=topic.lower())
        assert read == worker.place.applied[topic] > 0
    decisions = [json.loads(decision)["action"] for decision in home.decisions()]
    for action, count in Counter(decisions).items():
        assert told.value("worker_decisions_total", action=action) == count
    alerts = sum(len(commit.alerts) for commit in home.commits.commits)
    assert told.value("worker_alerts_total") == alerts > 0
    dead = Counter(letter.reason for letter in home.dead_letters())
    assert len(dead) >= 4
    for reason, count in dead.items():
        assert told.value("worker_dead_letters_total", reason=reason) == count
    assert told.value("worker_dead_letters_total", reason=OTHER) == 0
    refused = dead["control_refused"] + dead["invalid_control"]
    assert told.value("worker_controls_total", outcome="refused") == refused > 0
    applied = told.value("worker_controls_total", outcome="applied")
    assert applied + refused == worker.place.applied["CONTROL"]
    assert told.value("worker_duplicates_total") == sum(s.duplicates for s in steps) > 0
    assert told.value("worker_batches_total") == len(steps) - 1
    assert told.value("worker_batch_records_sum") == 3004
    assert told.value("worker_next_sequence") == 3004
    assert told.value("worker_snapshots_total", outcome="written") >= 1
    assert told.value("worker_snapshot_bytes") > 4096
    assert set().union(*(s.seconds for s in steps)) == set(PARTS)
    for part in PARTS:
        spent = sum(s.seconds.get(part, 0.0) for s in steps)
        assert told.value("worker_stage_seconds_sum", part=part) == pytest.approx(spent)


def _amounts(traffic: Traffic, decided: dict[int, str], dead: set[int]) -> dict[str, Fraction]:
    """Whole euros by action, record by record, under the rates of its time."""
    found = dict.fromkeys(ACTIONS, Fraction(0))
    rates: dict[str, int] = dict(DEFAULT_RATES.micro_units)
    for sequence, (topic, payload) in enumerate(traffic):
        said = json.loads(payload) if sequence not in dead else {}
        if topic is Topic.CONTROL and "micro_units" in said:
            rates = said["micro_units"]
        if sequence in decided:
            micro = {**rates, "EUR": 1_000_000}[said["currency"]]
            digits = {"JPY": 0, "USD": 2, "EUR": 2}[said["currency"]]
            worth = Fraction(said["amount_minor"] * micro * 10 ** (2 - digits), 1_000_000)
            found[decided[sequence]] += Fraction(round(worth), 100)  # half to even
    return found


def test_decisions_are_counted_as_the_logs_have_them(tmp_path: Path) -> None:
    home, told = Home(tmp_path), Told()
    traffic = Generator(11).traffic(3000)
    home.append(traffic)
    worker, at_start = home.start(Pace(batch_max=100, snapshot_every=700))
    told.telling.recovered(at_start, 1.25, NOW)
    steps = list(until_idle(worker))
    worker.close()
    decisions = [json.loads(decision) for decision in home.decisions()]
    now_ms = max(d["event_time"] for d in decisions) + 1000
    for stepped in steps:
        told.telling.stepped(replace(stepped, committed_ago_s=0.0), now_ms)

    late = sum("late_transaction" in d["codes"] for d in decisions)
    assert told.value("worker_late_total") == late > 10
    hits = Counter(rule for d in decisions for rule in d["rule_hits"])
    assert len(hits) == 4
    for rule, count in hits.items():
        assert told.value("worker_rule_hits_total", rule=rule) == count
    assert told.value("worker_rule_hits_total", rule=OTHER) == 0
    ppm = [d["probability_ppm"] for d in decisions if d["probability_ppm"] is not None]
    assert told.value("worker_scores_count") == len(ppm) > 500
    for bound in SCORE_BUCKETS:
        below = sum(p <= 1e6 * bound for p in ppm)
        assert told.value("worker_scores_bucket", le=repr(bound)) == below
    ages = [(now_ms - d["event_time"]) / 1000 for d in decisions]
    for bound in EVENT_BUCKETS_S:
        below = sum(age <= bound for age in ages)
        assert told.value("worker_event_latency_seconds_bucket", le=repr(bound)) == below
    assert told.value("worker_event_latency_seconds_sum") == pytest.approx(sum(ages))
    letters = home.dead_letters()
    refused = sum(letter.topic == "LABELS" for letter in letters)
    assert told.value("worker_labels_total", outcome="refused") == refused > 0
    labels = told.value("worker_labels_total", outcome="applied")
    assert labels + refused == worker.place.applied["LABELS"]
    decided = {d["sequence"]: d["action"] for d in decisions}
    for action, amount in _amounts(traffic, decided, {x.sequence for x in letters}).items():
        assert told.value("worker_amount_total", action=action) == pytest.approx(float(amount))
    assert told.value("worker_amount_total", action="DECLINE") > 1000
    inferring = told.value("worker_inference_seconds_sum")
    assert 0 < inferring < told.value("worker_stage_seconds_sum", part="decide")
    assert 0 < told.value("worker_inference_seconds_count") <= told.value("worker_batches_total")
    assert told.value("worker_recovery_seconds") == 1.25
    pause, whole = (f"worker_snapshot_{what}_seconds" for what in ("pause", "duration"))
    assert 0 < told.value(pause) <= told.value(whole)


def test_a_rule_is_there_at_0_once_it_decides_and_many_share_a_name() -> None:
    told, many = Told(), tuple(f"r{n}" for n in range(RULES_MAX + 5))
    told.telling.stepped(replace(IDLE, live_rules=many), NOW)
    assert told.value("worker_rule_hits_total", rule="r0") == 0
    hits = Counter(dict.fromkeys(many, 2))
    stepped = replace(IDLE, records=1, live_rules=many, measured=Measured(rule_hits=hits))
    told.telling.stepped(stepped, NOW)
    assert told.value("worker_rule_hits_total", rule=f"r{RULES_MAX - 1}") == 2
    assert told.value("worker_rule_hits_total", rule=OTHER) == 10
    with pytest.raises(AssertionError):
        told.value("worker_rule_hits_total", rule=f"r{RULES_MAX}")


def test_no_line_holds_what_a_record_held(tmp_path: Path) -> None:
    home, told = Home(tmp_path), Told()
    home.append(Generator(8).traffic(1000))
    worker, at_start = home.start(Pace(batch_max=50, snapshot_every=300))
    told.telling.recovered(at_start, 0.1, NOW)
    for number, stepped in enumerate(until_idle(worker)):
        told.telling.stepped(stepped, NOW + 2000 * number)
    worker.close()
    text = told.stream.getvalue()
    assert text.count("dead letters") > 3
    assert "4111" not in text
    assert "transaction_id" not in text
    assert "card_id" not in text
    assert "withheld" not in text


def test_a_recovery_after_a_kill_is_told(tmp_path: Path) -> None:
    home, told = Home(tmp_path), Told()
    home.append(Generator(9).traffic(600))
    worker, _ = home.start(Pace(batch_max=100))
    worker.step()
    first = worker.snapshot()
    worker.step()
    second = worker.snapshot()
    worker.step()
    worker.close()
    (tmp_path / second.name).write_bytes(b"torn")
    _, again = home.start()
    told.telling.recovering(NOW)
    assert told.readiness.answer().reasons == ("recovering",)
    told.telling.recovered(again, 1.5, NOW)
    assert told.readiness.answer().ready
    begun, refused, started = told.lines()
    assert begun["event"] == "recovering"
    assert (refused["level"], refused["event"]) == ("error", "snapshot refused")
    assert refused["snapshot"] == second.name
    assert refused["why"]
    assert (started["event"], started["snapshot"]) == ("worker started", first.name)
    assert (started["replayed"], started["next_sequence"]) == (200, 300)
    assert told.value("worker_recoveries_total") == 1
    assert told.value("worker_replayed_records_total") == 200
    assert told.value("worker_refused_snapshots_total") == 1


def test_latency_is_from_the_logs_time_to_the_commit() -> None:
    told = Told()
    times = np.array([NOW - 5, NOW - 6, NOW - 40, NOW - 31_000, NOW + 700], np.int64)
    stepped = replace(IDLE, records=5, times=times, committed_ago_s=0.003)
    told.telling.stepped(stepped, NOW + 3)
    name = "worker_decision_latency_seconds"
    upto = {le: told.value(f"{name}_bucket", le=le) for le in ("0.005", "0.01", "0.04", "30.0")}
    assert upto == {"0.005": 2, "0.01": 3, "0.04": 4, "30.0": 4}  # the future counts as 0
    assert told.value(f"{name}_count") == 5
    assert told.value(f"{name}_sum") == pytest.approx(31.051)


def test_every_decision_but_an_approval_is_an_alert() -> None:
    told = Told()
    actions = MappingProxyType({"APPROVE": 5, "STEP_UP": 1, "DECLINE": 2})
    told.telling.stepped(replace(IDLE, records=8, decisions=8, actions=actions), NOW)
    assert told.value("worker_alerts_total") == 3
    assert told.value("worker_decisions_total", action="APPROVE") == 5


def test_a_log_without_a_clock_has_no_latency_and_no_lag() -> None:
    told = Told()
    told.telling.stepped(replace(IDLE, records=5), NOW)
    assert told.value("worker_decision_latency_seconds_count") == 0
    assert told.readiness.lag_s() == 0


def test_lag_is_the_age_of_what_waits() -> None:
    told = Told()
    told.telling.recovered(recovered(), 0.1, NOW)
    assert np.isnan(told.readiness.lag_s())
    behind = replace(IDLE, records=2, times=np.array([NOW - 9000, NOW - 6000], np.int64))
    told.telling.stepped(behind, NOW, waiting=70)
    assert told.readiness.lag_s() == 6
    assert not told.readiness.answer().ready
    assert told.value("worker_lag_records") == 70
    told.telling.stepped(behind, NOW, waiting=0)
    assert told.readiness.lag_s() == 0
    told.telling.stepped(behind, NOW)
    assert told.readiness.lag_s() == 6
    told.telling.stepped(IDLE, NOW)
    assert told.readiness.answer().ready


def test_a_step_beats() -> None:
    at = [0.0]
    told = Told()
    told.readiness = Readiness(5.0, monotonic_s=lambda: at[0])
    told.telling = Telling(told.telemetry, told.log, told.readiness)
    told.telling.recovered(recovered(), 0.1, NOW)
    at[0] = 61
    assert told.readiness.silent() == ("worker",)
    told.telling.stepped(IDLE, NOW)
    assert told.readiness.silent() == ()
    at[0] = 122
    told.telling.broker_away("away", NOW)
    assert told.readiness.silent() == ()


def test_front_and_state_are_gauges() -> None:
    told = Told()
    assert np.isnan(told.value("worker_front_timestamp_seconds"))
    told.telling.stepped(replace(IDLE, front=NOW, next_sequence=8), NOW, state_bytes=4096)
    assert told.value("worker_front_timestamp_seconds") == NOW / 1000
    assert told.value("worker_state_bytes") == 4096
    assert told.value("worker_next_sequence") == 8


def test_idle_steps_say_nothing() -> None:
    told = Told()
    told.telling.stepped(IDLE, NOW)
    assert told.events() == ["in force"]
    for second in range(100):
        told.telling.stepped(IDLE, NOW + 1000 * second)
    assert told.events() == []
    assert told.value("worker_batches_total") == 0
    assert told.value("worker_batch_records_count") == 0


def test_what_is_in_force_is_told_when_it_changes() -> None:
    told = Told()
    changed = Versions(*(["w"] * len(VERSIONS)))
    for versions in (VERSION, VERSION, changed, changed):
        told.telling.stepped(replace(IDLE, versions=versions), NOW)
    assert [line["model"] for line in told.lines()] == ["v", "w"]
    assert told.value("versions_info", **dict.fromkeys(VERSIONS, "w")) == 1


def test_a_failed_snapshot_is_loud_and_leaves_the_last_whole_one() -> None:
    told = Told()
    good = Written("0000000001-00000000000000000005.snapshot", 5, 3, 0.5, 0.125, None)
    told.telling.stepped(replace(IDLE, snapshot=good), NOW)
    bad = replace(good, blocks=9, error="No space left on device: make room or see to the disk")
    told.telling.stepped(replace(IDLE, snapshot=bad), NOW + 60_000)
    _, written, failed = told.lines()
    assert (written["event"], written["bytes"]) == ("snapshot written", 3 * BLOCK_WORDS * 8)
    assert (failed["event"], failed["level"]) == ("snapshot failed", "error")
    assert "No space left" in str(failed["why"])
    assert told.value("worker_snapshots_total", outcome="failed") == 1
    assert told.value("worker_snapshots_total", outcome="written") == 1
    assert told.value("worker_snapshot_timestamp_seconds") == NOW / 1000
    assert told.value("worker_snapshot_duration_seconds") == 0.5
    assert told.value("worker_snapshot_pause_seconds") == 0.125
    assert told.value("worker_snapshot_bytes") == 3 * BLOCK_WORDS * 8


def test_a_missing_model_is_told_once_and_does_not_make_it_unready() -> None:
    told = Told()
    told.telling.recovered(recovered(model_missing="model m1 cannot be loaded"), 0.1, NOW)
    for _ in range(3):
        told.telling.stepped(replace(IDLE, model_missing="m1"), NOW)
    assert told.value("worker_model_missing_bool") == 1
    answer = told.readiness.answer()
    assert answer.ready
    assert answer.notes[0].startswith("model_missing: ")
    told.telling.stepped(IDLE, NOW)
    assert told.events() == ["worker started", "model missing", "in force", "model decides again"]
    assert told.value("worker_model_missing_bool") == 0
    assert told.readiness.answer().notes == ()


def test_being_fenced_is_told_as_such(tmp_path: Path) -> None:
    home, told = Home(tmp_path), Told()
    home.append(Generator(9).traffic(50))
    worker, _ = home.start()
    MemoryDecisions(home.commits)
    with pytest.raises(FencedError) as caught:
        worker.step()
    told.telling.failed(caught.value, NOW)
    told.telling.stopped(NOW, 0)
    line, last = told.lines()
    assert (line["event"], line["kind"]) == ("fenced by a later worker", "fenced")
    assert line["error"] == str(caught.value)
    assert last["event"] == "worker stopped"
    assert told.readiness.answer().reasons == ("failed",)


def test_every_kind_of_error_is_counted_by_its_name() -> None:
    kinds = {
        kind for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, AlcyonError) and kind is not AlcyonError
    } | {StoreError}  # fmt: skip
    told = Told()
    for kind in kinds:
        failure(told.telemetry, told.log, kind("wrong"), NOW)
    counts = {kind: told.value("run_failures_total", kind=kind) for kind in KINDS}
    assert counts.pop(OTHER) == 0
    assert min(counts.values()) == 1
    assert sum(counts.values()) == len(kinds)


def test_an_unexpected_error_tells_where_and_not_what() -> None:
    told = Told()
    try:
        int("card-secret")
    except ValueError as error:
        told.telling.failed(error, NOW)
    (line,) = told.lines()
    assert (line["kind"], line["error"]) == (OTHER, "ValueError")
    assert str(line["where"]).startswith("test_telling.py:")
    assert "secret" not in str(line)


def test_a_stop_is_two_lines() -> None:
    told = Told()
    told.telling.starting("0.1.0", NOW)
    told.telling.recovered(recovered(), 0.1, NOW)
    told.telling.stopping("SIGTERM", NOW)
    assert told.readiness.answer().phase is Phase.STOPPING
    told.telling.stopped(NOW, 77)
    assert told.events() == [
        "worker starting", "worker started", "worker stopping", "worker stopped",
    ]  # fmt: skip
