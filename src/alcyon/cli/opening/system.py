"""The system page: what this process, the worker, the projections and the duties tell."""

from __future__ import annotations

import time
from concurrent.futures import Future
from importlib.metadata import version
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

import msgspec

from alcyon.cli.opening.duties import DUTIES, PORT_OFFSET
from alcyon.io.places import place_of, place_text

if TYPE_CHECKING:
    from alcyon.cli.opening.asked import Around

SYSTEM_S = 1.0
"""How old what is shown may be."""
WAIT_S_MAX = 2.0
"""From asking a process on; by then it has answered, or counts as away."""

Told = tuple[dict[str, Any], dict[str, float]]
"""What a process says of itself, and its metrics."""


class System:
    """What the system page and /readyz show; told within `WAIT_S_MAX`, whatever hangs."""

    def __init__(self, around: Around) -> None:
        self._around = around
        set_to = around.set_to
        host, port = set_to.status.host, set_to.status.port
        self._worker = AskedStatus(_place(set_to.serve.worker_at, (host, port)))
        self._projections = AskedStatus(_place(set_to.serve.projections_at, (host, port + 1)))
        self._duties = AskedStatus((host, port + PORT_OFFSET))

    def told(self) -> dict[str, Any]:
        """As of a second ago at most. From any thread."""
        asked = (self._worker, self._projections, self._duties)
        for one in asked:
            one.ask()  # all before the first is waited for
        (worker, counted), projections, duties = (one.told() for one in asked)
        snapshot_at = counted.get("worker_snapshot_timestamp_seconds")
        set_to = self._around.set_to
        return {
            "phase": worker.get("phase"),
            "ready": bool(worker.get("ready")),
            "reasons": [
                *worker.get("reasons", ()),
                *worker.get("notes", ()),
                *(f"{DUTIES}: {why}" for why in _wrong(duties[0])),
            ],
            "worker": {**worker, "metrics": counted},
            "projection": {**projections[0], "metrics": projections[1]},
            "duties": {**duties[0], "metrics": duties[1]},
            "stores": {
                "log": "embedded" if set_to.kafka.bootstrap is None else "kafka",
                "store": "sqlite" if set_to.postgres.dsn is None else "postgres",
                "read_model": None if set_to.redis.url is None else "redis",
                "models": set_to.models.registry.partition(":")[0],
            },
            "snapshot": {
                "at": None if snapshot_at is None else round(snapshot_at * 1000),
                "bytes": counted.get("worker_snapshot_bytes"),
            },
            "versions": {
                **msgspec.to_builtins(self._around.in_force().conduct.versions),
                "engine": version("alcyon"),
            },
        }


class AskedStatus:
    """One process's status port, asked by a thread: what hangs there, or a name that nobody
    resolves, holds up no one who waits for the answer."""

    def __init__(self, place: tuple[str, int]) -> None:
        self._place, self._lock = place, Lock()
        self._began = float("-inf")
        self._answer: Future[Told] | None = None

    def ask(self) -> None:
        """Ask anew, where the last answer is older than `SYSTEM_S`; does not wait."""
        with self._lock:
            now = time.monotonic()
            if self._answer is not None and not self._answer.done():
                return  # whoever hangs is asked once
            if now - self._began >= SYSTEM_S:
                self._began, self._answer = now, Future()
                Thread(target=self._run, args=(self._answer,), name="system", daemon=True).start()

    def told(self) -> Told:
        """The answer; after `ask`."""
        with self._lock:
            answer, began = self._answer, self._began
        assert answer is not None
        try:
            return answer.result(max(0.0, began + WAIT_S_MAX - time.monotonic()))
        except TimeoutError:
            why = f"no answer from {place_text(*self._place)} within {WAIT_S_MAX:g} s"
            return {"ready": False, "phase": "away", "reasons": [why]}, {}

    def _run(self, answer: Future[Told]) -> None:
        from alcyon.io.status_pages import metrics, ready

        try:
            told = ready(*self._place)
            # Who does not answer is not asked twice.
            answer.set_result((told, {} if told.get("phase") == "away" else metrics(*self._place)))
        except BaseException as error:
            answer.set_exception(error)


def _place(elsewhere: str | None, here: tuple[str, int]) -> tuple[str, int]:
    return here if elsewhere is None else place_of(elsewhere)


def _wrong(told: dict[str, Any]) -> list[str]:
    """What is wrong in a process by which nobody is asked to wait: decisions go on."""
    return [*told.get("reasons", ()), *told.get("notes", ())]
