"""How fast the API answers: POST /v1/decisions, open loop, latencies from the scheduled time.

    alcyon serve                        # and a key: alcyon keys create --role ingest
    python benchmarks/api.py --requests 10000 --concurrency 200 --base-url U --key K [--rate R]
    python benchmarks/api.py --batch 1000 --requests 200 --concurrency 4 --base-url U --key K

Open loop: a request is due at its time whether or not those before it were answered, and its
latency counts from then, so a server that stalls is seen to stall. The three numbers beside are
what payment services budget for a decision: 25, 75 and 95 ms. Without a rate everything is due at
once: that measures throughput, and its latencies say nothing. The generator is one process with raw
connections; where it shares the machine, it shares the processors too. With --server PID it tells
what the generator, that process and each that it started took of the processors.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

import psutil
import uvloop
from hdrh.histogram import HdrHistogram

BUDGETS_MS = (25, 75, 95)
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9, 100.0)
COUNTRIES = ("FR", "DE", "ES", "IT", "NL")
CATEGORIES = ("groceries", "fuel", "travel", "electronics")
TICK_S = 0.001
"""Between two looks at what is due: more of them would take a third of one of the processors that
the server has too. What is sent late by it counts as the server's."""
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_US_MAX = 120_000_000


@dataclass
class Counted:
    """What came back."""

    histogram: Any = field(default_factory=lambda: HdrHistogram(1, _US_MAX, 3))
    statuses: dict[int, int] = field(default_factory=dict)
    provisional: int = 0
    answers: int = 0
    approved: int = 0
    sent_late_us_max: int = 0
    """How late the generator itself was, at most."""


class Connection(asyncio.Protocol):
    """One keep-alive connection; one request at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = bytearray()
        self._due = 0.0
        self._left = -1
        self._status = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its bases
        self._load.free.append(self)

    def ask(self, request: bytes, due: float) -> None:
        """Send one."""
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """An answer, whole or in part."""
        self._buffer += data
        if self._left < 0:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._status = int(self._buffer[9:12])
            found = _LENGTH.search(self._buffer)
            assert found is not None
            self._left = end + 4 + int(found[1])
        if len(self._buffer) >= self._left:
            body = bytes(self._buffer[: self._left])
            del self._buffer[: self._left]
            self._left = -1
            self._load.answered(self, self._status, body, self._due)

    def connection_lost(self, error: Exception | None) -> None:
        """It should not be."""
        self._load.lost(error)


class Load:
    """Sends requests when they are due, over connections that are free."""

    def __init__(self, requests: list[bytes], rate: float | None) -> None:
        self._requests, self._rate = requests, rate
        self.free: deque[Connection] = deque()
        self._waiting: deque[int] = deque()
        self._left = len(requests)
        self.counted = Counted()
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> float:
        """Send all and wait for all; how many seconds it took."""
        self._began = time.perf_counter()
        if self._rate is None:
            self._waiting.extend(range(len(self._requests)))
            self._send()
        else:
            await self._paced(self._rate)
        await self._done
        return time.perf_counter() - self._began

    async def _paced(self, rate: float) -> None:
        number = 0
        while number < len(self._requests) and not self._done.done():
            due = int((time.perf_counter() - self._began) * rate) + 1
            while number < min(due, len(self._requests)):
                self._waiting.append(number)
                number += 1
            self._send()
            next_s = self._began + number / rate - time.perf_counter()
            await asyncio.sleep(max(TICK_S, next_s))

    def _send(self) -> None:
        while self._waiting and self.free:
            number, now = self._waiting.popleft(), time.perf_counter()
            due = self._began + (0.0 if self._rate is None else number / self._rate)
            if self._rate is not None and not self._waiting:
                late = self.counted.sent_late_us_max
                self.counted.sent_late_us_max = max(late, int((now - due) * 1e6))
            self.free.popleft().ask(self._requests[number], due)

    def answered(self, by: Connection, status: int, body: bytes, due: float) -> None:
        """One came back."""
        counted = self.counted
        counted.histogram.record_value(max(1, int((time.perf_counter() - due) * 1e6)))
        counted.statuses[status] = counted.statuses.get(status, 0) + 1
        counted.provisional += body.count(b'"is_provisional":true')
        counted.answers += body.count(b'"transaction_id"')
        counted.approved += body.count(b'"action":"APPROVE"')
        self.free.append(by)
        self._left -= 1
        if self._left == 0 and not self._done.done():
            self._done.set_result(None)
        self._send()

    def lost(self, error: Exception | None) -> None:
        """A connection ended."""
        if not self._done.done():
            self._done.set_exception(error or ConnectionError("the server closed a connection"))


def made_requests(count: int, batch: int, host: str, key: str) -> list[bytes]:
    """Whole HTTP requests; every payment is a new one, on one of 50,000 cards."""
    random_ = random.Random(7)
    mark = f"{time.time_ns():x}"
    now = round(time.time() * 1000)
    head = (
        f"POST /v1/decisions HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {key}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    )
    made = []
    for number in range(count):
        payments = [_payment(random_, f"{mark}-{number}-{i}", now) for i in range(max(1, batch))]
        body = json.dumps(payments if batch else payments[0], separators=(",", ":")).encode()
        made.append(f"{head}{len(body)}\r\n\r\n".encode() + body)
    return made


def _payment(random_: random.Random, name: str, now: int) -> dict[str, Any]:
    """A card has a country and a device of its own; few payments are elsewhere."""
    card = random_.randrange(50_000)
    country = COUNTRIES[card % len(COUNTRIES)]
    merchant = int(5_000 * random_.random() ** 3)
    return {
        "transaction_id": name,
        "event_time": now,
        "amount_minor": int(random_.lognormvariate(7.5, 0.8)) + 1,
        "currency": "EUR",
        "card_id": f"card-{card}",
        "merchant_id": f"m-{merchant}",
        "device_id": f"d-{card}",
        "country": country,
        "merchant_country": country if random_.random() < 0.98 else random_.choice(COUNTRIES),
        "category": CATEGORIES[merchant % len(CATEGORIES)],
        "channel": "online" if merchant % 2 else "pos",
    }


def processor_s(server: int | None) -> dict[str, float]:
    """Processor time so far: of this process, of that one and of those below it, by command."""
    taken = {"generator": time.process_time()}
    if server is not None:
        parent = psutil.Process(server)
        for one in (parent, *parent.children(recursive=True)):
            words = one.cmdline()
            words = words[words.index("alcyon.cli") + 1 :] if "alcyon.cli" in words else words[:1]
            only = words[words.index("--only") + 1] if "--only" in words else ""
            spent = one.cpu_times()
            taken[f"{words[0]} {only}".strip()] = spent.user + spent.system
    return taken


async def measured(
    arguments: argparse.Namespace,
) -> tuple[Counted, float, dict[str, float]]:
    """Connect, warm, measure; with it the processor time that it took."""
    url = urlsplit(arguments.base_url)
    host, port = url.hostname or "127.0.0.1", url.port or 80
    loop = asyncio.get_running_loop()
    for count, rate in ((arguments.warm, arguments.rate), (arguments.requests, arguments.rate)):
        requests = made_requests(count, arguments.batch, f"{host}:{port}", arguments.key)
        load = Load(requests, rate)
        connections = [
            (await loop.create_connection(lambda: Connection(load), host, port))[0]  # noqa: B023
            for _ in range(arguments.concurrency)
        ]
        before = processor_s(arguments.server)
        seconds = await load.run()
        after = processor_s(arguments.server)
        for connection in connections:
            connection.abort()
    return load.counted, seconds, {name: s - before.get(name, 0) for name, s in after.items()}


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=200)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--rate", type=float, help="requests per second; all at once without")
    parser.add_argument("--batch", type=int, default=0, help="payments in a request, as an array")
    parser.add_argument("--server", type=int, help="the process that serves, on this machine")
    parser.add_argument("--warm", type=int, default=None, help="requests sent before")
    arguments = parser.parse_args()
    if arguments.warm is None:
        arguments.warm = min(2_000, arguments.requests // 2)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        counted, seconds, taken = runner.run(measured(arguments))
    histogram = counted.histogram
    print(
        f"{arguments.requests:,} requests in {seconds:.1f} s: {arguments.requests / seconds:,.0f}/s"
        f", {counted.answers / seconds:,.0f} transactions/s; due at "
        f"{arguments.rate or 'once'}{'/s' if arguments.rate else ''}, {arguments.concurrency} "
        f"connections; statuses {counted.statuses}; {counted.provisional} provisional, "
        f"{counted.approved / max(1, counted.answers):.0%} approved"
    )
    found = {p: histogram.get_value_at_percentile(p) / 1000 for p in PERCENTILES}
    print("  ms  " + "  ".join(f"p{p:g} {ms:,.1f}" for p, ms in found.items()))
    within = {b: _share_within(histogram, b) for b in BUDGETS_MS}
    print("  within  " + "  ".join(f"{b} ms {share:.2%}" for b, share in within.items()))
    each = {name: 1e6 * s / max(1, counted.answers) for name, s in taken.items()}
    print(
        f"  processor time, us per transaction: {sum(each.values()):,.1f}: "
        + ", ".join(f"{name} {us:,.1f}" for name, us in each.items())
    )
    if arguments.rate:
        print(
            f"  the generator itself was late by {counted.sent_late_us_max / 1000:.1f} ms at most"
        )
    return int(set(counted.statuses) != {200})


def _share_within(histogram: Any, budget_ms: int) -> float:
    total = histogram.get_total_count()
    return histogram.get_count_at_value(0) / total if not total else _below(histogram, budget_ms)


def _below(histogram: Any, budget_ms: int) -> float:
    low, high = 0.0, 100.0
    for _ in range(40):
        middle = (low + high) / 2
        if histogram.get_value_at_percentile(middle) <= budget_ms * 1000:
            low = middle
        else:
            high = middle
    return low / 100


if __name__ == "__main__":
    sys.exit(main())
