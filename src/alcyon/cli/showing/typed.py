"""What is typed while something runs, key by key and without an echo."""

from __future__ import annotations

import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def typed_keys() -> Iterator[Callable[[], str]]:
    """A function that gives what was typed since it was last asked, without waiting.

    Where stdin is no terminal it is always the empty text.
    """
    if not sys.stdin.isatty():
        yield lambda: ""
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield _typed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _typed() -> str:
    typed = ""
    while select.select([sys.stdin], [], [], 0)[0]:
        key = sys.stdin.read(1)
        if not key:  # the terminal is gone
            return typed
        typed += key
    return typed
