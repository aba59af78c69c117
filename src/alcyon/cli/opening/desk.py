"""The desk: everything the API shows, collects and asks through, opened part by part."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec

from alcyon.cli.opening.duties import DUTIES, PORT_OFFSET

if TYPE_CHECKING:
    from alcyon.api.desk import Controlling, Desk
    from alcyon.cli.opening.asked import Around, Live
    from alcyon.domain.office.ports import Explaining, Office, Searcher

SYSTEM_S = 1.0
"""How old what the system page shows may be."""


@dataclass(frozen=True)
class Parts:
    """What the desk has beside asking and watching."""

    searcher: Searcher
    office: Office
    explaining: Explaining
    controlling: Controlling
    signs_in: Callable[[str], str | None] | None = None
    """See `api.desk.Desk`."""
    system: Callable[[], dict[str, Any]] | None = None
    """What the system page shows, where the worker has no status port."""


def open_desk(around: Around, live: Live, parts: Parts) -> Desk:
    """The desk over what is open."""
    from alcyon.api.desk import Desk

    return Desk(
        asking=live.asking,
        searcher=parts.searcher,
        office=parts.office,
        explaining=parts.explaining,
        feeds=live.feeds,
        controlling=parts.controlling,
        system=parts.system or System(around).told,
        telemetry=around.telemetry,
        origins=around.set_to.serve.origins,
        signs_in=parts.signs_in,
        answered=live.answered.answered,
    )


class System:
    """What the system page shows: of this process, of the worker, and of the projections."""

    def __init__(self, around: Around) -> None:
        self._around, self._lock = around, Lock()
        self._known, self._until = dict[str, Any](), 0.0

    def told(self) -> dict[str, Any]:
        """As of a second ago at most. From any thread."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._known, self._until = self._asked(), time.monotonic() + SYSTEM_S
            return self._known

    def _asked(self) -> dict[str, Any]:
        set_to = self._around.set_to
        host, port = set_to.status.host, set_to.status.port
        worker_at = _place(set_to.serve.worker_at, (host, port))
        projections_at = _place(set_to.serve.projections_at, (host, port + 1))
        (worker, counted), projections, duties = map(
            _told_at, (worker_at, projections_at, (host, port + PORT_OFFSET))
        )
        snapshot_at = counted.get("worker_snapshot_timestamp_seconds")
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


def _told_at(place: tuple[str, int]) -> tuple[dict[str, Any], dict[str, float]]:
    """What a process says of itself, and its metrics; who does not answer is not asked twice."""
    from alcyon.io.status_pages import metrics, ready

    told = ready(*place)
    return told, {} if told.get("phase") == "away" else metrics(*place)


def _place(elsewhere: str | None, here: tuple[str, int]) -> tuple[str, int]:
    """Host and port.

    >>> _place("worker:9464", ("127.0.0.1", 1)), _place(None, ("127.0.0.1", 1))
    (('worker', 9464), ('127.0.0.1', 1))
    """
    if elsewhere is None:
        return here
    host, _, port = elsewhere.rpartition(":")
    return host, int(port)


def _wrong(told: dict[str, Any]) -> list[str]:
    """What is wrong in a process by which nobody is asked to wait: decisions go on."""
    return [*told.get("reasons", ()), *told.get("notes", ())]
