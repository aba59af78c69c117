"""What is delivered arrives, whatever stops us; real receivers, a real store."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from alcyon.domain.errors import AlcyonError, LogError
from alcyon.domain.office.delivery import (
    LABELS,
    LEASE_MS,
    MAIL,
    RESOLUTIONS,
    SLACK,
    WEBHOOK,
    Message,
    Parcel,
)
from alcyon.domain.record import Topic
from alcyon.io.calling import client
from alcyon.io.hosts import Outside
from alcyon.io.kafka import KafkaResolutions
from alcyon.io.kafka.partition import PartitionReader, values
from alcyon.io.log import EmbeddedIntake, EmbeddedResolutions, EmbeddedSource
from alcyon.io.log.resolutions import resolutions
from alcyon.io.mail import MailChannel, Relay
from alcyon.io.office import Place, SqlOffice
from alcyon.io.office.terms import OfficeTerms
from alcyon.io.webhooks import SlackChannel, WebhookChannel, secret_bytes
from alcyon.runners.serving.delivering import Appending, Delivering, Moving, retry_ms
from alcyon.runners.serving.delivery_telling import DeliveryTelling
from tests.contracts.officing import Clock, open_cases, person, raised
from tests.kafka import Broker
from tests.receiving import MailBox, Receiver, mail_box, receiver
from tests.runners.told import Told

ADA = person("ada")
KEY = b"k" * 32
ALL = OfficeTerms(alert_targets=(SLACK, WEBHOOK, MAIL), resolution_targets=(RESOLUTIONS, WEBHOOK))
HOSTILE = "\u202e<!channel> `x` *b* https://evil.example/?a=1&b=2\r\nBcc: x@evil.example <b>"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def office(tmp_path: Path, clock: Clock) -> Iterator[SqlOffice]:
    with closing(SqlOffice(Place(tmp_path / "office.sqlite"), ALL, clock)) as made:
        yield made


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def box() -> Iterator[MailBox]:
    with mail_box() as made:
        yield made


@pytest.fixture
def caller() -> Iterator[httpx2.Client]:
    with client(Outside(("127.0.0.1", "localhost"), may_be_private=True)) as made:
        yield made


def slack(caller: httpx2.Client, url: str, window_ms: int = 0) -> SlackChannel:
    return SlackChannel(caller, f"{url}/services/T/B/x", window_ms, 3)


def test_alerts_go_to_slack_together_and_what_a_merchant_writes_does_nothing_there(
    office: SqlOffice, hook: Receiver, caller: httpx2.Client
) -> None:
    alerts = [raised(f"t{i}", i, 10 * i, card_id=f"c{i}") for i in range(1, 14)]
    open_cases(office, *alerts, raised("t99", 99, 9999, merchant_id=HOSTILE))
    assert Delivering(office.outbox, [slack(caller, hook.url)]).step() == 1
    (posted,) = hook.posted
    text = msgspec.json.decode(posted.body)["text"]
    lines = text.splitlines()
    assert lines[0] == "*14 alerts: 14 REVIEW*"
    assert lines[-1] == "and 4 more"
    assert "transaction t99" in lines[1], "the largest expected loss comes first"
    assert "9.90 EUR" in lines[1]
    assert len(lines) == 12
    for bad in ("<!channel>", "<b>", "`x`", "\u202e"):
        assert bad not in text
    outside_code = "".join(lines[1].split("`")[::2])
    assert "evil" not in outside_code, "what is no code may become a link"


def test_a_webhook_is_signed_as_standard_webhooks_asks_for(
    office: SqlOffice, hook: Receiver, caller: httpx2.Client
) -> None:
    (case,) = open_cases(office, raised("t1"), raised("t2", 2))
    office.close_case(ADA, case.case_id, "genuine", "release", "")
    channel = WebhookChannel(caller, hook.url, KEY, 0, 3, clock=lambda: 1_795_000_000.9)
    assert Delivering(office.outbox, [channel]).step() == 1
    (posted,) = hook.posted
    identity, at = posted.headers["webhook-id"], posted.headers["webhook-timestamp"]
    signed = f"{identity}.{at}.".encode() + posted.body
    wanted = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert (at, posted.headers["webhook-signature"]) == ("1795000000", f"v1,{wanted}")
    messages = msgspec.json.decode(posted.body)["messages"]
    assert [m["type"] for m in messages] == ["alert.raised"] * 2 + ["review.resolved"] * 2
    assert messages[2]["resolution"] == "release"


def test_the_check_in_the_docs_takes_what_is_ours_and_nothing_else(
    hook: Receiver, caller: httpx2.Client
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "access.md").read_text()
    known: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], known)
    secret = f"whsec_{base64.b64encode(KEY).decode()}"
    channel = WebhookChannel(caller, hook.url, secret_bytes(secret), 0, 3)
    channel.send(Parcel("p", WEBHOOK, [Message("m", b'{"type":"review.resolved"}')], 1))
    (posted,) = hook.posted
    assert known["is_ours"](posted.headers, posted.body, secret)
    assert not known["is_ours"](posted.headers, posted.body + b" ", secret)
    old = posted.headers | {"webhook-timestamp": "1795000000"}
    assert not known["is_ours"](old, posted.body, secret)


def test_mail_is_plain_and_its_headers_are_ours(office: SqlOffice, box: MailBox) -> None:
    open_cases(office, raised("t1", merchant_id=HOSTILE, reason_text="caf\u00e9\u2026"))
    relay = Relay.of(f"smtp://127.0.0.1:{box.port}")
    channel = MailChannel(relay, "alcyon@example.org", ["ada@example.org", "b@example.org"], 0, 3)
    assert Delivering(office.outbox, [channel]).step() == 1
    (mail,) = box.mails
    assert mail["subject"] == "Alcyon: 1 alert: 1 REVIEW"
    assert mail["to"] == "ada@example.org, b@example.org"
    assert mail["bcc"] is None
    assert mail.get_content_type() == "text/plain"
    assert "caf\u00e9" in mail.get_content()
    assert len(mail.get_content().strip().splitlines()) == 1


def test_a_password_is_not_told_in_the_clear(box: MailBox) -> None:
    relay = Relay.of(f"smtp://ada:geheim@127.0.0.1:{box.port}")
    parcel = Parcel("p", MAIL, [], 1)
    with pytest.raises(AlcyonError, match="TLS") as failed:
        MailChannel(relay, "a@example.org", ["b@example.org"], 0, 3).send(parcel)
    assert "geheim" not in repr(relay) + str(failed.value)


def test_what_comes_within_a_window_is_one_message(
    office: SqlOffice, hook: Receiver, caller: httpx2.Client, clock: Clock
) -> None:
    delivering = Delivering(office.outbox, [slack(caller, hook.url, window_ms=60_000)])
    for i in range(1, 6):
        open_cases(office, raised(f"t{i}", i))
        delivering.step()
    assert len(hook.posted) == 1
    clock.now += 60_000
    delivering.step()
    texts = [msgspec.json.decode(p.body)["text"].splitlines()[0] for p in hook.posted]
    assert texts == ["*1 alert: 1 REVIEW*", "*4 alerts: 4 REVIEW*"]


def test_a_receiver_that_fails_is_tried_again_ever_later_then_given_up(
    office: SqlOffice, hook: Receiver, caller: httpx2.Client, clock: Clock
) -> None:
    told: list[tuple[int, str, bool]] = []
    delivering = Delivering(
        office.outbox,
        [WebhookChannel(caller, hook.url, KEY, 0, 3)],
        lambda parcel, error, is_dead: told.append((parcel.attempts, str(error), is_dead)),
    )
    open_cases(office, raised("t1"))
    hook.answers = [500, 429, 302, 500, 204]
    hook.location = "http://127.0.0.1:1/"
    for _ in range(3):
        delivering.step()
        delivering.step()
        clock.now += 3_600_000
    assert told == [
        (1, "127.0.0.1 answers 500", False),
        (2, "127.0.0.1 answers 429", False),
        (3, "127.0.0.1 answers 302", True),
    ]
    assert len({p.headers["webhook-id"] for p in hook.posted}) == 1
    open_cases(office, raised("t2", 2))
    delivering.step()
    clock.now += 3_600_000
    assert delivering.step() == 1
    assert office.outbox.counts()[WEBHOOK] == {"dead": 1, "done": 1}


def test_what_arrived_what_did_not_and_what_waits_is_counted(
    office: SqlOffice, hook: Receiver, caller: httpx2.Client, clock: Clock, tmp_path: Path
) -> None:
    told = Told()
    telling = DeliveryTelling(told.telemetry.delivery, told.log)

    def waiting() -> tuple[float, float]:
        telling.waiting(office.outbox.waiting(), clock.now)
        return told.value("delivery_outbox_messages"), told.value("delivery_oldest_seconds")

    assert waiting() == (0, 0)
    open_cases(office, raised("t1"), raised("t2", 2))
    clock.now += 5_000
    with closing(sqlite3.connect(tmp_path / "office.sqlite")) as read:
        (count,) = read.execute("SELECT count(*) FROM outbox WHERE state = 'waiting'").fetchone()
    assert waiting() == (count, 5)
    channel = WebhookChannel(caller, hook.url, KEY, 0, 2)
    delivering = Delivering(office.outbox, [channel], telling.failed, telling.arrived)
    hook.answers = [500, 500, 204]
    for _ in range(2):
        delivering.step()
        clock.now += 3_600_000
    open_cases(office, raised("t3", 3))
    delivering.step()
    outcomes = ("retried", "given_up", "delivered")
    counted = [told.value("delivery_messages_total", channel=WEBHOOK, outcome=o) for o in outcomes]
    assert counted == [2, 2, 1]
    assert told.value("delivery_messages_total", channel=SLACK, outcome="delivered") == 0
    assert [line["kind"] for line in told.lines()] == ["retried", "given_up"]
    assert office.outbox.counts()[WEBHOOK] == {"dead": 2, "done": 1}
    left = sum(of.get("waiting", 0) for of in office.outbox.counts().values())
    assert waiting()[0] == left > 0
    telling.away()
    assert math.isnan(told.value("delivery_outbox_messages"))


def test_waiting_doubles_up_to_an_hour() -> None:
    for attempts, longest in (
        (1, 2_000),
        (2, 4_000),
        (11, 2_048_000),
        (12, 3_600_000),
        (99, 3_600_000),
    ):
        waits = [retry_ms(attempts) for _ in range(200)]
        assert longest // 2 <= min(waits) <= max(waits) <= longest
        assert len(set(waits)) > 1


def test_labels_and_resolutions_reach_the_logs_once_each(office: SqlOffice, tmp_path: Path) -> None:
    alerts = raised("t1"), raised("t2", 2, action="DECLINE")
    (case,) = open_cases(office, *alerts)
    office.close_case(ADA, case.case_id, "fraud", "cancel", "")
    with (
        closing(EmbeddedIntake(tmp_path / "intake")) as intake,
        closing(EmbeddedResolutions(tmp_path / "resolutions")) as log,
    ):
        channels = [
            Appending(LABELS, lambda payloads: intake.append(Topic.LABELS, payloads)),
            Appending(RESOLUTIONS, log.append),
        ]
        delivering = Delivering(office.outbox, channels)
        assert (delivering.step(), delivering.step()) == (2, 0)
    with closing(EmbeddedSource(tmp_path / "intake")) as source:
        records = source.poll(99, 0)
    assert {r.topic for r in records} == {Topic.LABELS}
    assert [msgspec.json.decode(r.payload)["transaction_id"] for r in records] == ["t1", "t2"]
    (resolution,) = map(msgspec.json.decode, resolutions(tmp_path / "resolutions"))
    assert (resolution["transaction_id"], resolution["resolution"]) == ("t1", "cancel")


def test_the_worker_takes_the_labels_that_closing_writes(office: SqlOffice) -> None:
    from alcyon.codecs.json import LabelDecoder
    from alcyon.domain.token_keys import TokenKeys

    (case,) = open_cases(office, raised("t1"))
    office.close_case(ADA, case.case_id, "fraud", "cancel", "")
    parcel = office.outbox.take(LABELS, 0)
    assert parcel is not None
    decoded = LabelDecoder(TokenKeys(1, KEY)).decode([m.body for m in parcel.messages])
    assert len(decoded.batch) == 1


def test_a_log_that_refuses_is_tried_for_ever(office: SqlOffice, clock: Clock) -> None:
    (case,) = open_cases(office, raised("t1"))
    office.close_case(ADA, case.case_id, "fraud", "cancel", "")
    refusals, taken = [LogError("no room")] * 30, list[bytes]()

    def append(payloads: Sequence[bytes]) -> None:
        if refusals:
            raise refusals.pop()
        taken.extend(payloads)

    delivering = Delivering(office.outbox, [Appending(LABELS, append)])
    for _ in range(31):
        delivering.step()
        clock.now += 3_600_000
    assert len(taken) == 1


def test_resolutions_reach_their_topic_under_the_transactions_id(broker: Broker) -> None:
    topic = broker.names.resolutions
    with closing(KafkaResolutions(broker.connection, topic)) as log:
        log.append([b'{"transaction_id":"t1"}', b'{"transaction_id":"t2"}'])
    with closing(PartitionReader(broker.connection, topic)) as reader:
        reader.seek(0)
        messages = reader.all_of(2)
    assert [m.key() for m in messages] == [b"t1", b"t2"]
    assert len(list(values(messages))) == 2


def test_the_queue_has_the_last_status_of_each_and_is_told_again_where_it_is_behind(
    office: SqlOffice, clock: Clock
) -> None:
    (case,) = open_cases(office, raised("t1"), raised("t2", 2))
    office.claim(ADA, case.case_id)
    office.close_case(ADA, case.case_id, "genuine", "release", "")
    there, statuses = {"t1"}, dict[str, str]()

    def move(ids: Sequence[str], status: str) -> int:
        known = there & set(ids)
        statuses.update(dict.fromkeys(known, status))
        return len(known)

    delivering = Delivering(office.outbox, [Moving(move)])
    assert (delivering.step(), statuses) == (0, {"t1": "closed"})
    there.add("t2")
    clock.now += 3_600_000
    assert (delivering.step(), statuses) == (1, {"t1": "closed", "t2": "closed"})


KILLED = """
import os, signal, sys
from pathlib import Path
from typing import Any
from alcyon.domain.record import Topic
from alcyon.domain.office.delivery import LABELS
from alcyon.io.log import EmbeddedIntake
from alcyon.io.office import Place, SqlOffice
from alcyon.runners.serving.delivering import Appending, Delivering

folder, step, now = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
office = SqlOffice(Place(folder / "office.sqlite"), clock=lambda: now)
intake = EmbeddedIntake(folder / "intake")
die = lambda: os.kill(os.getpid(), signal.SIGKILL)

def append(payloads):
    if step == "before":
        die()
    intake.append(Topic.LABELS, payloads)
    if step == "after":
        die()

Delivering(office.outbox, [Appending(LABELS, append)]).step()
"""


@pytest.mark.parametrize("step", ["before", "after", "never"])
def test_a_kill_in_the_middle_loses_no_label_and_doubles_no_label_id(
    office: SqlOffice, clock: Clock, tmp_path: Path, step: str
) -> None:
    (case,) = open_cases(office, *[raised(f"t{i}", i) for i in range(1, 6)])
    office.close_case(ADA, case.case_id, "fraud", "cancel", "")
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    killed = subprocess.run([*command, step, str(clock.now)], check=False)
    assert killed.returncode == (0 if step == "never" else -signal.SIGKILL)
    subprocess.run([*command, "never", str(clock.now + LEASE_MS)], check=True)
    with closing(EmbeddedSource(tmp_path / "intake")) as source:
        labels = [msgspec.json.decode(r.payload) for r in source.poll(99, 0)]
    assert {label["transaction_id"] for label in labels} == {f"t{i}" for i in range(1, 6)}
    assert len({label["label_id"] for label in labels}) == 5
    assert len(labels) == (10 if step == "after" else 5)
    by_id = {label["label_id"]: label for label in labels}
    assert all(by_id[label["label_id"]] == label for label in labels), "a repeat is the same"


def test_a_parcel_is_shown_without_what_it_must_not_show() -> None:
    channel = SlackChannel(httpx2.Client(), "https://hooks.slack.com/services/secret", 0, 3)
    assert "secret" not in repr(channel)
