"""Failing: an error that ended a part of a process, counted by kind and told in one line."""

from __future__ import annotations

import traceback
from pathlib import Path

from alcyon.domain.errors import (
    AccessError,
    AlcyonError,
    CatalogError,
    ConflictError,
    FencedError,
    InputError,
    LogError,
    ModelError,
    SettingsError,
    SlowError,
    SnapshotError,
    StateError,
    UnreachableError,
    reason_of,
)
from alcyon.domain.projected import StoreError
from alcyon.telemetry.lines import Log
from alcyon.telemetry.metrics import Telemetry
from alcyon.telemetry.words import OTHER

_KINDS: tuple[tuple[type[AlcyonError], str], ...] = (
    (FencedError, "fenced"),
    (UnreachableError, "unreachable"),
    (LogError, "log"),
    (StateError, "state"),
    (SnapshotError, "snapshot"),
    (ModelError, "model"),
    (ConflictError, "conflict"),
    (SettingsError, "settings"),
    (CatalogError, "catalog"),
    (InputError, "input"),
    (StoreError, "store"),
    (AccessError, "access"),
    (SlowError, "slow"),
)
"""The more special before the more general."""


def failure(telemetry: Telemetry, log: Log, error: BaseException, now_ms: int) -> None:
    """An error that ended a part of the process: counted by kind, told in one line."""
    kind = next((name for of, name in _KINDS if isinstance(error, of)), OTHER)
    telemetry.process.failures.add(kind)
    event = "fenced by a later worker" if kind == "fenced" else "failed"
    log.error(event, kind=kind, error=reason_of(error), where=_where(error), now_ms=now_ms)


def _where(error: BaseException) -> str | None:
    """File, line and function an unexpected error was raised in."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, AlcyonError) or not frames:
        return None
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name}"
