"""Outages are told at both ends, floods once a second."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from alcyon.domain.errors import UnreachableError
from alcyon.runners.process.pacing import LINE_EVERY_MS, REASONS_MAX
from alcyon.telemetry.words import OTHER
from tests.runners.told import IDLE, NOW, Told, letters, recovered


def test_dead_letters_are_one_line_with_counts() -> None:
    told = Told()
    dead = letters("wrong_type", "missing_field", "wrong_type")
    told.telling.stepped(replace(IDLE, records=3, dead_letters=dead), NOW)
    line = told.lines()[-1]
    assert (line["event"], line["level"], line["count"]) == ("dead letters", "warning", 3)
    assert line["reasons"] == {"wrong_type": 2, "missing_field": 1}
    assert (line["first_sequence"], line["last_sequence"]) == (10, 12)


def test_a_flood_of_dead_letters_is_a_line_a_second_and_loses_none() -> None:
    told = Told()
    dead = letters(*["wrong_type"] * 40)
    flood = replace(IDLE, records=40, dead_letters=dead)
    for ms in range(0, 10_000, 7):
        told.telling.stepped(flood, NOW + ms)
    told.telling.stopped(NOW + 10_000, 1)
    lines = [line for line in told.lines() if line["event"] == "dead letters"]
    assert len(lines) <= 11
    steps = len(range(0, 10_000, 7))
    assert sum(int(str(line["count"])) for line in lines) == 40 * steps
    times = [str(line["time"]) for line in lines]
    assert all(a < b for a, b in pairwise(times))
    assert told.value("worker_dead_letters_total", reason="wrong_type") == 40 * steps


def test_what_a_flood_left_is_told_by_an_idle_step() -> None:
    told = Told()
    dirty = replace(IDLE, records=1, dead_letters=letters("wrong_type"))
    told.telling.stepped(dirty, NOW)
    told.telling.stepped(dirty, NOW + 1)
    told.lines()
    told.telling.stepped(IDLE, NOW + LINE_EVERY_MS - 1)
    assert told.events() == []
    told.telling.stepped(IDLE, NOW + LINE_EVERY_MS)
    assert told.events() == ["dead letters"]


def test_a_clock_set_back_does_not_silence_it() -> None:
    told = Told()
    dirty = replace(IDLE, records=1, dead_letters=letters("wrong_type"))
    told.telling.stepped(dirty, NOW)
    told.lines()
    told.telling.stepped(dirty, NOW - 3_600_000)
    assert told.events() == ["dead letters"]


def test_many_reasons_are_not_all_named() -> None:
    told = Told()
    dead = letters(*(f"column{i}_out_of_range" for i in range(500)))
    told.telling.stepped(replace(IDLE, records=500, dead_letters=dead), NOW)
    reasons = told.lines()[-1]["reasons"]
    assert isinstance(reasons, dict)
    assert len(reasons) == REASONS_MAX + 1
    assert reasons[OTHER] == 500 - REASONS_MAX
    assert told.value("worker_dead_letters_total", reason=OTHER) == 500


def test_controls_are_told_apart_from_dead_letters() -> None:
    told = Told()
    told.telling.stepped(replace(IDLE, records=2, controls=2), NOW)
    line = told.lines()[-1]
    assert (line["event"], line["reasons"]) == ("controls applied", {"applied": 2})
    dead = letters("control_refused", "invalid_control")
    told.telling.stepped(replace(IDLE, records=3, controls=1, dead_letters=dead), NOW + 1000)
    (line,) = told.lines()
    assert (line["event"], line["level"]) == ("controls, some refused", "warning")
    assert line["reasons"] == {"applied": 1, "control_refused": 1, "invalid_control": 1}
    assert "secret" not in str(line)
    assert told.value("worker_controls_total", outcome="applied") == 3
    assert told.value("worker_records_total", topic="control") == 5
    assert told.value("worker_records_total", topic="transactions") == 0


def test_an_outage_of_the_broker_is_two_lines() -> None:
    told = Told()
    told.telling.recovered(recovered(), 0.1, NOW)
    told.lines()
    for outage in range(2):
        for retry in range(50):
            told.telling.broker_away("10.0.0.1:9092 refused", NOW + outage * 90_000 + retry * 1000)
        assert told.value("broker_away_bool") == 1
        assert told.readiness.answer().reasons[0].startswith("broker_away: ")
        for _ in range(3):
            told.telling.broker_back(NOW + outage * 90_000 + 61_500)
        away, back = told.lines()
        assert (away["event"], away["why"]) == ("broker away", "10.0.0.1:9092 refused")
        assert (back["event"], back["away_s"]) == ("broker back", 61.5)
    assert told.value("broker_outages_total") == 2
    assert told.value("broker_away_bool") == 0
    assert told.readiness.answer().ready


def test_retries_of_an_outage_say_nothing() -> None:
    told = Told()
    told.telling.recovering(NOW)
    for retry in range(50):
        told.telling.broker_away("refused", NOW + retry)
        told.telling.recovering(NOW + retry)
    told.telling.broker_back(NOW + 60)
    told.telling.recovered(recovered(), 0.1, NOW + 60)
    assert told.events() == ["recovering", "broker away", "broker back", "worker started"]
    assert told.readiness.answer().ready


def test_what_a_flood_left_is_told_before_a_failure() -> None:
    told = Told()
    dirty = replace(IDLE, records=1, dead_letters=letters("wrong_type"))
    for _ in range(2):
        told.telling.stepped(dirty, NOW)
    told.lines()
    told.telling.failed(UnreachableError("gone"), NOW)
    assert told.events() == ["dead letters", "failed"]


def test_an_older_snapshot_out_of_reach_is_not_ready() -> None:
    told = Told()
    told.telling.recovered(recovered(), 0.1, NOW)
    told.lines()
    told.telling.kept(50, True, NOW)
    assert told.readiness.answer().ready
    for _ in range(2):
        told.telling.kept(49, False, NOW)
    (reason,) = told.readiness.answer().reasons
    assert reason.startswith("older_snapshot_out_of_reach: it stands at 49")
    told.telling.kept(60, True, NOW)
    assert told.readiness.answer().ready
    assert told.events() == ["older snapshot out of reach", "older snapshot within reach again"]
