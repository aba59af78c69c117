"""Behind: how far projections are behind the decisions log, asked beside them.

It has a reader of its own and a thread of its own: what befalls a projection does not befall this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from threading import Event

from alcyon.domain.errors import LogError, UnreachableError
from alcyon.runners.process.status import utc_ms
from alcyon.runners.projections.projection_telling import ProjectionTelling

ASK_EVERY_S = 2.0


def tell_behind(
    open_end: Callable[[ExitStack], Callable[[], int]],
    tellings: Sequence[ProjectionTelling],
    stop: Event,
) -> None:
    """Tell how far each is behind, every `ASK_EVERY_S`, until stopped.

    open_end: opens what says the index behind the last commit, to be closed with the stack;
    UnreachableError, LogError from either: not now, which the projections tell themselves.
    """
    while not stop.is_set():
        try:
            with ExitStack() as files:
                end = open_end(files)
                while not stop.is_set():
                    index = end()
                    for telling in tellings:
                        telling.behind(index, utc_ms())
                    stop.wait(ASK_EVERY_S)
        except (UnreachableError, LogError):
            stop.wait(ASK_EVERY_S)
