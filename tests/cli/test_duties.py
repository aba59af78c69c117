"""Duties beside requests go on, whatever befalls them."""

from __future__ import annotations

from threading import Event

import pytest

from alcyon.cli import duties


def test_a_duty_that_fails_is_told_and_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duties, "_AGAIN_S", 0.0)
    stop, told, begun = Event(), list[Exception](), list[int]()

    def work() -> None:
        begun.append(len(begun))
        if len(begun) < 3:
            raise RuntimeError("nobody thought of this")
        stop.set()

    duties.lasting(work, stop, told.append)
    assert len(begun) == 3
    assert [str(error) for error in told] == ["nobody thought of this"] * 2
