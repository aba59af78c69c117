"""Arriving: a request has to come in whole within a time, or its connection is closed.

Otherwise whoever sends nothing, or a byte now and then, keeps a connection for as long as they
like, and there are only so many.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Arriving(HttpToolsProtocol):
    """One connection. Looks at itself from time to time, for a timer at each request would cost."""

    SECONDS_MAX = 30.0
    """From when it is the client's turn until the request is there: a body of the largest size may
    come at 35 kB/s."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._turn_at = self.loop.time()
        self._looking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is there; it is their turn."""
        super().connection_made(transport)
        self._look_in(self.SECONDS_MAX)

    def on_response_complete(self) -> None:
        """Theirs again."""
        self._turn_at = self.loop.time()
        super().on_response_complete()

    def handle_websocket_upgrade(self) -> None:
        """The connection is another protocol's from now on."""
        self._look_no_more()
        super().handle_websocket_upgrade()

    def connection_lost(self, exc: Exception | None) -> None:
        """Over."""
        self._look_no_more()
        super().connection_lost(exc)

    def _look(self) -> None:
        since = 0.0 if self._is_our_turn() else self.loop.time() - self._turn_at
        if since < self.SECONDS_MAX:
            self._look_in(self.SECONDS_MAX - since)
        else:
            self.transport.abort()  # nor would they read what we could still say

    def _is_our_turn(self) -> bool:
        """A request is there, and not answered yet."""
        cycle = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def _look_in(self, seconds: float) -> None:
        self._looking = self.loop.call_later(seconds, self._look)

    def _look_no_more(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
