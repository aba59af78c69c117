"""`alcyon audit verify` and `show`"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from alcyon.cli.opening.offices import BROKER, FILES, demo_log, office
from alcyon.cli.showing.options import Json, settings
from alcyon.cli.showing.talk import show_json, show_table, tell, tell_error
from alcyon.domain.errors import InputError
from alcyon.domain.office.proposals import AuditEntry, Walked
from alcyon.runners.demo.place import DemoPlace

if TYPE_CHECKING:
    from alcyon.domain.ports import CommitReader
    from alcyon.io.office import SqlOffice
    from alcyon.settings import Settings

BROKEN = 1
"""The exit code where something was tampered with."""
_LIMIT_MAX = 1000


class Verified(msgspec.Struct, frozen=True):
    """What `verify --json` prints."""

    audit: Walked
    seals: Walked
    """The chain over the decisions log's commits."""
    decisions: Walked | None
    """The log itself against it; None: there is no log here."""


def verify(*, as_json: Json = False) -> int:
    """Check the audit log, and the decisions log against its seals.

    Exits with 1 where something was changed, removed or added, and names the first. What was cut
    off from a chain's end together with its head is found by comparing the digest that this
    prints with one that was noted before: keep it elsewhere.

    An example:
        alcyon audit verify

    Parameters
    ----------
    as_json
        Print what was found as JSON.
    """
    set_to = settings()
    log = _log(set_to)
    with ExitStack() as files:
        kept = files.enter_context(closing(office(set_to, log)))
        verified = Verified(kept.walk_audit(), kept.walk_seals(), _decisions(set_to, log, kept))
    if as_json:
        show_json(verified)
    told = (
        ("audit log", "entries", verified.audit),
        ("seals of the decisions log", "commits", verified.seals),
        ("decisions log against its seals", "commits", verified.decisions),
    )
    for name, what, walked in told:
        if walked is not None:
            _tell(name, what, walked)
    return BROKEN if any(w is not None and w.broken is not None for _, _, w in told) else 0


def show(*, limit: int = 50, as_json: Json = False) -> None:
    """Show the newest entries of the audit log.

    An example:
        alcyon audit show --limit 20

    Parameters
    ----------
    limit
        How many, 1,000 at most.
    as_json
        Print them as JSON.
    """
    if not 1 <= limit <= _LIMIT_MAX:
        raise InputError(f"--limit is 1 to {_LIMIT_MAX}")
    with closing(office(settings())) as kept:
        entries = kept.audit(None, limit).items
    if as_json:
        show_json(entries)
    elif entries:
        header = ["", "at (UTC)", "by", "what", "of", ""]
        show_table(None, header, [_row(entry) for entry in entries], figures=False)
    else:
        tell("nothing was changed yet")


def _tell(name: str, what: str, walked: Walked) -> None:
    if walked.broken is not None:
        tell_error(f"{name}: {walked.problem}; {walked.count:,} {what} before are whole")
        return
    digest = f", digest {walked.digest}" if walked.digest else ""
    tell(f"{name}: {walked.count:,} {what}, all whole{digest}")


def _row(entry: AuditEntry) -> list[str]:
    at = datetime.fromtimestamp(entry.at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    detail = ", ".join(f"{name} {value}" for name, value in entry.detail.items())
    return [str(entry.number), at, entry.by, entry.what.replace("_", " "), entry.subject, detail]


def _log(set_to: Settings) -> str:
    """Which log is checked: the broker's, else the home's, else the demo's."""
    if set_to.kafka.bootstrap is not None:
        return BROKER
    demo = DemoPlace(set_to.home / "demo")
    is_there = (set_to.home / "decisions").is_dir() or not demo.is_finished
    return FILES if is_there else demo_log(demo)


def _decisions(set_to: Settings, log: str, kept: SqlOffice) -> Walked | None:
    from alcyon.runners.care.verifying import walk_log

    with _commits(set_to, log) as found:
        if found is None:
            return None
        commits, first_index = found
        return walk_log(commits, kept.seals, first_index)


@contextmanager
def _commits(set_to: Settings, log: str) -> Iterator[tuple[CommitReader, int] | None]:
    """The log, and the index of the first commit that it still has; None: there is none."""
    with ExitStack() as files:
        if log == BROKER:
            yield _of_the_broker(set_to, files)
            return
        demo = DemoPlace(set_to.home / "demo")
        yield _of_files(set_to.home / "decisions" if log == FILES else demo.decisions, files)


def _of_files(folder: Path, files: ExitStack) -> tuple[CommitReader, int] | None:
    from alcyon.io.log import EmbeddedCommits
    from alcyon.io.log.frames import segments

    found = segments(folder)
    if not found:
        return None
    return files.enter_context(closing(EmbeddedCommits(folder))), found[0].first


def _of_the_broker(set_to: Settings, files: ExitStack) -> tuple[CommitReader, int]:
    from alcyon.cli.opening.servers import connection, topic_names
    from alcyon.runners.over_kafka import Broker

    broker = Broker(connection(set_to), topic_names(set_to))
    broker.connection.reached()
    first, _ = broker.entries(files).bounds()
    from alcyon.io.kafka import KafkaCommits

    return files.enter_context(closing(KafkaCommits(broker.connection, broker.names))), first
