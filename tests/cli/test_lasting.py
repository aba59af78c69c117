"""Work in threads goes on, whatever befalls it."""

from __future__ import annotations

from threading import Event

import pytest

from alcyon.cli.opening import lasting


def test_work_that_fails_is_told_and_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting, "_AGAIN_S", 0.0)
    stop, told, begun = Event(), list[Exception](), list[int]()

    def work(stop: Event) -> None:
        begun.append(len(begun))
        if len(begun) < 3:
            raise RuntimeError("nobody thought of this")
        stop.set()

    lasting.lasting(work, stop, told.append)
    assert len(begun) == 3
    assert [str(error) for error in told] == ["nobody thought of this"] * 2
