"""The desk: everything the API shows, collects and asks through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from alcyon.domain.office.access import Caller
from alcyon.domain.office.ports import Asking, Explaining, Office, Searcher
from alcyon.telemetry.metrics import Telemetry


class Feeds(Protocol):
    """What happens now, for whoever watches."""

    def subscribe(self, feed: str) -> Subscription:
        """feed: `decisions` (some, as `Line`), `alerts` (as `AlertLine`) or `statistics`."""
        ...

    def now(self) -> dict[str, Any]:
        """The newest statistics, as the feed `statistics` gives them once a second: rate,
        latency_ms {p50, p95, p99} or nulls, actions {APPROVE: n, …} of the last minute, today
        {decisions, not_approved, stopped_base_minor}, top_rules [{rule_id, hits}], top_merchants
        [TopEntity], countries [Share], at, base_currency."""
        ...

    def past(self) -> list[dict[str, Any]]:
        """at, rate, latency_ms and actions as `now` gave them in each second of the last five
        minutes, the oldest first."""
        ...


class Subscription(Protocol):
    """One watcher's bounded queue."""

    async def next(self) -> bytes:
        """The next message, as JSON. SlowError: the queue was full, cut it off."""
        ...

    def close(self) -> None: ...


class Controlling(Protocol):
    """Changes what decides, by control records; each is told to the audit log by the caller."""

    def in_force(self) -> dict[str, Any]:
        """{rules: {version, rules: [{id, name, when, action, reason_code, priority, status}]},
        rules_text, lists: {version, entries: [{name, column, value, expires_at}]}, policy,
        versions, names: what a condition may name, by kind}."""
        ...

    def look_again(self) -> None:
        """What was written until now, by whomever, is in force as far as `in_force` tells."""
        ...

    def validate(self, rules_text: str) -> list[dict[str, Any]]:
        """What is wrong, as {rule, line, column, problem}; empty: nothing."""
        ...

    def backtest(self, rules_text: str, rule_id: str, days: int) -> dict[str, Any]:
        """What a rule would have hit in the stored decisions: {hits, labelled, frauds,
        amount_base_minor, sample: [transaction_id], scanned}."""
        ...

    def prepared(self, kind: str, change: dict[str, Any]) -> dict[str, Any]:
        """A change as it may be kept and shown before it takes effect: checked, and card numbers
        in it replaced. InputError, ModelError: it is none that could be approved."""
        ...

    def apply(self, kind: str, change: dict[str, Any], by: Caller, why: str) -> dict[str, Any]:
        """Write the control record(s); what came of it. ModelError, InputError, ConflictError."""
        ...

    def learnt(self, alias: str, model: str) -> None:
        """Write the control record of a move that the learner began. ConflictError: it began none,
        or no standing approval covers it. ModelError: the worker would refuse the model."""
        ...

    def label(self, labels: list[dict[str, Any]], by: Caller) -> int:
        """Append labels to the log; how many. InputError names the first that is none."""
        ...

    def models(self) -> dict[str, Any]:
        """{champion, challenger, models: [Registered…], moves: [Move…], comparison, drift,
        drift_now}."""
        ...

    def evidence(self, kind: str, change: dict[str, Any]) -> dict[str, Any] | None:
        """What speaks for a promotion or a roll-back, by model."""
        ...


@dataclass(frozen=True)
class Desk:
    """What `create_app` is given."""

    asking: Asking
    searcher: Searcher
    office: Office
    explaining: Explaining
    feeds: Feeds
    controlling: Controlling
    system: Callable[[], dict[str, Any]]
    """{phase, ready, reasons, worker, projection, duties, stores, snapshot, versions, metrics…}."""
    telemetry: Telemetry
    """Whose metrics are shown, and counted by the API."""
    origins: tuple[str, ...]
    """Origins that a browser may come from, beside our own."""
    signs_in: Callable[[str], str | None] | None = None
    """Demo: the session of the local analyst for a request from this address; loopback only."""
    answered: Callable[[str], dict[str, Any] | None] = lambda transaction_id: None
    """The provisional answer that was given on a transaction, where there was one."""
