"""What is told of projections: what each waits for, and how far behind it is."""

from __future__ import annotations

from collections.abc import Callable

from alcyon.domain.errors import LogError, UnreachableError
from alcyon.domain.projected import StoreError
from alcyon.runners.process.status import Phase, Readiness
from alcyon.runners.projections.projection_telling import (
    STILL_S_MAX,
    BrokerTelling,
    ProjectionTelling,
)
from alcyon.telemetry.words import STORES
from tests.runners.filling import telling_of
from tests.runners.told import NOW, Told

STILL_MS = int(1000 * STILL_S_MAX)


def test_a_stores_outage_is_two_lines_and_no_reason() -> None:
    told = Told()
    told.readiness.become(Phase.RUNNING)
    store = telling_of("postgres", told)
    store.stored(3, 40, 3, NOW)
    for retry in range(20):
        store.store_away(StoreError("postgresql://me:hush@db refused"), NOW + retry * 1000)
    answer = told.readiness.answer()
    assert answer.ready
    assert answer.notes[0].startswith("postgres_away: ")
    assert told.value("projection_away_bool", store="postgres") == 1
    store.stored(0, 0, 3, NOW + 20_000)
    away, back = told.lines()
    assert (away["event"], away["store"], away["level"]) == ("store away", "postgres", "error")
    assert "hush" not in str(away)
    assert (back["event"], back["away_s"]) == ("store back", 20.0)
    assert told.value("projection_commits_total", store="postgres") == 3
    assert told.value("projection_rows_total", store="postgres") == 40
    assert told.value("projection_outages_total", store="postgres") == 1
    sample = told.telemetry.registry.get_sample_value
    others = [sample("alcyon_projection_rows_total", {"store": s}) for s in STORES[2:]]
    assert others == [None, None], "of a store that another process fills nothing is told"
    assert told.value("projection_away_bool", store="postgres") == 0
    assert told.readiness.answer().notes == ()


def test_a_brokers_outage_is_no_outage_of_a_store_and_told_once_for_all() -> None:
    told = Told()
    told.readiness.become(Phase.RUNNING)
    of = told.telemetry, told.log, told.readiness
    broker = BrokerTelling(*of)
    postgres, redis = (ProjectionTelling(name, *of, broker, name) for name in ("postgres", "redis"))
    for retry in range(3):
        postgres.broker_away(UnreachableError("look at kafka.bootstrap"), NOW + retry)
        redis.broker_away(UnreachableError("look at kafka.bootstrap"), NOW + retry)
    assert [note.partition(":")[0] for note in told.readiness.answer().notes] == ["broker_away"]
    postgres.stored(0, 0, 0, NOW + 400)
    assert told.value("broker_away_bool") == 1
    redis.stored(0, 0, 0, NOW + 500)
    assert told.events() == ["broker away", "broker back"]
    assert (told.value("broker_away_bool"), told.value("broker_outages_total")) == (0, 1)
    assert told.value("projection_outages_total", store="postgres") == 0
    assert told.readiness.answer().notes == ()


def test_how_far_behind_it_is_is_told_without_it() -> None:
    told = Told()
    telling = telling_of("redis", told)
    telling.behind(7, NOW)
    assert told.value("projection_lag_commits", store="redis") == 7
    telling.stored(5, 5, 5, NOW)
    telling.behind(8, NOW)
    assert told.value("projection_lag_commits", store="redis") == 3
    telling.stored(4, 4, 9, NOW)
    telling.behind(8, NOW)  # asked before the last one came
    assert told.value("projection_lag_commits", store="redis") == 0


def test_standing_still_before_commits_is_told_until_it_goes_on() -> None:
    told = Told()
    telling = telling_of("redis", told)
    telling.stored(5, 5, 5, NOW)
    telling.behind(5, NOW + STILL_MS)  # at the end it may stand for ever
    for at in range(0, 3 * STILL_MS, 2000):
        telling.stored(0, 0, 5, NOW + STILL_MS + at)  # its steps go well, and do nothing
        telling.behind(6, NOW + STILL_MS + at)
    (line,) = told.lines()
    assert (line["event"], line["store"], line["level"]) == ("projection halted", "redis", "error")
    assert "1 commits from 5 on" in str(line["why"])
    assert told.value("projection_halted_bool", store="redis") == 1
    assert told.value("projection_failures_total", store="redis") == 1
    assert [n.partition(":")[0] for n in told.readiness.answer().notes] == ["redis_halted"]
    telling.stored(1, 1, 6, NOW + 5 * STILL_MS)
    assert told.events() == ["projection goes on"]
    assert told.value("projection_halted_bool", store="redis") == 0
    assert told.readiness.answer().notes == ()


def test_one_that_never_says_a_word_is_told_too() -> None:
    told = Told()
    telling = telling_of("sqlite", told)
    for at in range(0, STILL_MS + 2000, 2000):
        telling.behind(1, NOW + at)
    assert told.events() == ["projection halted"]


def test_one_that_goes_on_slowly_or_says_what_it_waits_for_has_not_halted() -> None:
    told = Told()
    telling = telling_of("postgres", told)
    telling.behind(1000, NOW)
    for index in range(9):
        at = NOW + index * (STILL_MS - 1)
        telling.stored(1, 1, index, at)
        telling.behind(1000, at + STILL_MS - 2)
    end = NOW + 9 * STILL_MS
    for at in range(0, 2 * STILL_MS, 1000):
        telling.store_away(StoreError("away"), end + at)
        telling.behind(1000, end + at)
    assert told.events() == ["store away"]
    telling.behind(1000, end + 4 * STILL_MS)  # it hangs in what it waits for
    assert told.events() == ["projection halted"]


def test_a_log_that_cannot_be_gone_on_with_is_told_at_once() -> None:
    told = Told()
    telling = telling_of("redis", told)
    telling.stored(0, 0, 3, NOW)
    for retry in range(3):
        telling.halted(LogError("it is of another decisions log"), NOW + retry)
    (line,) = told.lines()
    assert (line["event"], line["why"]) == ("projection halted", "it is of another decisions log")
    telling.stored(0, 0, 3, NOW + 9)
    telling.behind(3, NOW + 10)
    assert told.events() == ["projection goes on"]


def test_projections_beat_in_an_outage_too() -> None:
    told, at = Told(), [0.0]
    readiness = Readiness(5.0, ("store", "read model"), monotonic_s=lambda: at[0])
    readiness.become(Phase.RUNNING)
    told.readiness = readiness
    store, model = telling_of("sqlite", told, "store"), telling_of("redis", told, "read model")
    steps: list[Callable[[ProjectionTelling], None]] = [
        lambda telling: telling.stored(0, 0, 0, NOW),
        lambda telling: telling.store_away(StoreError("wrong"), NOW),
        lambda telling: telling.broker_away(UnreachableError("wrong"), NOW),
        lambda telling: telling.halted(LogError("wrong"), NOW),
    ]
    for tell in steps:
        at[0] += 61
        assert readiness.silent() == ("store", "read model")
        tell(store)
        assert readiness.silent() == ("read model",)
        tell(model)
        assert readiness.silent() == ()
