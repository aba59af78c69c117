"""`alcyon serve` as a process: the API, the console, the worker, the store and the office."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import msgspec

from alcyon.cli.opening.duties import DUTIES
from alcyon.cli.opening.offices import office, shell
from alcyon.domain.office.access import Caller, Role
from alcyon.settings import Settings, load_settings
from services.process import started
from tests.cli.run_process import child_of, until
from tests.contracts.officing import PASSWORD

PATIENT_MS = 60_000
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


@dataclass
class Whole:
    """What a test holds. Clients are closed with it."""

    home: Path
    process: subprocess.Popen[str]
    told: list[str] = field(default_factory=list)
    clients: list[httpx2.Client] = field(default_factory=list)
    status_port: int = 0

    @property
    def settings(self) -> Settings:
        """As the process has them, but for ports."""
        return load_settings(home=self.home)

    @property
    def address(self) -> str:
        """Where it listens, once it does."""
        until(lambda: self._found() is not None or self.process.poll() is not None)
        found = self._found()
        assert found is not None, self.told
        return found

    def _found(self) -> str | None:
        return next((m[0] for line in self.told if (m := _ADDRESS.search(line))), None)

    def add(self, name: str, role: Role) -> None:
        """An account, as `alcyon users add` makes it."""
        with closing(office(self.settings)) as kept:
            kept.add_user(shell(), name, PASSWORD, role)

    def person(self, name: str, role: Role) -> httpx2.Client:
        """Somebody with an account, signed in."""
        self.add(name, role)
        client = self.client({})
        answered = client.post("/v1/session", json={"name": name, "password": PASSWORD})
        assert answered.status_code == 200, answered.text
        return client

    def program(self, role: Role, of: str | None = None) -> httpx2.Client:
        """A program with a key; of: whose it is, the operator's otherwise."""
        return self.client({"X-API-Key": self.key(role, of)})

    def key(self, role: Role, of: str | None = None) -> str:
        """A key, as `alcyon keys create` makes it."""
        by = shell() if of is None else Caller(of, Role.ADMIN, of)
        with closing(office(self.settings)) as kept:
            return kept.create_key(by, role, "", None)[0]

    def client(self, headers: dict[str, str]) -> httpx2.Client:
        """A stranger with these headers."""
        made = httpx2.Client(base_url=self.address, headers=headers, timeout=90)
        self.clients.append(made)
        return made

    def stop(self) -> None:
        """SIGTERM, and wait: nothing of it goes on."""
        duties = child_of(self.process.pid, DUTIES)
        self.process.terminate()
        self.process.wait(60)
        assert duties is None or started(duties) is None


@contextmanager
def whole(home: Path, model: Path | None = None, **environment: object) -> Iterator[Whole]:
    """Serve it meanwhile. environment: settings as variables without ALCYON_."""
    named = {
        "HOME": home, "STATUS__PORT": 0, "SERVE__DECISION_TIMEOUT_MS": PATIENT_MS,
        "LOG__FSYNC": "never", **environment,
    }  # fmt: skip
    command = [sys.executable, "-m", "alcyon.cli", "serve", "--port", "0", "--no-browser"]
    command += [] if model is None else ["--model", str(model)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=environment_of({f"ALCYON_{name}": str(value) for name, value in named.items()}),
    )  # fmt: skip
    made = Whole(home, process)
    assert process.stdout is not None
    reader = Thread(target=lambda: made.told.extend(process.stdout or ()), daemon=True)
    reader.start()
    try:
        yield made
    finally:
        for client in made.clients:
            client.close()
        made.stop()
        reader.join(10)


def environment_of(named: dict[str, str]) -> dict[str, str]:
    """Ours without what others set for Alcyon, with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ALCYON_")}
    return kept | named


def payment(name: str, **given: Any) -> dict[str, Any]:
    """A plain payment of now."""
    return {
        "transaction_id": name, "event_time": round(time.time() * 1000), "amount_minor": 4_200,
        "currency": "EUR", "card_id": f"c-{name}", "merchant_id": "m1", "country": "FR",
    } | given  # fmt: skip


def decided(client: httpx2.Client, *payments: dict[str, Any]) -> list[dict[str, Any]]:
    """What the log decided on them."""
    answered = client.post("/v1/decisions", content=msgspec.json.encode(payments))
    assert answered.status_code == 200, answered.text
    answers: list[dict[str, Any]] = answered.json()
    assert not any(one["is_provisional"] for one in answers)
    return answers


def burst(card: str) -> list[dict[str, Any]]:
    """Small payments in a row, the last of which are taken for card testing and declined."""
    return [payment(f"{card}-{i}", card_id=card, amount_minor=100) for i in range(6)]


def stored(client: httpx2.Client, path: str) -> Any:
    """What the store says there, once it knows it."""
    until(lambda: client.get(path).status_code == 200)
    return client.get(path).json()
