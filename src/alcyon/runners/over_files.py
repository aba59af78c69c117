"""Over files: the ports of the worker and of the projections, opened on the embedded log.

The intake has one writer, which is whoever holds it (`alcyon serve`); the worker only reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from alcyon.domain.errors import LogError
from alcyon.domain.ports import Store
from alcyon.domain.read_model import Known, ReadModel
from alcyon.domain.record import Record, Topic
from alcyon.io.log import (
    SEGMENT_BYTES_MAX,
    EmbeddedCommits,
    EmbeddedDecisions,
    EmbeddedIntake,
    EmbeddedSource,
    Fsync,
)
from alcyon.io.snapshot_reading import ReadAhead
from alcyon.runners.stream.reading import Reading

if TYPE_CHECKING:
    from alcyon.runners.projections.case_opening import CaseBook, CaseOpening
    from alcyon.runners.projections.projection import Decoder, Projection
    from alcyon.runners.projections.read_model import ReadModelRunner
    from alcyon.runners.stream.deciding import Means
    from alcyon.runners.stream.service import Opened

_AT_ONCE = 4096


@dataclass(frozen=True)
class LogFiles:
    """Where the logs lie, and how they are written."""

    folder: Path
    fsync: Fsync = "always"
    segment_bytes_max: int = SEGMENT_BYTES_MAX

    @property
    def intake(self) -> Path:
        """The intake log."""
        return self.folder / "intake"

    @property
    def decisions(self) -> Path:
        """The decisions log."""
        return self.folder / "decisions"

    @property
    def snapshots(self) -> Path:
        """The worker's snapshots."""
        return self.folder / "snapshots"

    def open_intake(self) -> EmbeddedIntake:
        """The intake, to write. LogError: somebody else does."""
        return EmbeddedIntake(self.intake, self.fsync, self.segment_bytes_max)

    def reading(self, files: ExitStack) -> Reading:
        """Readers of commits and of the records they cover, closed with `files`."""
        return Reading(
            files.enter_context(closing(EmbeddedCommits(self.decisions))),
            files.enter_context(closing(EmbeddedSource(self.intake))),
        )

    def control_payloads(self) -> list[bytes]:
        """All control records there are, in order."""
        with closing(EmbeddedSource(self.intake)) as source:
            return [r.payload for r in _all(source) if r.topic is Topic.CONTROL]


def begin_intake(intake: EmbeddedIntake, first_controls: Callable[[], Sequence[bytes]]) -> None:
    """Where the intake is empty, first say by what to decide."""
    if intake.end == 0:
        intake.append(Topic.CONTROL, first_controls())


class WorkerPorts:
    """Opens a worker's ports; where nothing was ever taken in, it first says by what to decide,
    unless whoever holds the intake does.

    first_controls: the control records that say so, asked for only then. ahead: see `begin`.
    """

    def __init__(
        self,
        logs: LogFiles,
        first_controls: Callable[[], Sequence[bytes]],
        ahead: ReadAhead | None,
    ) -> None:
        self._logs, self._first_controls, self._ahead = logs, first_controls, ahead

    def open(self, files: ExitStack) -> Opened:
        """Open them anew."""
        logs = self._logs
        log = files.enter_context(
            closing(EmbeddedDecisions(logs.decisions, logs.fsync, logs.segment_bytes_max))
        )
        if log.last() is None:
            with suppress(LogError), closing(logs.open_intake()) as intake:
                begin_intake(intake, self._first_controls)
        source = files.enter_context(closing(EmbeddedSource(logs.intake)))
        from alcyon.runners.stream.service import Opened
        from alcyon.runners.stream.worker import Ports

        return Opened(Ports(source, log, logs.snapshots, self._ahead), self._keeps)

    def _keeps(self, commit_index: int) -> bool:
        """Nobody drops what lies before a snapshot: that would have to be by hand."""
        with closing(EmbeddedSource(self._logs.intake)) as source:
            if source.first == 0:
                return True
            with closing(EmbeddedCommits(self._logs.decisions)) as commits:
                try:
                    before = commits.read(commit_index - 1, 1) if commit_index else []
                except LogError:
                    return False
            return bool(before) and before[0].position >= source.first


class ProjectionPorts:
    """Opens what fills a store or the read model. means: how records are decoded."""

    def __init__(self, logs: LogFiles, means: Means) -> None:
        from alcyon.runners.stream.asked_schemas import AskedSchemas

        self._logs = logs
        is_asked = means.schemas is not None
        self._means = replace(means, schemas=AskedSchemas(means.schemas)) if is_asked else means

    def open_projection(self, files: ExitStack, open_store: Callable[[], Store]) -> Projection:
        """The projection into a store."""
        from alcyon.runners.projections.projection import Projection

        commits = files.enter_context(closing(EmbeddedCommits(self._logs.decisions)))
        source = files.enter_context(closing(EmbeddedSource(self._logs.intake)))
        store = files.enter_context(closing(open_store()))
        return Projection(commits, source, store, self._decoder(), self._means.label_decoder())

    def open_read_model(self, files: ExitStack, model: ReadModel, known: Known) -> ReadModelRunner:
        """The runner of the read model; known: outlives it."""
        from alcyon.runners.projections.card_decisions import Cards
        from alcyon.runners.projections.read_model import Logs, ReadModelRunner

        model.covered()  # before anything else: an outage of it costs one attempt a second
        bounds = files.enter_context(closing(EmbeddedCommits(self._logs.decisions))).bounds
        cards = Cards(self._means.keys, self._decoder())
        logs = Logs(self._logs.reading(files), self._logs.reading, bounds, cards)
        return files.enter_context(closing(ReadModelRunner(logs, model, known)))

    def open_cases(self, files: ExitStack, office: CaseBook) -> CaseOpening:
        """What opens the office's cases; it begins at the first commit that the log keeps."""
        from alcyon.runners.projections.case_opening import CaseOpening

        bounds = files.enter_context(closing(EmbeddedCommits(self._logs.decisions))).bounds
        return CaseOpening(self._logs.reading(files), office, self._decoder(), lambda: bounds()[0])

    def open_end(self, files: ExitStack) -> Callable[[], int]:
        """What says the index behind the last commit."""
        commits = files.enter_context(closing(EmbeddedCommits(self._logs.decisions)))
        return lambda: commits.bounds()[1]

    def _decoder(self) -> Callable[[str], Decoder]:
        from alcyon.runners.stream.rates import RatesByVersion

        rates = RatesByVersion(self._logs.control_payloads)
        return lambda version: self._means.transaction_decoder(rates.of(version))


def _all(source: EmbeddedSource) -> Iterator[Record]:
    source.seek(source.first)
    while records := source.poll(_AT_ONCE, 0.0):
        yield from records
