"""What has arrived is done together, up to a weight, and at the earliest so long after what was."""

from __future__ import annotations

import time
from threading import Event

import pytest

from alcyon.runners.serving.grouping import Grouping


class Working:
    """Notes its groups; stands still in the first until it is let go."""

    def __init__(self) -> None:
        self.groups = list[list[str]]()
        self.is_begun, self.may_go = Event(), Event()

    def work(self, group: list[str]) -> None:
        self.groups.append(group)
        self.is_begun.set()
        assert self.may_go.wait(30)


def grouping(working: Working, at_once: int, every_s: float = 0.0) -> Grouping[str]:
    """Of words, each as heavy as it is long, behind one that is being worked on."""
    made = Grouping("words", working.work, len, at_once, every_s)
    made.put("first")
    assert working.is_begun.wait(30)
    return made


@pytest.mark.parametrize(
    ("at_once", "groups"),
    [
        (1, [["first"], ["a"], ["bcd"], ["e"], ["f"]]),
        (4, [["first"], ["a", "bcd"], ["e", "f"]]),
        (99, [["first"], ["a", "bcd", "e", "f"]]),
    ],
)
def test_a_group_is_whatever_came_until_it_is_heavy_enough(
    at_once: int, groups: list[list[str]]
) -> None:
    working = Working()
    made = grouping(working, at_once)
    for word in ("a", "bcd", "e", "f"):
        made.put(word)
    assert made.waiting == 6
    working.may_go.set()
    made.close()
    assert working.groups == groups
    assert made.waiting == 0


def test_what_follows_closely_waits_for_what_comes_with_it() -> None:
    working = Working()
    working.may_go.set()
    made = grouping(working, 99, every_s=1.0)
    made.put("a")
    time.sleep(0.1)  # by itself the thread would have taken it
    made.put("b")
    made.close()
    assert working.groups == [["first"], ["a", "b"]]
