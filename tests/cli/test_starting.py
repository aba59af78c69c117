"""A quick start opens beside importing, and hides only while it is told to."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from importlib import import_module
from threading import Event, current_thread

import pytest

from alcyon.cli.opening.starting import OpenedEarly, without


def test_a_module_cannot_be_imported_meanwhile_and_can_afterwards() -> None:
    sys.modules.pop("this", None)
    with without("this", "json"), pytest.raises(ImportError):
        import_module("this")
    assert "this" not in sys.modules
    assert import_module("json") is sys.modules["json"] is not None


class Door:
    """Counts openings and closings; says by which thread."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.closed = 0
        self.may_open = Event()
        self.error: Exception | None = None

    def open(self, files: ExitStack) -> int:
        self.may_open.wait(10)
        files.callback(self.close)
        self.opened.append(current_thread().name)
        if self.error is not None:
            raise self.error
        return len(self.opened)

    def close(self) -> None:
        self.closed += 1


def test_what_was_opened_early_is_had_once_and_then_opened_anew() -> None:
    door = Door()
    early = OpenedEarly(door.open)
    door.may_open.set()
    for number in (1, 2):
        with ExitStack() as files:
            assert early.open(files) == number
            assert door.closed == number - 1
        assert door.closed == number
    assert door.opened == ["opening", current_thread().name]
    early.close()
    assert door.closed == 2


def test_an_early_error_is_raised_where_it_is_asked_for_and_nothing_stays_open() -> None:
    door = Door()
    door.error = OSError("away")
    door.may_open.set()
    early = OpenedEarly(door.open)
    with ExitStack() as files, pytest.raises(OSError, match="away"):
        early.open(files)
    assert door.closed == 1
    door.error = None
    with ExitStack() as files:
        assert early.open(files) == 2


@pytest.mark.parametrize("error", [None, OSError("away")])
def test_what_nobody_asked_for_is_closed(error: Exception | None) -> None:
    door = Door()
    door.error = error
    door.may_open.set()
    OpenedEarly(door.open).close()
    assert door.closed == 1
