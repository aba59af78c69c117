"""End to end through a real broker: from the time a payment was due to the decision readable.

    python benchmarks/stream.py [--rates 1000,5000,25000] [--seconds 60] [--history 1000000]
                                [--without-transactions] [--peers]

A generator sends simulated payments at a set rate, open loop: payment i is due at start + i/rate,
whether or not anybody keeps up, and its latency counts from then. `alcyon run` decides, with the
projections into Postgres in a process of their own. A read_committed consumer reads `decisions`;
a decision is readable when that consumer has it. Broker (Kafka, KRaft, one node), Postgres,
generator, worker, projections and consumer share this machine: processor time of each is told per
transaction. Percentiles by HdrHistogram. Writes reports/stream.json.

--without-transactions flushes where a commit would be: what exactly-once costs. --peers lets the
naive and the tuned consumer of the usual shape (stream_peers.py) eat a backlog afterwards.

A minute at 5,000/s and half a minute at the highest rate go before all rates, for a broker just
started is still being compiled. Postgres and the projections stand back behind the others (`nice`):
no decision waits for them. Whether they keep up is told beside.
The first seconds of each rate are left out (WARM_S). All traffic is simulated.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from tempfile import mkdtemp

from report import write
from stream_measuring import Measured, measured
from stream_peers import PEERS_ROWS, capacities
from stream_processes import Stage, staged
from stream_traffic import Lines, made

WARM_S = 5.0
BROKER_RATE, BROKER_S, FULL_S = 5_000.0, 60.0, 30.0
"""What runs before the first rate, and is not told: this, and the highest rate for so long."""


def main() -> None:
    """Measure each rate in turn, on one worker."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rates", default="1000,5000,25000")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--history", type=int, default=1_000_000)
    parser.add_argument("--without-transactions", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--folder", type=Path, help="for servers and traffic; kept")
    given = parser.parse_args()
    rates = [float(rate) for rate in given.rates.split(",")]
    folder = given.folder or Path(mkdtemp(prefix="alcyon-stream-"))
    spare = PEERS_ROWS if given.peers else 0
    warming = round(BROKER_RATE * (BROKER_S + WARM_S) + max(rates) * (FULL_S + WARM_S))
    wanted = round(sum(rates) * (given.seconds + WARM_S)) + warming + spare
    traffic = made(folder, given.history, wanted)
    found: list[Measured] = []
    with staged(folder, traffic, given.history, not given.without_transactions) as stage:
        print(f"worker ready after {stage.ready_s:.1f} s, {given.history:,} payments in state")
        lines = Lines(traffic.payloads)
        for rate, seconds in ((BROKER_RATE, BROKER_S), (max(rates), FULL_S)):
            _at(stage, lines, rate, seconds)
        for rate in rates:
            found.append(_at(stage, lines, rate, given.seconds))
            show(found[-1])
        peers = capacities(stage.bootstrap, stage.dsn, stage.redis_url, lines) if spare else {}
    report = {"rates": [asdict(m) for m in found], "history": given.history, "peers": peers}
    report["transactions"] = not given.without_transactions
    write("stream" + "-plain" * given.without_transactions, report)
    _outlook(found)


def _outlook(found: list[Measured]) -> None:
    """Where 100,000 transactions/s stand."""
    best = max(found, key=lambda m: m.rate)
    worker, kept_up = best.cpu_us["worker"], min(1.0, best.stored_per_s / 2 / best.rate)
    storing = best.cpu_us["projections"] + best.cpu_us["postgres"]
    all_told = sum(best.cpu_us.values()) - storing + storing / kept_up
    print(
        f"100,000/s: the worker would need {worker / 10:.1f} cores and decides on one; one core "
        f"decides {1e6 / worker:,.0f}/s; all processes together, all of it stored (here "
        f"{kept_up:.0%}): {all_told / 10:.1f} cores"
    )


def _at(stage: Stage, lines: Lines, rate: float, seconds: float) -> Measured:
    stage.settle()
    return measured(stage, lines, rate, seconds, WARM_S)


def show(m: Measured) -> None:
    """One line per rate, and one per process."""
    ms = {name: f"{value:.1f}" for name, value in m.latency_ms.items()}
    print(
        f"{m.rate:>8,.0f}/s  sent {m.sent:,}  decided {m.decided:,}  "
        f"p50 {ms['p50']}  p95 {ms['p95']}  p99 {ms['p99']}  p99.9 {ms['p99.9']}  "
        f"max {ms['max']} ms  generator late by {m.generator_late_ms:.1f} ms at most"
    )
    cpu = "  ".join(f"{name} {us:.1f}" for name, us in m.cpu_us.items())
    print(f"          µs of processor time per transaction: {cpu}")
    print(f"          worker's steps, µs per transaction: {json.dumps(m.steps_us)}")
    print(f"          lag, s: {' '.join(f'{s:.2f}' for s in m.lag_s)}")
    before, after = m.unstored_commits
    print(
        f"          Postgres took {m.stored_per_s:,.0f} rows/s, two for a transaction; commits it "
        f"did not have yet: {before:.0f}, in the end {after:.0f}",
        flush=True,
    )


if __name__ == "__main__":
    started = time.time()
    main()
    print(f"{time.time() - started:.0f} s in all")
