"""Feeds: what happens now, by WebSocket; who reads too slowly is cut off."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel

from alcyon.api.access import COOKIE, KEY_HEADER, TheDesk, Viewer, callers_of, is_ours
from alcyon.api.decisions import Cursor, Limit
from alcyon.api.desk import Desk
from alcyon.domain.errors import SlowError
from alcyon.domain.office.access import Role
from alcyon.domain.office.searching import DeadLetterShown

router = APIRouter(tags=["live and system"])
_POLICY, _SLOW = 1008, 1013
SEND_S_MAX = 5.0
"""For one message to leave: whoever takes nothing for so long is cut off."""


class DeadLetters(BaseModel):
    """Some of the refused records."""

    items: list[DeadLetterShown]
    next: str | None


@router.get("/v1/live")
def live(desk: TheDesk, _: Viewer) -> dict[str, Any]:
    """The newest statistics, as the feed gives them once a second."""
    return desk.feeds.now()


@router.get("/v1/live/past")
def live_past(desk: TheDesk, _: Viewer) -> list[dict[str, Any]]:
    """Rate, latency and actions by second, of the last five minutes, the oldest first."""
    return desk.feeds.past()


@router.get("/v1/system")
def system(desk: TheDesk, _: Viewer) -> dict[str, Any]:
    """Worker, projections, stores, snapshots and versions."""
    return desk.system()


@router.get("/v1/dead-letters")
def dead_letters(
    desk: TheDesk, _: Viewer, reason: str | None = None, cursor: Cursor = None, limit: Limit = 50
) -> DeadLetters:
    """Refused records, the newest first."""
    items, following = desk.searcher.dead_letters(reason, cursor, limit)
    return DeadLetters(items=items, next=following)


@router.websocket("/v1/feeds/{feed}")
async def feed(socket: WebSocket, feed: Literal["decisions", "alerts", "statistics"]) -> None:
    """Authenticated at the handshake; a browser's page must be ours."""
    desk: Desk = socket.app.state.desk
    if not await _is_allowed(socket):
        await socket.close(_POLICY)  # before accept: the handshake is answered 403
        return
    await socket.accept()
    watcher = desk.feeds.subscribe(feed)
    try:
        while True:
            message = await watcher.next()
            async with asyncio.timeout(SEND_S_MAX):
                await socket.send_text(message.decode())
    except (SlowError, TimeoutError):
        await socket.close(_SLOW, "too slow: open anew")
    except (WebSocketDisconnect, RuntimeError):
        pass
    finally:
        watcher.close()


async def _is_allowed(socket: WebSocket) -> bool:
    callers = callers_of(socket)
    key, session = socket.headers.get(KEY_HEADER), socket.cookies.get(COOKIE)
    if key is not None:
        caller = await callers.of_key(key)
    elif session is not None and is_ours(socket, socket.headers.get("origin")):
        caller = await callers.of_session(session)
    else:
        caller = None
    return caller is not None and caller.role.may(Role.VIEWER)
