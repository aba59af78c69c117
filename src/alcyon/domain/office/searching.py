"""Searching: decisions and entities as they are found and shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

EntityKind = Literal["card", "account", "customer", "merchant", "device", "counterparty"]
ENTITY_COLUMNS = {
    "card": "card_id",
    "account": "account_id",
    "customer": "customer_id",
    "merchant": "merchant_id",
    "device": "device_id",
    "counterparty": "counterparty_id",
}
"""Kind of entity to transaction column."""


@dataclass(frozen=True)
class Filter:
    """Which decisions; what is None does not matter."""

    entity_kind: EntityKind | None = None
    entity_id: str | None = None
    first_ms: int | None = None
    """Event time, inclusive."""
    last_ms: int | None = None
    """Event time, inclusive."""
    actions: tuple[str, ...] = ()
    """Any of these; empty: all."""
    score_min: int | None = None
    score_max: int | None = None
    reason: str | None = None
    """The one shown, or any reason code of the decision."""
    rule: str | None = None
    """Id of a live rule that fired."""
    country: str | None = None
    text: str | None = None
    """Begins a transaction_id, card, merchant or device."""


@dataclass(frozen=True)
class Line:
    """A decision in a list."""

    sequence: int
    transaction_id: str
    event_time: int
    action: str
    score: int | None
    reason: str
    """The one code to show."""
    reason_text: str
    amount_minor: int
    currency: str
    amount_base_minor: int | None
    card_id: str | None
    merchant_id: str | None
    device_id: str | None
    country: str | None
    merchant_country: str | None
    category: str | None
    channel: str | None
    is_fraud: bool | None
    """What the newest label says; None: none does."""


@dataclass(frozen=True)
class Page:
    """Some of what was found, the newest first."""

    items: list[Line]
    next: str | None
    """Give it back as `cursor` for what follows; None: that was all."""


@dataclass(frozen=True)
class ReasonShown:
    """One part of the score's log-odds, in words."""

    code: str
    text: str
    feature: str | None
    value: float | None
    log_odds: float


@dataclass(frozen=True)
class LabelShown:
    """A label as it was applied."""

    label_id: str
    transaction_id: str
    is_fraud: bool
    fraud_type: str | None
    loss_minor: int | None
    source: str
    author: str | None
    labelled_at: int


@dataclass(frozen=True)
class DecisionShown:
    """A decision with everything that is recorded of it."""

    line: Line
    probability_ppm: int | None
    members: dict[str, float]
    codes: list[str]
    rule_hits: list[str]
    shadow_hits: list[str]
    reasons: list[ReasonShown]
    """They add up to the score's log-odds."""
    features: dict[str, float | None]
    """As scored, by name; empty where the catalog that made them is not at hand."""
    versions: dict[str, str]
    challenger: dict[str, int] | None
    propensity_ppm: int
    transaction: dict[str, Any]
    """Its canonical columns, without those that are null."""
    labels: list[LabelShown]
    answered: dict[str, Any] | None = None
    """The provisional answer that the caller got before this decision, where there was one."""


@dataclass(frozen=True)
class Linked:
    """Another entity that took part in the same transactions."""

    kind: EntityKind
    id: str
    transaction_count: int
    not_approved_count: int
    fraud_count: int
    """Transactions whose newest label says fraud."""
    last_at: int
    shared_cards: int = 0
    """Other cards that this one was used with."""


@dataclass(frozen=True)
class Habit:
    """What is usual for an entity, from the transactions of 30 days before its newest day."""

    transaction_count: int
    per_day: float
    amount_base_minor_median: int | None
    countries: list[str]
    """The most frequent first, at most 5; merchants' where there is one."""
    merchants: list[str]
    devices: list[str]
    categories: list[str]


@dataclass(frozen=True)
class EntityShown:
    """An entity: how risky now, what is usual, what it did, and with whom."""

    kind: EntityKind
    id: str
    risk: Literal["high", "raised", "low"]
    """high: a fraud label or a decline in its last 30 days; raised: a review; else low."""
    score_max: int | None
    transaction_count: int
    not_approved_count: int
    fraud_count: int
    habit: Habit
    today: Habit
    """Of its newest day (24 h up to its newest transaction)."""
    features: dict[str, float | None]
    """As scored with its newest transaction (cards only)."""
    history: list[Line]
    """The newest first, at most 200."""
    linked: list[Linked]
    labels: list[LabelShown]
    features_at: int | None = None


@dataclass(frozen=True)
class AlertLine:
    """A decision that wants a human, in the queue."""

    line: Line
    status: Literal["open", "claimed", "closed"]
    """That of its case; open where it has none."""
    case_id: str | None
    expected_loss_base_minor: int
    """Probability of fraud times amount in the base currency; the queue's order."""


@dataclass(frozen=True)
class AlertPage:
    """The queue."""

    items: list[AlertLine]
    next: str | None
    total_count: int
    """Open alerts in all that the filter finds, at most 10,000 counted."""
    total_base_minor: int
    """What they amount to."""


@dataclass(frozen=True)
class Trend:
    """One step of time."""

    at: int
    """Its beginning."""
    approve: int = 0
    step_up: int = 0
    review: int = 0
    decline: int = 0
    stopped_base_minor: int = 0
    """Amount of what was not approved."""
    amount_base_minor: int = 0


@dataclass(frozen=True)
class Share:
    """Decisions that share a word: a country, a category, a reason, a model."""

    word: str
    decision_count: int
    not_approved_count: int
    amount_base_minor: int
    stopped_base_minor: int
    fraud_count: int | None = None
    """Transactions whose newest label says fraud, as far as the newest 10,000 labels tell; None
    for what is not counted so."""


@dataclass(frozen=True)
class TopEntity:
    """An entity with much that was not approved."""

    kind: EntityKind
    id: str
    decision_count: int
    """Of the decisions that were not approved."""
    stopped_base_minor: int
    score_max: int | None
    last_at: int


@dataclass(frozen=True)
class Statistics:
    """From the hourly roll-ups; entities from the decisions that were not approved."""

    first_ms: int
    last_ms: int
    trend: list[Trend]
    countries: list[Share]
    categories: list[Share]
    reasons: list[Share]
    models: list[Share]
    top_cards: list[TopEntity] = field(default_factory=list)
    top_merchants: list[TopEntity] = field(default_factory=list)
    top_devices: list[TopEntity] = field(default_factory=list)


@dataclass(frozen=True)
class DeadLetterShown:
    """A record that was refused; card numbers in it were masked before it was kept."""

    sequence: int
    topic: str
    reason: str
    detail: str
    payload: str
    """As text; bytes that are none are escaped."""
