"""Who waits for which decision, and who is given up where too many wait."""

from __future__ import annotations

import pytest

from alcyon.domain.errors import ConflictError, UnreachableError
from alcyon.runners.serving.admitting import Row
from alcyon.runners.serving.waiting import Request, Told, Waiting


def request(*names: str) -> Request:
    """On payments with these ids; a mark is its id's last character."""
    made = Request([b"{}"] * len(names), None, 0.0)
    made.rows = [Row(name[:-1], b"{}", ord(name[-1])) for name in names]
    return made


def waits(waiting: Waiting, *names: str) -> Request:
    """A request whose rows are all new."""
    made = request(*names)
    waiting.check(made.rows)
    assert waiting.await_new(made, waiting.take(made)) == made.rows
    return made


def told(name: str) -> Told:
    """It is approved."""
    return Told(7, name, "APPROVE", 1, 1, (), (), ())


def test_beyond_the_bound_the_oldest_are_given_up_and_may_be_asked_about_again() -> None:
    waiting = Waiting(waiting_max=3)
    first = waits(waiting, "a1", "b1")
    second = waits(waiting, "c1", "d1")
    assert len(waiting) == 3
    assert waiting.decided(told("a")) == []
    assert waiting.decided(told("b")) == []
    assert (first.left, first.is_over) == (1, False)
    assert [waiting.decided(told(name)) for name in "cd"] == [[], [second]]
    assert len(waiting) == 0


def test_what_is_recent_is_answered_only_if_the_payload_is_known_to_be_the_same() -> None:
    waiting = Waiting(waiting_max=9, recent_max=2)
    waits(waiting, "a1")
    waiting.decided(told("a"))
    waiting.decided(told("z"))  # decided, and nobody here asked: its payload is not known
    again = request("a1", "z1")
    waiting.check(again.rows)
    assert waiting.take(again) == [1]
    with pytest.raises(ConflictError, match="transaction a "):
        waiting.check(request("n1", "a2").rows)
    waiting.decided(told("m"))
    assert waiting.take(request("a1")) == [0], "forgotten: two newer ones are kept"


def test_two_payloads_under_one_id_conflict_within_a_request_and_with_one_that_waits() -> None:
    waiting = Waiting(waiting_max=9)
    with pytest.raises(ConflictError, match="transaction b "):
        waiting.check(request("a1", "b1", "b2").rows)
    first = waits(waiting, "a1")
    with pytest.raises(ConflictError, match="transaction a "):
        waiting.check(request("c1", "a2").rows)
    same = request("a1")
    assert waiting.take(same) == []
    assert waiting.give_up(["a"], UnreachableError("full")) == [first, same]
