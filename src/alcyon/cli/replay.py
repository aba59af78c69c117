"""`alcyon replay`"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from alcyon.cli.options import Json, settings
from alcyon.cli.talk import progress, show_json, tell, tell_error
from alcyon.detectors.loading import load_detector
from alcyon.domain.decision import Decision
from alcyon.domain.errors import InputError, SnapshotError
from alcyon.features.kernel import Kernel
from alcyon.features.layout import Layout
from alcyon.io.log import EmbeddedCommits, EmbeddedSource
from alcyon.io.registry import FolderRegistry
from alcyon.runners.deciding import Means
from alcyon.runners.demo.place import DemoPlace
from alcyon.runners.replay import Difference, Recording, Replayed, Span, span_of
from alcyon.runners.replay import replay as replayed
from alcyon.settings import Settings

DIFFERENT = 1
"""The exit code where a decision came out otherwise."""
_decision = msgspec.json.Decoder(Decision)

First = Annotated[int | None, Parameter(name="--from")]
Last = Annotated[int | None, Parameter(name="--to")]


class Found(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    compared: int
    differing: int
    records: int
    snapshot: str | None
    sequences: tuple[int, ...]
    """Of the first differences."""


def replay(
    transaction: Annotated[str | None, Parameter(name="ID")] = None,
    /,
    *,
    first: First = None,
    last: Last = None,
    as_json: Json = False,
) -> int:
    """Decide again what was decided, and compare to the byte.

    Reads the demo's logs, which may be growing meanwhile. The exit code is 1 where
    a decision came out otherwise.

    An example:
        alcyon replay
        alcyon replay --from 720000 --to 725000
        alcyon replay t-0123abcdef-0000000042

    Parameters
    ----------
    transaction
        Only the decision on this transaction.
    first
        Only decisions from this sequence on.
    last
        Only decisions up to this sequence.
    as_json
        Print what was found as JSON.
    """
    set_to = settings()
    place = DemoPlace(set_to.home / "demo")
    if not place.decisions.is_dir():
        raise InputError(f"nothing was decided in {place.folder} yet: start alcyon demo first")
    with ExitStack() as files:
        recording = Recording(
            files.enter_context(closing(EmbeddedSource(place.intake))),
            files.enter_context(closing(EmbeddedCommits(place.decisions))),
            place.snapshots,
        )
        span = _span(recording, transaction, first, last)
        try:
            found = _replayed(recording, place.models, span, set_to)
        except SnapshotError:  # the worker keeps its newest only
            from_the_first = replace(recording, snapshots=place.warmed)
            found = _replayed(from_the_first, place.models, span, set_to)
    _tell(found)
    if as_json:
        sequences = tuple(difference.sequence for difference in found.differences)
        show_json(Found(found.compared, found.differing, found.records, found.snapshot, sequences))
    return DIFFERENT if found.differing else 0


def _span(
    recording: Recording, transaction: str | None, first: int | None, last: int | None
) -> Span:
    if transaction is not None:
        if first is not None or last is not None:
            raise InputError("give either a transaction or --from and --to")
        return span_of(recording.log, transaction)
    span = Span(first or 0, Span().last if last is None else last)
    if span.first > span.last:
        raise InputError(f"--from {span.first} is behind --to {span.last}")
    return span


def _replayed(recording: Recording, models: Path, span: Span, set_to: Settings) -> Replayed:
    detector = load_detector("card")
    means = Means(
        set_to.token.keys(),
        FolderRegistry(models, detector.catalog).load,
        detector.columns,
        set_to.codec.payload_bytes_max,
        set_to.codec.dead_letter_bytes_max,
    )
    kernel = Kernel(Layout(detector.catalog))
    with progress("records", None) as advance:
        return replayed(
            kernel, recording, means, span, set_to.worker.batch_max,
            lambda done, total: advance(done),
        )  # fmt: skip


def _tell(found: Replayed) -> None:
    for name, why in found.refused:
        tell_error(f"snapshot {name} cannot be used: {why}")
    for difference in found.differences:
        tell_error(_described(difference))
    tell(
        f"{found.compared:,} decisions compared, {found.differing:,} differ "
        f"({found.records:,} records read from {found.snapshot or 'the beginning'})"
    )


def _described(difference: Difference) -> str:
    """Which fields differ, by name."""
    if difference.recorded is None or difference.recomputed is None:
        side = "was not recorded" if difference.recorded is None else "does not come again"
        return f"sequence {difference.sequence}: the decision {side}"
    then, now = map(_decision.decode, (difference.recorded, difference.recomputed))
    names = [n for n in Decision.__struct_fields__ if getattr(then, n) != getattr(now, n)]
    return f"sequence {difference.sequence} ({then.transaction_id}): {', '.join(names)} differ"
