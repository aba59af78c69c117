"""What arrives while servers are killed: an open-loop producer with known ids, in its own process.

It reads words from its input: `around` sends label flips and a change of rules or lists, `stop`
ends it. In the end `sent.json` in its folder says what was acknowledged, by delivery reports.
"""

from __future__ import annotations

import heapq
import random
import sys
import time
from collections import Counter, deque
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import KafkaError, Message, Producer

from alcyon.detectors.loading import load_detector

DUPLICATES, DISORDER, POISON = 0.05, 0.05, 0.01
LATE_OF_DISORDER = 0.1
HOUR_MS = 3_600_000
TEMPLATES = 50_000
FLIPS = 30
"""Of transactions just sent, and as many of the history's, around each kill."""


class Plan(msgspec.Struct):
    """What the producer is told."""

    folder: str
    bootstrap: str
    history: str
    detector: str
    rate: float
    seed: int


class Sent(msgspec.Struct):
    """What the producer tells in the end."""

    transactions: list[int]
    """Numbers of the transactions that were acknowledged."""
    handed_over: int
    """Numbers below this were sent, acknowledged or not."""
    poison: list[bytes]
    """Payloads that were acknowledged and are no good."""
    acknowledged: dict[str, int]
    """All records, by topic."""
    failed: int
    behind_s_max: float
    """The longest that records were handed over after they were due."""
    late: int
    duplicates: int


def name_of(seed: int, number: int) -> str:
    """The id of a transaction."""
    return f"k{seed}-{number}"


class Templates:
    """Rows of the history without id and event time, so that live traffic meets its entities."""

    def __init__(self, history: Path, rng: random.Random) -> None:
        import pyarrow.parquet as pq

        table = pq.read_table(history)
        at = np.sort(np.array(rng.sample(range(len(table)), min(TEMPLATES, len(table)))))
        rows = table.take(at).to_pylist()
        self.ids = [row["transaction_id"] for row in rows]
        self.end = int(table["event_time"][-1].as_py().timestamp() * 1000)
        self.rows: list[tuple[bytes, str, int]] = []
        for row in rows:
            amount = row["amount_base_minor"]
            kept = {k: v for k, v in row.items() if v is not None and k not in _MADE}
            if row["currency"] != "EUR":
                kept["amount_base_minor"] = amount  # EUR is the base: filled in by the engine
            text = msgspec.json.encode(kept)
            self.rows.append((text[1:], row["card_id"], row["amount_minor"]))
        self.cards = [card for _, card, _ in self.rows]


_MADE = ("transaction_id", "event_time", "amount_minor", "amount_base_minor")


class Traffic:
    """Makes and sends records; `run` until told to stop."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.rng = plan, random.Random(plan.seed)
        self.templates = Templates(Path(plan.history), self.rng)
        self.later: list[tuple[float, int, str, str, bytes, int]] = []
        self.recent: deque[int] = deque(maxlen=2000)
        self.acknowledged: Counter[str] = Counter()
        self.acked: list[int] = []
        self.poison: list[bytes] = []
        self.failed = self.number = self.made = self.labels = self.changes = 0
        self.late = self.duplicates = 0
        self.rules = load_detector(plan.detector).rules
        self.producer = Producer(
            {
                "bootstrap.servers": plan.bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 2,
                "compression.type": "lz4",
                "delivery.timeout.ms": 300_000,
                "queue.buffering.max.messages": 2_000_000,
                "queue.buffering.max.kbytes": 1_000_000,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )

    def run(self, words: SimpleQueue[str]) -> Sent:
        """Send what is due, however late the broker acknowledges."""
        start, behind, done = time.monotonic(), 0.0, 0
        while True:
            now = time.monotonic()
            due = int((now - start) * self.plan.rate) - done
            behind = max(behind, due / self.plan.rate)
            for _ in range(min(due, 500)):
                self._transaction(now, self.templates.end + 1000 + int((now - start) * 1000))
            done += min(due, 500)
            while self.later and self.later[0][0] <= now:
                self._send(*heapq.heappop(self.later)[2:])
            self.producer.poll(0)
            try:
                if words.get_nowait() == "stop":
                    break
                self._around(now, self.templates.end + int((now - start) * 1000))
            except Empty:
                time.sleep(0.002)
        for item in sorted(self.later):
            self._send(*item[2:])
        self.producer.flush(120)
        left = len(self.producer)
        return Sent(
            self.acked, self.number, self.poison, dict(self.acknowledged), self.failed + left,
            round(behind, 3), self.late, self.duplicates,
        )  # fmt: skip

    def _transaction(self, now: float, event_time: int) -> None:
        rng = self.rng
        suffix, card, amount = self.templates.rows[rng.randrange(len(self.templates.rows))]
        chance = rng.random()
        if chance < POISON:
            self._poison(card, event_time)
            return
        if rng.random() < DISORDER:
            if rng.random() < LATE_OF_DISORDER:
                event_time -= rng.randrange(23 * HOUR_MS, 72 * HOUR_MS)
                self.late += 1
            else:
                event_time -= int(min(rng.expovariate(1 / 600_000), 20 * HOUR_MS))
        number = self.number
        self.number += 1
        amount = max(1, amount + rng.randrange(-50, 50))
        head = b'{"transaction_id":"%s","event_time":%d,"amount_minor":%d,'
        name = name_of(self.plan.seed, number).encode()
        payload = head % (name, event_time, amount) + suffix
        self._send("transactions", card, payload, number)
        self.recent.append(number)
        if rng.random() < DUPLICATES:
            self.duplicates += 1
            self._in(now + rng.choice((0.0, 0.5, 20.0)) * rng.random(), card, payload)
        elif rng.random() < POISON / 10:  # the same id with another payload, later
            other = head % (name, event_time, amount + 1 + self._serial() % 1000) + suffix
            self._in(now + 5 * rng.random(), card, other, -2)

    def _poison(self, card: str, event_time: int) -> None:
        n = self._serial()
        kind = n % 6
        name = f"bad{self.plan.seed}-{n}".encode()
        good = b'{"transaction_id":"%s","event_time":%d,"amount_minor":%s,"currency":"%s"%s}'
        holder = b',"card_id":"c1"'
        payload = [
            b"\xff\xfe no record %d" % n,
            (good % (name, event_time, b"1", b"EUR", holder))[:-9],
            good % (name, event_time, b'"ten"', b"EUR", holder),
            good % (name, event_time, b"-5", b"EUR", holder),
            good % (name, event_time, b"7", b"XQX", holder),
            good % (name, event_time, b"7", b"EUR", b""),
        ][kind]
        self._send("transactions", card, payload, -2)

    def _around(self, now: float, event_time: int) -> None:
        """Labels that say fraud, soon after others that take it back, and another rule."""
        rng = self.rng
        recent = [name_of(self.plan.seed, n) for n in rng.sample(self.recent, FLIPS)]
        for name in [*recent, *rng.sample(self.templates.ids, FLIPS)]:
            first = now + rng.random()
            self._in(first, name, self._label(name, True, event_time), -1, "labels")
            if rng.random() < 0.7:
                then = first + 4 * rng.random()
                self._in(then, name, self._label(name, False, event_time), -1, "labels")
        if rng.random() < 0.1:
            self._in(now + rng.random(), "x", b"no label %d" % self._serial(), -1, "labels")
        for _ in range(2):
            self._in(now + 1.5 * rng.random(), "", self._change(), -1, "control")

    def _label(self, name: str, is_fraud: bool, event_time: int) -> bytes:
        self.labels += 1
        return msgspec.json.encode(
            {
                "label_id": f"k{self.plan.seed}-l{self.labels}",
                "transaction_id": name,
                "is_fraud": is_fraud,
                "source": "analyst",
                "labelled_at": event_time,
            }
        )

    def _change(self) -> bytes:
        self.changes += 1
        rng = self.rng
        card = rng.choice(self.templates.cards)
        velocity = (
            f"card_count_10m >= {rng.randint(4, 40)} OR card_count_1h >= {rng.randint(9, 90)}"
        )
        rules = self.rules.replace("card_count_10m >= 8 OR card_count_1h >= 20", velocity)
        entry = {"name": rng.choice(("block", "allow", "watch")), "column": "card_id"}
        change: dict[str, Any] = [
            {"type": "rules", "text": rules},
            {"type": "list_add", **entry, "value": card},
            {"type": "rules", "text": rules.replace("card_count_10m", "no_such_column")},
            {"type": "list_remove", **entry, "value": card},
            {"type": "rules", "text": rules},
            {"type": "nothing", "n": self.changes},
        ][self.changes % 6]
        return msgspec.json.encode(change)

    def _serial(self) -> int:
        self.made += 1
        return self.made

    def _in(
        self, due: float, key: str, payload: bytes, number: int = -1, topic: str = "transactions"
    ) -> None:
        heapq.heappush(self.later, (due, self._serial(), topic, key, payload, number))

    def _send(self, topic: str, key: str, payload: bytes, number: int) -> None:
        """number: of a transaction sent for the first time; -1 nothing to note, -2 poison."""

        def reported(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.failed += 1
                return
            self.acknowledged[topic] += 1
            if number >= 0:
                self.acked.append(number)
            elif number == -2:
                self.poison.append(payload)

        while True:
            try:
                self.producer.produce(topic, payload, key, on_delivery=reported)
                return
            except BufferError:
                self.producer.poll(0.05)


def produce(plan_file: Path) -> None:
    """The process."""
    plan = msgspec.json.decode(plan_file.read_bytes(), type=Plan)
    words: SimpleQueue[str] = SimpleQueue()
    traffic = Traffic(plan)
    print("ready", flush=True)

    def listen() -> None:
        for line in sys.stdin:
            words.put(line.strip())
        words.put("stop")

    Thread(target=listen, daemon=True).start()
    while words.get() != "go":
        pass
    sent = traffic.run(words)
    (Path(plan.folder) / "sent.json").write_bytes(msgspec.json.encode(sent))
