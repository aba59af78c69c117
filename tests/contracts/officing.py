"""What the suites of the office share: how its store is opened, who asks, and alerts to work on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text

from alcyon.domain.office.access import Caller, Role, operator
from alcyon.domain.office.cases import CaseLine, Raised, Raising
from alcyon.domain.office.searching import Line
from alcyon.io.office import Place, SqlOffice
from alcyon.io.office.terms import OfficeTerms
from tests.contracts.storing import server

START = 1_795_000_000_000
PASSWORD = "correct horse battery"
KINDS = ("sqlite", "postgres")
SHELL = operator("root")


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: int = START

    def __call__(self) -> int:
        """UTC ms."""
        return self.now


@dataclass
class Opened:
    """An office of a test's own, which may be opened any number of times."""

    place: Place
    clock: Clock = field(default_factory=Clock)
    offices: list[SqlOffice] = field(default_factory=list)

    def office(self, terms: OfficeTerms | None = None) -> SqlOffice:
        """One more, as another process would open it."""
        office = SqlOffice(self.place, terms, self.clock)
        self.offices.append(office)
        return office

    def tamper(self, *statements: str) -> None:
        """Change it behind everybody's back, as its owner: without the guards."""
        office = self.office()
        with office._database.noting() as connection:
            _unguard(connection)
            for statement in statements:
                connection.execute(text(statement))


def _unguard(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("ALTER TABLE audit DISABLE TRIGGER ALL"))
        return
    for verb in ("update", "delete"):
        connection.execute(text(f"DROP TRIGGER audit_has_no_{verb}"))


@contextmanager
def opened(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """An empty office in this kind of database."""
    if kind == "sqlite":
        made = Opened(Place(folder / "office.sqlite"))
        schema = None
    else:
        schema = f"office_{random.randrange(10**12)}"
        made = Opened(Place(dsn=server(request), schema=schema))
    try:
        yield made
    finally:
        for office in made.offices:
            with closing(office):
                pass
        if schema is not None:
            with psycopg.connect(server(request), autocommit=True) as connection:
                connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())


def person(name: str, role: Role = Role.ANALYST) -> Caller:
    """Somebody who signed in."""
    return Caller(name, role, name)


def raised(transaction_id: str, sequence: int = 1, loss: int = 100, **given: Any) -> Raised:
    """An alert."""
    values: dict[str, Any] = {
        "sequence": sequence, "transaction_id": transaction_id, "event_time": START,
        "action": "REVIEW", "score": 700, "reason": "velocity_card_1h", "reason_text": "4 payments",
        "amount_minor": 990, "currency": "EUR", "amount_base_minor": 990, "card_id": "c1",
        "merchant_id": "m1", "device_id": None, "country": "FR", "merchant_country": None,
        "category": None, "channel": None, "is_fraud": None,
    }  # fmt: skip
    return Raised(Line(**(values | given)), loss)


def open_cases(office: SqlOffice, *alerts: Raised) -> list[CaseLine]:
    """One more commit, with these alerts; all cases by loss."""
    office.open_cases(Raising(office.next_index() or 0, [b"\x01" * 32], alerts))
    return office.cases(None, None, None, 99).items
