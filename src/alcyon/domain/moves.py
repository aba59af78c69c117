"""Moves of an alias: who let it name which model, on what evidence, and what came of it.

A registry keeps the moves of each alias in one order and decides nothing itself. A move says upon
which one it was made (`expected`); it has won iff that was the newest winner when it came in. So of
two at once exactly one wins, and everybody who reads the moves knows which.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import msgspec

from alcyon.domain.errors import ConflictError


class MoveState(Enum):
    """A move is under way from its beginning until the worker was told, or could not be."""

    UNDER_WAY = "under_way"
    DONE = "done"
    FAILED = "failed"


class MoveKind(Enum):
    """A roll-back takes back the newest move that was not."""

    PROMOTE = "promote"
    ROLL_BACK = "roll_back"


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A move that somebody wants."""

    alias: str
    """`champion` or `challenger`, see `domain.control`."""
    model: str
    expected: int
    """Number of the newest winner at that time, 0 where there is none; see `head`."""
    kind: MoveKind = MoveKind.PROMOTE
    by: str = ""
    why: str = ""
    evidence: dict[str, dict[str, float | None]] = {}
    """Figures by model name."""


class Move(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A move as the registry keeps it."""

    number: int
    """Its place among the moves of its alias, from 1 on."""
    wanted: Wanted
    at: int
    """When it came in, UTC ms, by the registry."""
    state: MoveState = MoveState.UNDER_WAY


def winners(moves: Sequence[Move]) -> list[Move]:
    """Those that won, in order, whatever became of them.

    The first has: a registry may let go of the oldest winners.

    >>> a, b, c = (Move(n, Wanted("champion", m, e), 0) for n, m, e in
    ...            ((1, "a", 0), (2, "b", 0), (3, "c", 1)))
    >>> [move.wanted.model for move in winners([a, b, c])]
    ['a', 'c']
    """
    found: list[Move] = []
    for move in moves:
        if not found or move.wanted.expected == head(found):
            found.append(move)
    return found


def head(won: Sequence[Move]) -> int:
    """The number of the newest of `winners`, 0 where there is none."""
    return won[-1].number if won else 0


def check_expected(wanted: Wanted, won: Sequence[Move]) -> None:
    """ConflictError unless a move that comes in behind these `winners` wins."""
    if head(won) == wanted.expected:
        return
    other = f"to {won[-1].wanted.model} (by {won[-1].wanted.by or 'nobody named'})" if won else ""
    raise ConflictError(
        f"{wanted.alias} was moved {other} meanwhile: nothing was changed; see alcyon models show "
        f"{wanted.alias}, and ask again if it is still wanted"
    )


def standing(won: Sequence[Move]) -> str | None:
    """The model that the alias names after these `winners`."""
    stack = _stack(won)
    return stack[-1] if stack else None


def before(won: Sequence[Move]) -> str | None:
    """The model that a roll-back goes to: the one named before, and after that the one before it.

    None where there is none.
    """
    stack = _stack(won)
    return stack[-2] if len(stack) > 1 else None


def _stack(won: Sequence[Move]) -> list[str]:
    stack: list[str] = []
    for move in won:
        if move.state is not MoveState.DONE:
            continue
        if move.wanted.kind is MoveKind.ROLL_BACK:
            stack = stack[:-1]
        elif stack[-1:] != [move.wanted.model]:
            stack.append(move.wanted.model)
    return stack
