"""Serves the console over simulated work: `python -m tests.console.serve`, then `npm run dev`."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from alcyon.api.app import create_app
from alcyon.domain.office.access import Caller, Role
from tests.console.desk import Scene
from tests.console.memory_desk import open_desk
from tests.console.memory_office import MemoryOffice, now_ms
from tests.console.simulated import World, simulate

_START_S_MAX = 60


def new_scene(alert_count: int = 60) -> Scene:
    """A scene with so many alerts; 0: nothing happened yet."""
    if alert_count == 0:
        return Scene(World(now_ms(), [], []))
    return Scene(simulate(now_ms(), alert_count))


def with_proposals(office: MemoryOffice) -> None:
    """What a colleague has proposed."""
    colleague = Caller("grace", Role.LEAD, "grace")
    change = {"name": "block", "column": "device_id", "value": "d-shared-77aa01",
              "expires_at": None, "is_removal": False}  # fmt: skip
    office.propose(colleague, "list", change, "14 cards in a day", base_version="l")
    diff = (
        '--- in force\n+++ proposed\n@@ -1,3 +1,3 @@\n id = "card_velocity"\n'
        '-when = "card_count_10m >= 8"\n+when = "card_count_10m >= 6"\n'
    )
    office.propose(
        colleague, "rules", {"text": ""}, "They stay at 7 now", base_version="r", diff=diff
    )


class Strict:
    """Answers with the strictest policy that the console is to live under."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def told(message: Any) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", b"default-src 'self'")
                message["headers"] = [*message["headers"], policy]
            await send(message)

        await self._app(scope, receive, told)


@contextmanager
def serving(scene: Scene, port: int = 0) -> Iterator[tuple[str, MemoryOffice]]:
    """The console's address, and the office behind it."""
    desk, office = open_desk(scene)
    config = uvicorn.Config(
        Strict(create_app(desk)), "127.0.0.1", port, log_level="critical",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    stop_at = time.monotonic() + _START_S_MAX
    while not server.started:
        if not thread.is_alive() or time.monotonic() > stop_at:
            raise RuntimeError("the server did not start")
        time.sleep(0.02)
    found = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{found}", office
    finally:
        server.should_exit = True
        thread.join(10)


def main() -> None:
    """Serve until Ctrl-C."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, default=8080)
    options.add_argument("--alerts", type=int, default=60)
    given = options.parse_args()
    with serving(new_scene(given.alerts), given.port) as (address, office):
        with_proposals(office)
        print(f"{address}  (Ctrl-C ends it)")
        threading.Event().wait()


if __name__ == "__main__":
    main()
