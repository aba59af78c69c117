"""What `alcyon serve` does beside answering, in a process of its own: killed, it loses and doubles
nothing, and is started again; it ends with the process that started it, killed or not (`Whole.stop`
sees to the other half)."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import pytest

from alcyon.cli.opening.duties import DUTIES, PORT_OFFSET
from alcyon.cli.opening.offices import OFFICE_FILE
from alcyon.domain.office.access import Role
from alcyon.io.log import EmbeddedCommits
from services.process import started
from services.server import free_ports
from tests.card_models import card_models
from tests.cli.run_process import child_of, until
from tests.cli.running import refused
from tests.receiving import Receiver, receiver
from tests.whole import Whole, burst, decided, whole

STATUS_PORTS = range(20_000, 21_000)


@contextmanager
def served(home: Path, hook: Receiver) -> Iterator[Whole]:
    """With status ports, and a webhook that is told at once."""
    first = free_ports(STATUS_PORTS, None)[0]
    given = {
        "STATUS__PORT": first, "DELIVERY__WEBHOOK_URL": hook.url, "DELIVERY__WINDOW_S": 0,
        "DELIVERY__WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "DELIVERY__HOSTS": '["127.0.0.1"]', "DELIVERY__MAY_BE_PRIVATE": "true",
    }  # fmt: skip
    with whole(home, card_models()[0], **given) as made:
        made.status_port = first
        yield made


def duties_of(served: Whole) -> int:
    """The process."""
    until(lambda: child_of(served.process.pid, DUTIES) is not None)
    found = child_of(served.process.pid, DUTIES)
    assert found is not None
    return found


def told(hook: Receiver) -> dict[str, list[str]]:
    """By the webhook's id the alerts that were told under it, at each try the same."""
    found: dict[str, list[str]] = {}
    for posted in list(hook.posted):
        messages = json.loads(posted.body)["messages"]
        alerts = [m["alert"]["transaction_id"] for m in messages]
        assert found.setdefault(posted.headers["webhook-id"], alerts) == alerts
    return found


def in_cases(home: Path) -> list[str]:
    """The alerts in cases of the office, in order."""
    with closing(sqlite3.connect(home / OFFICE_FILE)) as office:
        found = office.execute("SELECT transaction_id FROM case_alerts ORDER BY transaction_id")
        return [name for (name,) in found]


def raised(home: Path) -> list[str]:
    """The alerts of the decisions log, in order."""
    with closing(EmbeddedCommits(home / "decisions")) as commits:
        alerts = [alert for commit in commits.read(0, 10**6) for alert in commit.alerts]
    return sorted(json.loads(alert)["transaction_id"] for alert in alerts)


def let_leases_run_out(home: Path) -> None:
    """As after two minutes: what was being sent by whoever was killed may be sent again."""
    with closing(sqlite3.connect(home / OFFICE_FILE)) as office, office:
        office.execute("UPDATE outbox SET due_at = 0 WHERE state = 'waiting'")


def test_killed_while_it_tells_of_alerts_it_opens_each_case_once_and_tells_each_alert_once(
    home: Path,
) -> None:
    killed = list[int]()

    def kill_once() -> None:
        if not killed:
            killed.append(duties_of(api))
            os.kill(killed[0], signal.SIGKILL)

    cards = [f"c{i}" for i in range(12)]
    with receiver(kill_once) as hook, served(home, hook) as api:
        shop = api.program(Role.INGEST)
        decided(shop, *burst(cards[0]))
        until(lambda: bool(killed))  # it had told, and not noted that it had
        for card in cards[1:]:
            decided(shop, *burst(card))  # payments do not wait for it
        assert shop.get("/readyz").status_code == 200
        until(lambda: "duties: nobody answers" in shop.get("/readyz").text)

        until(lambda: duties_of(api) != killed[0])
        until(lambda: in_cases(home) == raised(home))
        let_leases_run_out(home)
        until(lambda: len({a for some in told(hook).values() for a in some}) == len(in_cases(home)))
        until(lambda: "duties" not in shop.get("/readyz").text)
        assert "alcyon_child_failures_total 1.0" in shop.get("/metrics").text
        own = httpx2.get(f"http://127.0.0.1:{api.status_port + PORT_OFFSET}/metrics").text
        assert 'alcyon_projection_rows_total{store="office"}' in own
        assert 'alcyon_delivery_messages_total{channel="webhook",outcome="delivered"}' in own
        last = duties_of(api)
        api.process.kill()
        until(lambda: started(last) is None)

    alerts = in_cases(home)
    assert alerts == raised(home)
    assert len(alerts) >= 2 * len(cards)
    assert Counter(a for some in told(hook).values() for a in some) == Counter(alerts)


def test_a_webhook_that_is_set_wrongly_is_told_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALCYON_DELIVERY__SLACK_URL", "https://evil.example/services/x")
    assert "delivery.hosts" in refused(capsys, "serve", "--no-browser", "--port", "0")
