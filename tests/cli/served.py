"""The API served over the embedded log, with a worker in a process of its own, as `serve` does."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from alcyon.cli.opening.serving import around, bound, opened_app, running, worker_beside
from alcyon.detectors.loading import load_detector
from alcyon.io.log import EmbeddedCommits
from alcyon.runners.over_files import LogFiles
from alcyon.settings import load_settings
from alcyon.telemetry.lines import make_log
from alcyon.telemetry.metrics import Telemetry
from tests.api.standing import INGEST, Keys, parts
from tests.cli.run_process import until


@dataclass
class Served:
    """What a test holds."""

    address: str
    logs: LogFiles
    client: httpx2.Client
    told: io.StringIO
    worker: Any = None

    def ask(self, *transactions: dict[str, Any]) -> httpx2.Response:
        """One as it is, several as a batch."""
        body: Any = transactions[0] if len(transactions) == 1 else list(transactions)
        return self.client.post("/v1/decisions", content=msgspec.json.encode(body))

    def decided(self) -> list[str]:
        """The transactions that the log holds decisions on."""
        with closing(EmbeddedCommits(self.logs.decisions)) as commits:
            found = [d for c in commits.read(0, 10**6) for d in c.decisions]
        return [msgspec.json.decode(d)["transaction_id"] for d in found]

    def kill_worker(self) -> None:
        """As the system would, for want of memory."""
        os.kill(self.worker.pid, signal.SIGKILL)
        self.worker.wait()


@contextmanager
def served(
    home: Path, *, with_worker: bool = True, keys: Keys | None = None, **serve: Any
) -> Iterator[Served]:
    """Serve it in this process."""
    set_to = load_settings(home=home, serve=serve, status={"port": 0})
    told = io.StringIO()
    with (
        closing(bound(set_to.serve.host, 0)) as listening,
        ExitStack() as files,
    ):
        log = make_log(told, is_terminal=False, on_lost=lambda: None)
        shared = around(set_to, load_detector("card"), None, (Telemetry(), log), files)
        beside = files.enter_context(worker(home)) if with_worker else None
        app = opened_app(shared, lambda around: parts(keys))
        with running(app, listening):
            address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            headers = {"X-API-Key": INGEST}
            with httpx2.Client(base_url=address, headers=headers, timeout=60) as client:
                yield Served(address, LogFiles(home), client, told, beside)


@contextmanager
def worker(home: Path) -> Iterator[Any]:
    """`alcyon run` as a process of its own, deciding."""
    os.environ["ALCYON_STATUS__PORT"] = "0"
    os.environ["ALCYON_HOME"] = str(home)
    with worker_beside("card") as process:
        until((home / "decisions" / "epoch").exists)
        yield process
