"""The demo from setup to end: what it stores, how it goes on, what it says when something fails."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from alcyon.domain.control import CHAMPION
from alcyon.domain.errors import InputError, LogError
from alcyon.domain.moves import standing, winners
from alcyon.io.log import EmbeddedCommits, EmbeddedDecisions, EmbeddedSource
from alcyon.io.model_folder import FolderRegistry
from alcyon.runners.demo.opening import Wanted
from alcyon.runners.demo.place import DemoPlace, only_one
from alcyon.runners.demo.recipe import read_recipe
from alcyon.runners.demo.running import Running
from alcyon.runners.demo.sessions import read_sessions
from alcyon.runners.demo.view import View, Watching
from tests.runners.demoing import copied, opened, run_to

END = 3_000


def decisions(place: DemoPlace) -> list[bytes]:
    with closing(EmbeddedCommits(place.decisions)) as commits:
        found, index = [], 0
        while group := commits.read(index, 64):
            index += len(group)
            found += [decision for commit in group for decision in commit.decisions]
    return found


def records(place: DemoPlace) -> list[bytes]:
    with closing(EmbeddedSource(place.intake)) as source:
        found = []
        while polled := source.poll(4096, 0.0):
            found += [record.payload for record in polled]
    return found


def asked(place: DemoPlace, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(place.store)) as connection:
        return connection.execute(query).fetchall()


def live(place: DemoPlace, rate: float, seconds: float) -> View:
    demo = opened(place, Wanted(rate))
    try:
        with Running(demo) as running:
            running.start()
            with closing(Watching(demo, running)) as watching:
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    assert running.wait(0.05)
                    watching.look()
                running.end()
                return watching.look()
    finally:
        demo.close()


def test_the_outcome_is_what_the_store_holds(tmp_path: Path) -> None:
    place = copied(tmp_path)
    found = run_to(place, END)
    ((count, alerts),) = asked(place, "SELECT count(*), sum(action <> 'APPROVE') FROM decisions")
    assert (found.transactions, found.decisions, found.alerts) == (END, count, alerts)
    assert asked(place, "SELECT count(*) FROM transactions") == [(END,)]
    assert asked(place, "SELECT count(*) FROM alerts") == [(alerts,)]
    assert asked(place, "SELECT count(*) FROM dead_letters") == [(found.dead_letters,)] == [(0,)]
    stored = asked(place, "SELECT features, transaction_id FROM decisions ORDER BY sequence")
    assert len({i for _, i in stored}) == END
    features = stored[-1][0]
    assert isinstance(features, bytes)
    assert not np.isnan(np.frombuffer(features, "<f4")).all()
    ((frauds, minor),) = asked(
        place,
        "SELECT count(*), sum(amount_base_minor) FROM transactions WHERE transaction_id IN "
        "(SELECT transaction_id FROM labels WHERE is_fraud AND source = 'chargeback')",
    )
    assert isinstance(minor, int)
    assert isinstance(frauds, int)
    assert 0 < minor <= found.fraud_amount_minor


def test_two_runs_to_the_same_end_are_one(tmp_path: Path) -> None:
    one, two = copied(tmp_path / "one"), copied(tmp_path / "two")
    whole = run_to(one, END)
    run_to(two, 1_234, batch_max=64)
    parts = run_to(two, END, batch_max=1000)
    assert records(one) == records(two)
    assert decisions(one) == decisions(two)
    assert asked(one, "SELECT * FROM decisions ORDER BY sequence") == asked(
        two, "SELECT * FROM decisions ORDER BY sequence"
    )
    without = ("latency_ms", "transactions_per_second")
    names = [name for name in whole.__struct_fields__ if name not in without]
    assert [getattr(whole, n) for n in names] == [getattr(parts, n) for n in names]


def test_a_run_to_where_it_is_already_changes_nothing(tmp_path: Path) -> None:
    place = copied(tmp_path)
    first = run_to(place, 500)
    again = run_to(place, 500)
    assert (again.decisions, again.recall) == (first.decisions, first.recall)
    assert again.latency_ms is None


def test_live_traffic_keeps_to_the_rate_and_shows_alerts(tmp_path: Path) -> None:
    place = copied(tmp_path)
    view = live(place, 200.0, 4.0)
    assert 400 < view.figures.decisions < 1_100
    assert view.latency is not None
    assert view.undecided == 0
    assert view.warnings == []
    ((alerts,),) = asked(place, "SELECT count(*) FROM alerts")
    assert alerts == view.figures.alerts
    assert len(view.alerts) == min(8, view.figures.alerts)
    ((last,),) = asked(place, "SELECT max(event_time) FROM transactions")
    assert isinstance(last, int)
    assert abs(time.time() * 1000 - last) < 10_000


def test_live_traffic_behind_full_speed_is_not_late(tmp_path: Path) -> None:
    place = copied(tmp_path)
    run_to(place, END)  # five days of event time
    view = live(place, 100.0, 2.0)
    ((late,),) = asked(place, "SELECT count(*) FROM decisions WHERE codes LIKE '%late_%'")
    assert late == 0
    assert view.figures.decisions > END
    assert [s.transactions for s in read_sessions(place.sessions)] == [END, None]
    further = run_to(place, view.figures.decisions + 300)
    assert further.decisions == view.figures.decisions + 300
    assert further.recall is not None


def test_without_the_model_rules_and_the_fallback_decide_and_it_is_told(tmp_path: Path) -> None:
    place = copied(tmp_path)
    shutil.rmtree(place.models / "card-1")
    demo = opened(place, Wanted(None, 300))
    try:
        assert "card-1" in (demo.model_problem or "")
        with Running(demo) as running:
            running.start()
            while running.wait(0.1):
                pass
            running.end()
            assert "no model decides" in running.seen.warnings[0]
        assert demo.scoreboard.figures().actions.get("REVIEW", 0) > 250
    finally:
        demo.close()


def test_a_corrupt_newest_snapshot_is_told_and_the_one_before_is_used(tmp_path: Path) -> None:
    place = copied(tmp_path)
    run_to(place, 1_000)
    whole = run_to(copied(tmp_path / "other"), 2_000)
    newest = max(place.snapshots.iterdir())
    raw = bytearray(newest.read_bytes())
    raw[len(raw) // 2] ^= 1
    newest.write_bytes(raw)
    demo = opened(place, Wanted(None, 2_000))
    demo.close()
    assert [name for name, _ in demo.recovered.refused] == [newest.name]
    assert run_to(place, 2_000).alerts == whole.alerts


def test_without_any_snapshot_all_is_read_again_from_the_first(tmp_path: Path) -> None:
    place, other = copied(tmp_path), copied(tmp_path / "other")
    run_to(place, 600)
    shutil.rmtree(place.snapshots)
    run_to(place, 1_200)
    run_to(other, 1_200)
    assert decisions(place) == decisions(other)


def test_a_place_is_for_one_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with only_one(folder), pytest.raises(InputError, match="another demo"), only_one(folder):
        pass
    with only_one(folder):
        pass


def test_an_error_in_one_thread_ends_the_others(tmp_path: Path) -> None:
    place = copied(tmp_path)
    demo = opened(place, Wanted(100.0))

    def run() -> None:
        with Running(demo) as running:
            running.start()
            running.wait(0.5)
            with closing(EmbeddedDecisions(place.decisions)):  # fences the demo's worker
                while running.wait(0.2):
                    pass

    try:
        with pytest.raises(LogError, match="fenced"):
            run()
    finally:
        demo.close()


def test_a_setup_that_was_killed_on_the_way_is_made_again(tmp_path: Path) -> None:
    place = copied(tmp_path)  # its making found the draft of one that was killed
    assert not (place.folder / "half").exists()
    moves = FolderRegistry(place.models).moves(CHAMPION)
    assert standing(winners(moves)) == "card-1"
    assert read_recipe(place.recipe).seed == 3
