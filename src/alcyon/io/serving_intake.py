"""The intake of a running `alcyon serve`, as far as its learner may write there."""

from __future__ import annotations

from collections.abc import Sequence

import httpx2

from alcyon.domain.control import SetModel, decode_control
from alcyon.domain.errors import (
    AccessError,
    ConflictError,
    InputError,
    UnreachableError,
)
from alcyon.domain.record import Topic

TIMEOUT_S = 30.0
_REFUSED = {401: AccessError, 403: AccessError, 409: ConflictError, 422: InputError}


class ServingIntake:
    """Takes the control records of the learner's moves, and no others; `alcyon serve` writes them.

    Used as a `domain.ports.Intake`, which takes any record.

    AccessError, ConflictError: it refuses, and nothing was written. UnreachableError: it does not
    answer; whether it was written is in doubt where it did not answer in time.
    """

    def __init__(self, url: str, key: str) -> None:
        self._client = httpx2.Client(
            base_url=url, headers={"X-API-Key": key}, timeout=TIMEOUT_S, trust_env=False
        )

    def append(self, topic: Topic, payloads: Sequence[bytes]) -> None:
        """One after the other. InputError: one is no move of an alias, none was sent."""
        moves = [decode_control(payload) for payload in payloads if topic is Topic.CONTROL]
        sent = [move for move in moves if isinstance(move, SetModel)]
        if len(sent) != len(payloads):
            raise InputError("alcyon serve takes nothing but moves of an alias from the learner")
        for move in sent:
            self._send({"alias": move.alias, "model": move.name})

    def close(self) -> None:
        """Called once, last."""
        self._client.close()

    def _send(self, body: dict[str, str | None]) -> None:
        try:
            answer = self._client.post("/v1/models/moves", json=body)
        except httpx2.HTTPError as error:
            raise UnreachableError(
                f"{self._client.base_url} does not answer: start alcyon serve, or set learn.url"
            ) from error
        if answer.is_success:
            return
        try:
            detail = str(answer.json()["detail"])
        except (ValueError, KeyError, TypeError):
            detail = f"it answers {answer.status_code}"
        raise _REFUSED.get(answer.status_code, UnreachableError)(f"alcyon serve: {detail}")
