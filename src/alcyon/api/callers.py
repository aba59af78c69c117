"""Callers: who is behind a key or a session, known for seconds, so that the store is not asked for
each request."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool

from alcyon.domain.office.access import Caller
from alcyon.domain.office.ports import Office

KNOWN_S = 2.0
"""How long somebody whose access ended elsewhere may still act; what ends it here is heeded at
once."""
KNOWN_MAX = 10_000


class Callers:
    """Asks the office; used in one event loop."""

    def __init__(self, office: Office, clock: Callable[[], float] = time.monotonic) -> None:
        self._office, self._clock = office, clock
        self._known: dict[tuple[str, str], tuple[Caller, float]] = {}

    def known(self, key: str | None, session: str | None) -> Caller | None:
        """Who that is, as far as it is known without asking; a key goes before a session."""
        found = self._known.get(("session", session or "") if key is None else ("key", key))
        return found[0] if found is not None and self._clock() < found[1] else None

    async def of_key(self, secret: str) -> Caller | None:
        """Whose key it is."""
        return self.known(secret, None) or await self._asked(
            ("key", secret), self._office.caller_of_key
        )

    async def of_session(self, secret: str) -> Caller | None:
        """Whose session it is."""
        return self.known(None, secret) or await self._asked(
            ("session", secret), self._office.caller_of_session
        )

    def forget(self) -> None:
        """Somebody's access was changed. From any thread."""
        self._known = {}

    async def _asked(
        self, named: tuple[str, str], ask: Callable[[str], Caller | None]
    ) -> Caller | None:
        known = self._known
        caller = await run_in_threadpool(ask, named[1])
        if caller is not None:
            if len(known) >= KNOWN_MAX:
                known.clear()
            known[named] = (caller, self._clock() + KNOWN_S)
        return caller
