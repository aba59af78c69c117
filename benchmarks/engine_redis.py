"""A Redis server of the benchmark's own, and the two peers that use it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import numpy as np
import redis
from numpy.typing import NDArray
from redis.utils import HIREDIS_AVAILABLE

from alcyon.codecs.json import encode
from alcyon.domain.columns import Batch
from peers import MICRO_BATCH, Naive, Payment, Tuned, features_of_all, timed

NAIVE_ROWS, TUNED_ROWS = 160, 20 * MICRO_BATCH
"""What each peer decides in a round."""


@dataclass(frozen=True)
class Peers:
    """Both consumers over one warmed server."""

    naive: Naive
    tuned: Tuned
    notes: str

    def round(self, payloads: Sequence[bytes]) -> dict[str, tuple[float, float]]:
        """(wall, processor) µs per transaction of each; `NAIVE_ROWS + TUNED_ROWS` payloads."""
        one, many = payloads[:NAIVE_ROWS], payloads[NAIVE_ROWS:]
        parts = [many[at : at + MICRO_BATCH] for at in range(0, len(many), MICRO_BATCH)]
        return {
            "naive": timed([partial(self.naive.decide, p) for p in one], len(one)),
            "tuned": timed([partial(self.tuned.decide, p) for p in parts], len(many)),
        }


@contextmanager
def started(
    recent: list[Batch], frauds: NDArray[np.bool_], cores: Collection[int]
) -> Iterator[Peers | None]:
    """A server on `cores`, filled with `recent` payments; None without any, or
    where Redis is not installed."""
    program = shutil.which("redis-server") if recent else None
    if program is None:
        if recent:
            print("redis-server is not installed: no peers in this run")
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="alcyon-bench-redis-") as work:
        port = _free_port()
        options = ("--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", work)
        server = subprocess.Popen(
            [program, "--port", str(port), *options], stdout=subprocess.DEVNULL
        )
        try:
            os.sched_setaffinity(server.pid, cores)
            client = redis.Redis(host="127.0.0.1", port=port)
            _wait(client)
            features = _filled(client, recent)
            parser = "hiredis" if HIREDIS_AVAILABLE else "redis-py's own parser"
            notes = (
                f"Redis {client.info('server')['redis_version']}, redis-py {redis.__version__} "
                f"with {parser}, {len(features):,} payments filed before"
            )
            yield Peers(Naive(client, features, frauds), Tuned(client, features, frauds), notes)
        finally:
            server.terminate()
            server.wait(timeout=10)


def _filled(client: Any, recent: list[Batch]) -> NDArray[np.float32]:
    """Files the payments; their features, for training."""
    decode, found = msgspec.json.Decoder(Payment).decode, []
    for batch in recent:
        payments = [msgspec.structs.asdict(decode(p)) for p in encode(batch)]
        for at in range(0, len(payments), MICRO_BATCH):
            found += features_of_all(client, payments[at : at + MICRO_BATCH])
    return np.array(found, np.float32)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait(client: Any) -> None:
    for _ in range(200):
        with suppress(redis.ConnectionError):
            client.ping()
            return
        time.sleep(0.05)
    client.ping()
