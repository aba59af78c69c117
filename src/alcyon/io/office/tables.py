"""The office's tables, as they are now; the migrations say how they became so.

Times are UTC milliseconds; lists and objects are JSON text. `log` says whose decisions it is about,
see `database.Place`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

METADATA = MetaData()
_NUMBER = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where the type is INTEGER."""


def _text(name: str, *, is_null: bool = False, is_key: bool = False) -> Column[str]:
    return Column(name, Text, nullable=is_null, primary_key=is_key)


def _int(name: str, *, is_null: bool = False, is_key: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=is_null, primary_key=is_key, autoincrement=False)


KEYS = Table(
    "keys", METADATA,
    _text("key_id", is_key=True),
    Column("secret_hash", LargeBinary, nullable=False),
    _text("role"), _text("note"), _text("created_by"), _int("created_at"),
    _int("expires_at", is_null=True), _int("revoked_at", is_null=True),
    _int("last_used_at", is_null=True),
)  # fmt: skip
USERS = Table(
    "users", METADATA,
    _text("name", is_key=True), _text("role"), _text("password_hash"),
    _int("created_at"), _int("disabled_at", is_null=True),
)  # fmt: skip
SESSIONS = Table(
    "sessions", METADATA,
    Column("secret_hash", LargeBinary, primary_key=True),
    _text("name"), _int("created_at"), _int("used_at"),
    Index("sessions_by_name", "name"),
)  # fmt: skip
TRIES = Table(
    "tries", METADATA,
    _text("subject", is_key=True), _int("failed_count"), _int("last_at"),
)  # fmt: skip
"""Log-ins that failed, or have not ended yet: `name:…` and `address:…`."""
CASES = Table(
    "cases", METADATA,
    _text("case_id", is_key=True), _text("log"), _text("card_id"), _text("status"),
    _int("opened_at"), _int("due_at", is_null=True), _text("claimed_by", is_null=True),
    _int("closed_at", is_null=True), _text("finding", is_null=True),
    _text("resolution", is_null=True), _int("alert_count"), _int("expected_loss_base_minor"),
    Index(
        "one_open_case_per_card", "log", "card_id", unique=True,
        sqlite_where=text("status <> 'closed'"), postgresql_where=text("status <> 'closed'"),
    ),
    Index("cases_by_loss", "expected_loss_base_minor", "case_id"),
    Index("cases_due", "due_at"),
)  # fmt: skip
CASE_ALERTS = Table(
    "case_alerts", METADATA,
    _text("log", is_key=True), _text("transaction_id", is_key=True), _text("case_id"),
    _int("sequence"), _text("action"),
    _int("event_time"), _int("expected_loss_base_minor"), _text("line"),
    _text("resolution", is_null=True),
    Index("case_alerts_by_case", "case_id"),
)  # fmt: skip
"""An alert is in one case, for ever."""
CASE_EVENTS = Table(
    "case_events", METADATA,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    _text("case_id"), _int("at"), _text("by"), _text("what"), _text("detail"),
    Index("case_events_by_case", "case_id"),
)  # fmt: skip
PROPOSALS = Table(
    "proposals", METADATA,
    _text("proposal_id", is_key=True), _text("kind"), _text("change"), _text("base_version"),
    _text("by"), _int("at"), _text("why"), _text("status"), _text("decided_by", is_null=True),
    _int("decided_at", is_null=True), _text("diff"), _text("evidence", is_null=True),
    Index("proposals_by_time", "at"),
)  # fmt: skip
AUDIT = Table(
    "audit", METADATA,
    _int("number", is_key=True), _int("at"), _text("by"), _text("what"), _text("subject"),
    _text("detail"), _text("digest"),
)  # fmt: skip
AUDIT_HEAD = Table(
    "audit_head", METADATA,
    _int("place", is_key=True), _int("number"), _text("digest"),
)  # fmt: skip
"""One row: the newest entry. Every change locks it first, so changes come one after the other."""
OUTBOX = Table(
    "outbox", METADATA,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    _text("target"), _text("message_id"), _text("body"), _int("at"), _text("state"),
    _text("group_id", is_null=True), _int("attempts"), _int("due_at"),
    _text("problem", is_null=True),
    UniqueConstraint("target", "message_id", name="a_message_once_per_target"),
    Index("outbox_waiting", "target", "state", "due_at"),
)  # fmt: skip
"""state: waiting, done, dead."""
TARGETS = Table("targets", METADATA, _text("target", is_key=True), _int("next_at"))
"""When a target may be sent the next message."""
POSITIONS = Table("positions", METADATA, _text("log", is_key=True), _int("next_index"))
"""How far a decisions log was read."""
SEALS = Table(
    "seals", METADATA,
    _text("log", is_key=True), _int("commit_index", is_key=True),
    Column("digests", LargeBinary, nullable=False),
    _text("digest"),
)  # fmt: skip
"""A commit's decisions: SHA-256 of each, one after the other, and the chain's digest."""
