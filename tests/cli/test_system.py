"""The system page is told within a bounded time, whatever the processes that it asks do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from threading import Event, Thread
from types import SimpleNamespace
from typing import cast

import pytest

from alcyon.cli.opening.asked import Around
from alcyon.cli.opening.system import WAIT_S_MAX, System
from alcyon.io.places import place_text
from alcyon.runners.process.status import Phase, Readiness, StatusServer
from alcyon.runners.stream.in_force import InForce
from alcyon.settings import load_settings
from alcyon.telemetry.metrics import Telemetry
from tests.cli.run_process import until
from tests.runners.working import CATALOG

PATIENCE_S = 20.0


def _loopback() -> str:
    """An IPv6 address, where this machine has one."""
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        return "127.0.0.1"
    return "::1"


@dataclass
class Dripping:
    """A port that answers a byte at a time, until it is over."""

    place: tuple[str, int]
    over: Event

    def drip(self, client: socket.socket) -> None:
        """To one who asks."""
        with client, suppress(OSError):
            client.sendall(b"HTTP/1.0 200 OK\r\nX-Slow: ")
            while not self.over.wait(0.1):
                client.sendall(b"x")


@pytest.fixture
def dripping() -> Iterator[Dripping]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        made = Dripping(server.getsockname(), Event())

        def accept() -> None:
            with suppress(OSError):
                while True:
                    Thread(target=made.drip, args=(server.accept()[0],), daemon=True).start()

        Thread(target=accept, daemon=True).start()
        yield made
        made.over.set()


@pytest.fixture
def status() -> Iterator[StatusServer]:
    """Of a worker that is ready."""
    readiness = Readiness(5.0)
    readiness.become(Phase.RUNNING)
    readiness.waits_since(None)
    with closing(StatusServer(_loopback(), 0, Telemetry(), readiness)) as server:
        yield server


def system(monkeypatch: pytest.MonkeyPatch, worker_at: str) -> System:
    """Of an API whose worker is there; nobody else is anywhere."""
    monkeypatch.setenv("ALCYON_SERVE__WORKER_AT", worker_at)
    monkeypatch.setenv("ALCYON_SERVE__PROJECTIONS_AT", "127.0.0.1:9")
    monkeypatch.setenv("ALCYON_STATUS__PORT", "1")
    known = InForce.initial(CATALOG)
    return System(cast(Around, SimpleNamespace(set_to=load_settings(), in_force=lambda: known)))


def test_a_worker_that_never_ends_its_answer_is_not_ready_and_holds_up_nobody(
    dripping: Dripping, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_text(*dripping.place)
    asked = system(monkeypatch, place)
    with ThreadPoolExecutor(8) as callers:
        answers = [callers.submit(asked.told) for _ in range(8)]
        try:
            told = [answer.result(PATIENCE_S) for answer in answers]
        finally:
            dripping.over.set()  # whoever waits for it waits no longer
    why = f"no answer from {place} within {WAIT_S_MAX:g} s"
    assert [(one["ready"], one["reasons"][0]) for one in told] == [(False, why)] * 8
    until(lambda: asked.told()["reasons"][0] == f"nobody answers at {place}", PATIENCE_S)


def test_who_answers_is_shown_and_who_does_not_is_named(
    status: StatusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = system(monkeypatch, place_text(_loopback(), status.port)).told()
    assert (told["ready"], told["phase"]) == (True, "running")
    assert told["worker"]["metrics"]["run_readiness_bool"] == 1
    assert told["reasons"] == ["duties: nobody answers at 127.0.0.1:4"]
    assert told["projection"]["reasons"] == ["nobody answers at 127.0.0.1:9"]
