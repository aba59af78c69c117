"""Filling: a projection that goes on until it is told to stop, whatever befalls it.

An error of a log or a store ends the attempt, not the projection: all is opened anew and goes on
where the store says it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import NamedTuple, Protocol

from alcyon.domain.errors import InputError, LogError, UnreachableError
from alcyon.domain.projected import StoreError
from alcyon.runners.process.status import utc_ms
from alcyon.runners.projections.projection_telling import ProjectionTelling
from alcyon.runners.stream.asked_schemas import RegistryAwayError

PAUSE_S, OUTAGE_PAUSE_S = 0.02, 1.0
"""At the end of the log, where nothing else is said, and after an error."""


class Filled(NamedTuple):
    """What steps did since it was last asked, and where that led."""

    commits: int
    rows: int
    next_index: int
    """The first commit that is not stored yet."""


class Filler(Protocol):
    """What fills a store: opened, stepped, and opened anew after an error."""

    def step(self) -> int:
        """Go on by a part; 0 where there is nothing to do.

        StoreError: the store is away; UnreachableError: the log is; LogError, InputError: it holds
        what cannot be stored, or does not belong to this store.
        """
        ...

    def taken(self) -> Filled:
        """Of the steps since the last call."""
        ...


def fill(
    open_filler: Callable[[ExitStack], Filler],
    telling: ProjectionTelling,
    stop: Event,
    pause_s: float = PAUSE_S,
) -> None:
    """Keep a store filled until stopped; whatever befalls it is told and waited out.

    open_filler: opens it anew, to be closed with the stack; errors as `Filler.step`. pause_s: at
    the end of the log.
    """
    while not stop.is_set():
        try:
            with ExitStack() as files, _told(telling):
                _stepping(open_filler(files), telling, stop, pause_s)
        except (StoreError, UnreachableError, LogError, InputError):
            stop.wait(OUTAGE_PAUSE_S)  # it was told


def _stepping(filler: Filler, telling: ProjectionTelling, stop: Event, pause_s: float) -> None:
    while not stop.is_set():
        is_idle = not filler.step()
        done = filler.taken()
        telling.stored(done.commits, done.rows, done.next_index, utc_ms())
        if is_idle:
            stop.wait(pause_s)


@contextmanager
def _told(telling: ProjectionTelling) -> Iterator[None]:
    """At once: to close what was open takes a while where nobody answers."""
    try:
        yield
    except StoreError as error:
        telling.store_away(error, utc_ms())
        raise
    except RegistryAwayError as error:
        telling.halted(error, utc_ms())
        raise
    except UnreachableError as error:
        telling.broker_away(error, utc_ms())
        raise
    except (LogError, InputError) as error:
        telling.halted(error, utc_ms())
        raise
