"""The analytics app, run as Streamlit runs it, over a filled store of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from alcyon.analytics import app_file
from alcyon.analytics.app import STORE, major
from alcyon.io.postgres import PostgresStore
from alcyon.io.sqlite import SqliteStore
from tests.contracts.searched import DAY_MS, Paid, World
from tests.contracts.storing import empty_schema, server

WORLD = World(seed=8, n=400)
NEWEST_MS = max(p.decision.event_time for p in WORLD.paid)


@pytest.fixture(params=["sqlite", "postgres"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            name = str(tmp_path / "alcyon.sqlite")
            filled: SqliteStore | PostgresStore = SqliteStore(Path(name))
        else:
            name = stack.enter_context(empty_schema(server(request)))
            filled = PostgresStore(name)
        with closing(filled):
            for projected in WORLD.commits():
                filled.write(projected)
        monkeypatch.setenv(STORE, name)
        yield name


def run() -> AppTest:
    app = AppTest.from_file(str(app_file()), default_timeout=60).run()
    assert not app.exception
    return app


def within(days: int) -> list[Paid]:
    """Of the hours that the period touches."""
    begin = NEWEST_MS - days * DAY_MS
    begin -= begin % 3_600_000
    return [p for p in WORLD.paid if p.decision.event_time >= begin]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(("period", "days"), [("7 days", 7), ("30 days", 30)])
def test_figures_and_countries_are_those_of_the_store(period: str, days: int) -> None:
    app = run()
    app.button_group(key="period").set_value(period).run()
    assert not app.exception
    some = within(days)
    stopped = [p for p in some if p.decision.action != "APPROVE"]
    amounts = sum(p.columns["amount_base_minor"] or 0 for p in stopped)
    shown = {one.label: one.value for one in app.metric}
    assert shown["Decisions"] == f"{len(some):,}"
    assert shown["Not approved"] == f"{len(stopped) / len(some):.2%}"
    assert shown["Stopped, EUR"] == f"{major(amounts):,.0f}"
    assert shown["Confirmed frauds"] == str(sum(p.is_fraud or False for p in some))
    (countries,) = (d.value for d in app.dataframe if "Country" in d.value.columns)
    assert set(countries["Country"]) == {p.columns["country"] or "(none)" for p in some}
    assert countries["Decisions"].sum() == len(some)


@pytest.mark.usefixtures("store")
def test_the_riskiest_of_each_kind_are_named() -> None:
    tables = [d.value for d in run().dataframe]
    cards, merchants, devices = (
        next(t for t in tables if t.columns[0] == name) for name in ("Card", "Merchant", "Device")
    )
    assert "c1" in set(cards["Card"])
    assert "<img src=x onerror=alert(1)>" in set(merchants["Merchant"])
    assert set(cards["Risk now"]) <= {"high", "raised", "low"}
    assert list(devices["Stopped"]) == sorted(devices["Stopped"], reverse=True)


def test_an_empty_store_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SqliteStore(tmp_path / "empty").close()
    monkeypatch.setenv(STORE, str(tmp_path / "empty"))
    assert "alcyon run" in run().info[0].value


@pytest.mark.parametrize("name", ["none.sqlite", "postgresql://u:secret@127.0.0.1:1/x"])
def test_a_store_that_is_not_there_is_told_without_its_password(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(STORE, name)
    (error,) = run().error
    assert "cannot be asked" in error.value
    assert "secret" not in error.value
