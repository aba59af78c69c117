"""The app: Streamlit runs this file for each page view. It reads the projection's store.

`STORE` in the environment says which: a path is a SQLite file, all else names a Postgres database.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import streamlit as st

from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.errors import AlcyonError
from alcyon.domain.office.searching import (
    EntityKind,
    Filter,
    Share,
    Statistics,
    TopEntity,
    Trend,
)
from alcyon.io.searching import StoreSearcher, postgres, sqlite

STORE = "ALCYON_ANALYTICS_STORE"
DAY_MS = 86_400_000
PERIODS = {"24 hours": 1, "7 days": 7, "30 days": 30, "90 days": 90}
KEPT_S = 30  # an answer is shown again for so long; a bare string here would be shown, too
ACCENT = "#d64550"
_COLOURS = {"declined": "#d64550", "review": "#e8a33d", "step up": "#4c8bf5"}


@st.cache_resource
def searcher(store: str) -> StoreSearcher:
    """The store's, one for all who look."""
    return StoreSearcher(postgres(store) if "://" in store or "=" in store else sqlite(Path(store)))


@st.cache_data(ttl=KEPT_S, show_spinner=False)
def newest_ms(store: str) -> int | None:
    """Event time of the newest decision: traffic may be a file's, from long ago."""
    items = searcher(store).search(Filter(), None, 1).items
    return items[0].event_time if items else None


@st.cache_data(ttl=KEPT_S, show_spinner="Adding up …")
def statistics(store: str, first_ms: int, last_ms: int) -> Statistics:
    """Of a span."""
    return searcher(store).statistics(first_ms, last_ms)


@st.cache_data(ttl=KEPT_S, show_spinner=False)
def risk(store: str, kind: EntityKind, entity_id: str) -> tuple[str, int]:
    """(how risky now, frauds that are known)."""
    found = searcher(store).entity(kind, entity_id)
    return ("low", 0) if found is None else (found.risk, found.fraud_count)


def main() -> None:
    """The whole page."""
    st.set_page_config("Alcyon analytics", ":material/query_stats:", layout="wide")
    st.title("Where fraud is")
    store = os.environ.get(STORE, "")
    try:
        newest = newest_ms(store)
        if newest is None:
            st.info("No decision is stored yet. Start `alcyon run` or `alcyon demo`, then reload.")
            return
        chosen = st.segmented_control("Period", list(PERIODS), default="7 days", key="period")
        days = PERIODS[chosen or "7 days"]
        show(store, statistics(store, newest - days * DAY_MS, newest))
    except AlcyonError as error:
        st.error(f"{error}. Is `alcyon run` or `alcyon demo` running against this store?")


def show(store: str, found: Statistics) -> None:
    """Figures, then one tab per question."""
    st.caption(f"{moment(found.first_ms)} to {moment(found.last_ms)}, UTC, by event time")
    figures(found)
    overview, countries, cards, merchants, devices = st.tabs(
        ["Trends", "Countries", "Cards", "Merchants", "Devices"]
    )
    with overview:
        trends(found.trend)
    with countries:
        shares("Country", found.countries)
    for tab, kind, tops in (
        (cards, "card", found.top_cards),
        (merchants, "merchant", found.top_merchants),
        (devices, "device", found.top_devices),
    ):
        with tab:
            entities(store, kind, tops)  # type: ignore[arg-type]


def figures(found: Statistics) -> None:
    """What matters most, in four numbers."""
    decided = sum(t.approve + t.step_up + t.review + t.decline for t in found.trend)
    stopped = sum(t.step_up + t.review + t.decline for t in found.trend)
    frauds = sum(share.fraud_count or 0 for share in found.countries)
    columns = st.columns(4)
    columns[0].metric("Decisions", f"{decided:,}")
    columns[1].metric("Not approved", f"{stopped / max(decided, 1):.2%}")
    columns[2].metric(
        f"Stopped, {DEFAULT_RATES.base}",
        f"{major(sum(t.stopped_base_minor for t in found.trend)):,.0f}",
    )
    columns[3].metric("Confirmed frauds", f"{frauds:,}", help="Labels come late: days to weeks.")


def trends(trend: Sequence[Trend]) -> None:
    """What was not approved, and what it amounted to, over time."""
    at: list[Any] = [datetime.fromtimestamp(t.at / 1000, UTC) for t in trend]
    if len(at) > 1 and at[1] - at[0] >= timedelta(days=1):
        at = [f"{day:%Y-%m-%d}" for day in at]  # as words: bars of full width
    st.subheader("Not approved", divider="gray")
    counts = {
        "time": at, "declined": [t.decline for t in trend], "review": [t.review for t in trend],
        "step up": [t.step_up for t in trend],
    }  # fmt: skip
    st.bar_chart(
        counts, x="time", y=list(_COLOURS), color=list(_COLOURS.values()), y_label="decisions"
    )
    left, right = st.columns(2)
    left.subheader(f"Stopped, {DEFAULT_RATES.base}", divider="gray")
    stopped = {"time": at, "stopped": [major(t.stopped_base_minor) for t in trend]}
    left.area_chart(stopped, x="time", y="stopped", y_label=DEFAULT_RATES.base, color=ACCENT)
    right.subheader("Share not approved", divider="gray")
    right.line_chart({"time": at, "%": [_percent(t) for t in trend]}, x="time", y="%", color=ACCENT)


def shares(word: str, found: Sequence[Share]) -> None:
    """Countries by what was stopped there."""
    if not found:
        st.info("Nothing was decided in this period.")
        return
    names = [share.word or "(none)" for share in found]
    parts = [share.not_approved_count / max(share.decision_count, 1) for share in found]
    left, right = st.columns(2)
    left.subheader(f"Stopped, {DEFAULT_RATES.base}", divider="gray")
    bars = {word: names[:15], "stopped": [major(s.stopped_base_minor) for s in found[:15]]}
    left.bar_chart(bars, x=word, y="stopped", horizontal=True, sort="-stopped", color=ACCENT)
    right.subheader("Fraud by country", divider="gray")
    right.dataframe(
        {
            word: names,
            "Decisions": [s.decision_count for s in found],
            "Not approved": parts,
            "Frauds": [s.fraud_count for s in found],
            "Stopped": [round(major(s.stopped_base_minor)) for s in found],
            "Paid in all": [round(major(s.amount_base_minor)) for s in found],
        },
        hide_index=True,
        column_config={
            "Not approved": _share(max(parts)),
            "Stopped": _money(), "Paid in all": _money(),
        },
    )  # fmt: skip


def entities(store: str, kind: EntityKind, tops: Sequence[TopEntity]) -> None:
    """The riskiest, and what is known of each."""
    if not tops:
        st.info(f"No {kind} had anything stopped in this period.")
        return
    known = [risk(store, kind, top.id) for top in tops]
    left, right = st.columns([2, 3])
    left.subheader(f"Stopped, {DEFAULT_RATES.base}", divider="gray")
    bars = {kind: [top.id for top in tops], "stopped": [major(t.stopped_base_minor) for t in tops]}
    left.bar_chart(bars, x=kind, y="stopped", horizontal=True, sort="-stopped", color=ACCENT)
    right.subheader(f"Top-risk {kind}s", divider="gray")
    right.dataframe(
        {
            kind.capitalize(): [top.id for top in tops],
            "Risk now": [name for name, _ in known],
            "Highest score": [top.score_max for top in tops],
            "Not approved": [top.decision_count for top in tops],
            "Frauds": [frauds for _, frauds in known],
            "Stopped": [round(major(top.stopped_base_minor)) for top in tops],
            "Last": [datetime.fromtimestamp(top.last_at / 1000, UTC) for top in tops],
        },
        hide_index=True,
        column_config={
            "Highest score": st.column_config.ProgressColumn(
                format="%d", width="small", min_value=0, max_value=1000
            ),
            "Stopped": _money(),
            "Last": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
        },
    )
    right.caption("Risk now: high after a decline or a confirmed fraud within 30 days.")


def major(minor: int) -> float:
    """Of the base currency, which has two decimals."""
    return minor / 100


def moment(at_ms: int) -> str:
    """To the minute."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M}"


def _percent(trend: Trend) -> float | None:
    stopped = trend.step_up + trend.review + trend.decline
    decided = stopped + trend.approve
    return 100 * stopped / decided if decided else None


def _money() -> Any:
    return st.column_config.NumberColumn(format="localized")


def _share(most: float) -> Any:
    return st.column_config.ProgressColumn(
        format="percent", width="small", min_value=0, max_value=max(most, 1e-9)
    )


if __name__ == "__main__":
    main()
