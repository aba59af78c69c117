"""Lines: what a running process writes to its log, for a person at a terminal and for machines.

No line ever holds an id of a payment or of a person: only known keys pass, and what looks like a
card number, a token or a password does not.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from threading import Lock
from typing import Protocol, TextIO, cast

import structlog

from alcyon.telemetry.words import VERSIONS


class Log(Protocol):
    """Where lines go: an event in a few words, and keys from `KEYS`.

    `now_ms` (UTC ms) is when it happened; without it, now.
    """

    def info(self, event: str, **keys: object) -> object:
        """As it should be."""
        ...

    def warning(self, event: str, **keys: object) -> object:
        """Somebody should look at it some time."""
        ...

    def error(self, event: str, **keys: object) -> object:
        """Somebody should look at it now."""
        ...


KEYS = frozenset(VERSIONS) | {
    "away_s", "bytes", "count", "epoch", "error", "first_sequence", "host", "kind", "last_sequence",
    "name", "next_sequence", "now_ms", "port", "position", "reasons", "replayed", "seconds",
    "signal", "snapshot", "store", "where", "why",
}  # fmt: skip
"""The only keys that reach a line; another is left out, and named under `withheld`."""

_READ_MAX, _TEXT_MAX = 4000, 600
_Event = MutableMapping[str, object]


def make_log(stream: TextIO, is_terminal: bool, on_lost: Callable[[], None]) -> Log:
    """Lines for a person at a terminal, JSON elsewhere.

    on_lost: called for a line that `stream` does not take; a worker does not end for it.
    """
    render = (
        structlog.dev.ConsoleRenderer(timestamp_key="time", pad_event_to=0)
        if is_terminal
        else structlog.processors.JSONRenderer()
    )
    logger = structlog.wrap_logger(
        _Lines(stream, on_lost),
        processors=[_safe, structlog.processors.add_log_level, _timed, render],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        context_class=dict,
    )
    return cast(Log, logger)


class _Lines:
    """The end of the way: one write for each line."""

    def __init__(self, stream: TextIO, on_lost: Callable[[], None]) -> None:
        self._stream, self._on_lost, self._lock = stream, on_lost, Lock()

    def info(self, line: str) -> None:
        try:
            with self._lock:
                self._stream.write(f"{line}\n")
                self._stream.flush()
        except (OSError, ValueError):  # the reader is gone, or the stream is closed
            self._on_lost()

    warning = error = info


def _safe(_logger: object, _method: str, event: _Event) -> _Event:
    """Let only known keys and plain values through."""
    named = {key: _plain(value) for key, value in event.items() if key in KEYS}
    withheld = sorted(key for key in event if key not in KEYS and key != "event")
    if withheld:
        named["withheld"] = _clean(" ".join(withheld))
    return {"event": _clean(str(event["event"])), **named}


def _timed(_logger: object, _method: str, event: _Event) -> _Event:
    now_ms = event.pop("now_ms", None)
    seconds = now_ms / 1000 if isinstance(now_ms, int | float) else time.time()
    at = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return {"time": at.replace("+00:00", "Z"), "level": event.pop("level"), **event}


def _plain(value: object) -> object:
    match value:
        case None | bool():
            return value
        case int() | float():
            return value if abs(value) < 10**15 else _clean(str(value))
        case str():
            return _clean(value)
        case Mapping():
            return {_clean(str(key)): _plain(count) for key, count in value.items()}
    return f"({type(value).__name__})"


_SNAPSHOT = re.compile(r"[0-9]{10}-[0-9]{20}\.[a-z]+")
_DIGITS = re.compile(r"[0-9](?:[ -]?[0-9]){11,}")
_TOKEN = re.compile(r"k[0-9]+_[0-9a-f]{16,}")
_PASSWORD = re.compile(r"://[^/\s@]*@")
_BREAK = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")


def _clean(text: str) -> str:
    """One line of bounded length without card numbers, tokens and passwords."""
    if _SNAPSHOT.fullmatch(text):
        return text
    cut = _PASSWORD.sub("://…@", _BREAK.sub(" ", text[:_READ_MAX]).strip())
    cut = _DIGITS.sub(_masked, _TOKEN.sub("[token]", cut))
    return cut if len(cut) <= _TEXT_MAX else f"{cut[:_TEXT_MAX]}…"


def _masked(run: re.Match[str]) -> str:
    """Masked if any 12 to 19 digits in it, the first no 0, may be a card number."""
    digits = re.sub("[ -]", "", run[0])
    found = (
        _passes_luhn(digits[start:end])
        for start in range(len(digits) - 11)
        if digits[start] != "0"
        for end in range(start + 12, min(start + 19, len(digits)) + 1)
    )
    return "[number]" if any(found) else run[0]


def _passes_luhn(digits: str) -> bool:
    doubled = sum(sum(divmod(2 * int(c), 10)) for c in digits[-2::-2])
    return (doubled + sum(int(c) for c in digits[-1::-2])) % 10 == 0
