"""Starting: waiting beside importing, nothing imported that is not used, and with whom to end."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from threading import Event, Thread
from typing import Generic, TypeVar

T = TypeVar("T")


_SWITCH_S = 0.0005
"""How long one thread may keep the others from going on: a commit beside decisions, the reading of
a snapshot beside imports. Python's own 5 ms would be seen."""
_YOUNG = 50_000
"""So many more objects than before are a reason to look for garbage. What a batch needs is gone by
itself when the batch is; at Python's own 700 it is looked through several times first, which was
a third of the processor time of serving batches."""
PARENT = "_ALCYON_PARENT"
"""The process that started this one, which ends with it, however it ends."""


def hurry() -> None:
    """Threads wait less for each other; and until `settle`, what is imported is not looked through
    for garbage again and again."""
    gc.disable()
    sys.setswitchinterval(_SWITCH_S)


def settle() -> None:
    """What is there now stays: the collector need not look at it, and looks at the rest seldom."""
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
    gc.enable()


@contextmanager
def without(*names: str) -> Iterator[None]:
    """These modules cannot be imported meanwhile: what takes them where they are there does not.

    Numba imports all of SciPy's linear algebra to see whether it could multiply matrices with it.
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: an ImportError
    try:
        yield
    finally:
        for name in hidden:
            if sys.modules.get(name) is None:
                del sys.modules[name]


class OpenedEarly(Generic[T]):
    """Opens by a thread, at once, what is asked for later, and from then on when it is asked for.

    open_files: opens, to be closed with the stack. What it raises is raised where it is asked for.
    """

    def __init__(self, open_files: Callable[[ExitStack], T]) -> None:
        self._open = open_files
        self._early: Future[tuple[ExitStack, T]] | None = Future()
        Thread(target=self._run, args=(self._early,), name="opening", daemon=True).start()

    def open(self, files: ExitStack) -> T:
        """The first time what the thread opened."""
        early, self._early = self._early, None
        if early is None:
            return self._open(files)
        opened_files, opened = early.result()
        files.enter_context(opened_files)
        return opened

    def close(self) -> None:
        """Called once, last: nobody asked for it."""
        if self._early is not None:
            with suppress(Exception), ExitStack() as files:
                self.open(files)

    def _run(self, early: Future[tuple[ExitStack, T]]) -> None:
        files = ExitStack()
        try:
            opened = self._open(files)
        except BaseException as error:
            files.close()
            early.set_exception(error)
        else:
            early.set_result((files, opened))


def stop_with_parent(stop: Event) -> None:
    """Stop where the process that started us for itself is gone: the next one starts its own."""
    parent = int(os.environ.get(PARENT, "0"))

    def watch() -> None:
        while os.getppid() == parent:
            if stop.wait(0.5):
                return
        stop.set()

    if parent:
        Thread(target=watch, name="parent", daemon=True).start()
