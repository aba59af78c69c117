"""Talk: what a command says to a person, on stderr; data goes to files and stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from alcyon.learning.member import Progress as MemberProgress
    from alcyon.runners.files.arrivals import Tally

Advance = Callable[[int], None]
"""Told how much is done by now."""


def tell_error(text: str) -> None:
    """One red line."""
    _stderr().print(f"[red]{escape(f'alcyon: {text}')}[/red]", soft_wrap=True, highlight=False)


def tell(text: str) -> None:
    """One line."""
    _stderr().print(escape(text), soft_wrap=True, highlight=False)


def tell_tally(source: Path, output: Path | None, tally: Tally) -> None:
    """What was unusual about a file's rows; nothing where nothing was."""
    if tally.late:
        tell(f"{source}: {tally.late:,} late rows are in no window")
    if tally.duplicates:
        tell(f"{source}: {tally.duplicates:,} rows repeat an earlier transaction")
    if tally.dead_letters:
        place = "" if output is None else f", see {output}.dead-letters.jsonl"
        tell(f"{source}: {tally.dead_letters:,} records could not be used{place}")


@contextmanager
def progress(name: str, total: int | None = None) -> Iterator[Advance]:
    """A bar while something long goes on; where stderr is no terminal, nothing."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
    )  # fmt: skip
    console = _stderr()
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task(name, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def member_progress() -> Iterator[MemberProgress]:
    """Bars for steps that come one after the other, each told by name, done and total."""
    console = _stderr()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    tasks: dict[str, TaskID] = {}

    def heard(name: str, done: int, total: int) -> None:
        if name not in tasks:
            tasks[name] = bar.add_task(name)
        bar.update(tasks[name], completed=done, total=total)

    with bar:
        yield heard


def show_table(
    title: str | None, header: Sequence[str], rows: Sequence[Sequence[str]], figures: bool = True
) -> None:
    """A table on stdout: names to the left, and what follows to the right if it is figures."""
    table = Table(title=title, title_justify="left")
    for at, name in enumerate(header):
        table.add_column(name, justify="right" if figures and at > 0 else "left")
    for row in rows:
        table.add_row(*map(escape, row))
    console = Console()
    # Cut off columns would be wrong figures: a file or a pipe gets all the width it needs.
    console.print(table) if console.is_terminal else Console(width=200).print(table)


def show_json(value: object) -> None:
    """JSON on stdout, indented, with a newline at the end."""
    raw = msgspec.json.format(msgspec.json.encode(value), indent=2)
    sys.stdout.write(raw.decode() + "\n")


def _stderr() -> Console:
    return Console(stderr=True)
