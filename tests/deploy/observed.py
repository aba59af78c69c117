"""Prometheus over `alcyon serve`, with what runs beside it, and `alcyon learn`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from services import ServiceError
from services.monitors import Monitors, Outside, Target
from services.server import free_ports
from tests.cli.run_process import Running, until
from tests.whole import Whole, whole

PROCESSES = {
    "worker": "alcyon_worker", "projections": "alcyon_worker", "learner": "alcyon_learner",
    "duties": "alcyon_api",
}  # fmt: skip
"""Job of each, in the order of the ports from status.port on."""
PATIENT_S = 300.0
"""Five processes start at once, on a machine that may have two cores."""
_PORTS = 21_000, 29_000
NOBODY = Outside("http://127.0.0.1:9/", "127.0.0.1:9")


@dataclass(frozen=True)
class Observed:
    """What a test holds."""

    served: Whole
    address: str
    """Of Prometheus."""

    def ask(self, path: str, **given: object) -> Any:
        """The data of an answer of Prometheus; AssertionError where it answers with an error."""
        url = f"http://{self.address}/api/v1/{path}"
        told = httpx2.post(url, data=given, timeout=60).json()
        assert told["status"] == "success", (given, told)
        return told["data"]


@contextmanager
def observed(home: Path, model: Path, broker: Mapping[str, object]) -> Iterator[Observed]:
    """All of them meanwhile, ready. broker: its settings; the logs are files without.

    ServiceError: there is no Prometheus here.
    """
    port = _free_row()
    # Snapshots soon: a gauge about the last one is not known before.
    settings = {"STATUS__PORT": port, "WORKER__SNAPSHOT_EVERY": 100, **broker}
    given = {"HOME": home, **settings}
    with ExitStack() as files:
        served = files.enter_context(whole(home, model, **settings))
        if broker:  # over files it is beside the API
            worker = Running(given, "--model", str(model))
            files.callback(worker.stop, PATIENT_S)
        until(lambda: _has_started(served), PATIENT_S)  # then there is a log to learn from
        learner = Running(given, command="learn")
        files.callback(learner.stop, PATIENT_S)
        targets: list[Target] = [
            (job, name, f"127.0.0.1:{port + offset}")
            for offset, (name, job) in enumerate(PROCESSES.items())
        ]
        targets.append(("alcyon_api", "api", served.address.removeprefix("http://")))
        monitors = files.enter_context(closing(Monitors(home / "monitors", targets, NOBODY)))
        until(lambda: _is_ready(monitors), PATIENT_S)
        yield Observed(served, monitors.address)


def _free_row() -> int:
    """The first of so many ports in a row that nobody listens on."""
    for first in range(*_PORTS, len(PROCESSES)):
        row = [first + offset for offset in range(len(PROCESSES))]
        if free_ports(range(*_PORTS), *row) == row:
            return first
    raise ServiceError(f"no {len(PROCESSES)} ports in a row are free")


def _has_started(served: Whole) -> bool:
    return served.process.poll() is not None or any("http://" in line for line in served.told)


def _is_ready(monitors: Monitors) -> bool:
    ready = monitors.query("alcyon_run_readiness_bool == 1")
    return all(monitors.up().values()) and len(ready) == len(PROCESSES)
