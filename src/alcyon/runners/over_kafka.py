"""Over Kafka: the ports of the worker and of the projections, opened on one broker.

What decides is imported only behind the opening: so a broker that starts a worker's transactions
does it beside those imports, and need not wait for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from alcyon.domain.errors import LogError, UnreachableError
from alcyon.domain.ports import Store
from alcyon.domain.read_model import Known, ReadModel
from alcyon.domain.record import Topic
from alcyon.io.kafka import (
    Connection,
    KafkaCommits,
    KafkaDecisions,
    KafkaIntake,
    KafkaRecorded,
    KafkaSource,
    TopicNames,
    ensure_topics,
)
from alcyon.io.kafka.control import control_payloads
from alcyon.io.kafka.entries import Entries, Entry, Segment
from alcyon.io.kafka.source import HandedOver
from alcyon.io.snapshot_reading import ReadAhead
from alcyon.runners.stream.reading import Reading

if TYPE_CHECKING:
    from alcyon.runners.projections.case_opening import CaseBook, CaseOpening
    from alcyon.runners.projections.projection import Decoder, Projection
    from alcyon.runners.projections.read_model import ReadModelRunner
    from alcyon.runners.stream.deciding import Means
    from alcyon.runners.stream.service import Opened

REACH_S = 2.0
"""For a broker to answer before anything is opened on it."""
_NOTHING = Entry(-1, 0, 0, 0, 0, {}, (), (), *[Segment(0, 0, 0)] * 3)


@dataclass(frozen=True)
class Broker:
    """A broker, and what our topics are called there."""

    connection: Connection
    names: TopicNames

    def trailing(self) -> Broker:
        """The same for readers that may be a little late."""
        return replace(self, connection=self.connection.trailing())

    def reading(self, files: ExitStack) -> Reading:
        """Readers of commits and of the records they cover, closed with `files`."""
        return Reading(
            files.enter_context(closing(KafkaCommits(self.connection, self.names))),
            files.enter_context(closing(KafkaRecorded(self.connection, self.names))),
        )

    def entries(self, files: ExitStack) -> Entries:
        """A reader of what commits cover, closed with `files`."""
        return files.enter_context(closing(Entries(self.connection, self.names.commits)))


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker's ports are set to; see `alcyon.settings`.

    may_create: whether topics that are missing are made.
    """

    transactional_id: str
    retention_hours: int
    buffer_kib_max: int
    may_create: bool
    snapshots: Path


class WorkerPorts:
    """Opens a worker's ports; where nothing was ever decided, it first says by what to decide.

    first_controls: the control records that say so, asked for only then. ahead: see `begin`.
    """

    def __init__(
        self,
        broker: Broker,
        set_to: WorkerSettings,
        first_controls: Callable[[], Sequence[bytes]],
        ahead: ReadAhead | None,
    ) -> None:
        self._broker, self._set_to = broker, set_to
        self._first_controls, self._ahead = first_controls, ahead
        self._has_opened = False

    def open(self, files: ExitStack) -> Opened:
        """Open them anew. SettingsError: at the start, what waiting does not cure."""
        try:
            opened = self._opened(files)
        except UnreachableError as error:
            from alcyon.runners.care.diagnosis import refusal

            if not self._has_opened and (refused := refusal(error)) is not None:
                raise refused from error
            raise
        self._has_opened = True
        return opened

    def _opened(self, files: ExitStack) -> Opened:
        connection, names, set_to = self._broker.connection, self._broker.names, self._set_to
        partitions = ensure_topics(
            connection, names, set_to.retention_hours, may_create=set_to.may_create,
            reach_s=REACH_S,
        )  # fmt: skip
        handed_over = HandedOver()
        log = files.enter_context(
            closing(KafkaDecisions(connection, names, set_to.transactional_id, handed_over))
        )
        if log.last() is None:
            self._say_by_what()
        source = files.enter_context(
            closing(KafkaSource(connection, names, partitions, handed_over, set_to.buffer_kib_max))
        )

        entries = self._broker.entries(files)  # not the log's, which is being written

        def keeps(commit_index: int) -> bool:
            try:
                found = entries.read(commit_index - 1, 1) if commit_index else [_NOTHING]
            except LogError:  # it has left the commits topic
                return False
            entries.rest()
            return bool(found) and source.has_kept(found[0])

        from alcyon.runners.stream.service import Opened
        from alcyon.runners.stream.worker import Ports

        ports = Ports(source, log, set_to.snapshots, self._ahead)
        return Opened(ports, keeps, source.waiting, source.check_partitions)

    def _say_by_what(self) -> None:
        connection, names = self._broker.connection, self._broker.names
        if control_payloads(connection, names):
            return
        with closing(KafkaIntake(connection, names)) as intake:
            intake.append(Topic.CONTROL, self._first_controls())


class ProjectionPorts:
    """Opens what fills a store or the read model. means: how records are decoded."""

    def __init__(self, broker: Broker, means: Means) -> None:
        from alcyon.runners.stream.asked_schemas import AskedSchemas

        self._broker = broker
        is_asked = means.schemas is not None
        self._means = replace(means, schemas=AskedSchemas(means.schemas)) if is_asked else means

    def open_projection(self, files: ExitStack, open_store: Callable[[], Store]) -> Projection:
        """The projection into a store, opened after the broker was reached."""
        from alcyon.runners.projections.projection import Projection

        broker = self._broker.trailing()
        broker.connection.reached()
        commits, source = (
            files.enter_context(closing(KafkaCommits(broker.connection, broker.names))),
            files.enter_context(closing(KafkaRecorded(broker.connection, broker.names))),
        )
        store = files.enter_context(closing(open_store()))
        return Projection(commits, source, store, self._decoder(), self._means.label_decoder())

    def open_cases(self, files: ExitStack, office: CaseBook) -> CaseOpening:
        """What opens the office's cases; it begins at the first commit that the topics keep."""
        from alcyon.runners.projections.case_opening import CaseOpening

        broker = self._broker.trailing()
        broker.connection.reached()
        reading, entries = broker.reading(files), broker.entries(files)
        return CaseOpening(reading, office, self._decoder(), lambda: entries.bounds()[0])

    def open_read_model(self, files: ExitStack, model: ReadModel, known: Known) -> ReadModelRunner:
        """The runner of the read model; known: outlives it."""
        from alcyon.runners.projections.card_decisions import Cards
        from alcyon.runners.projections.read_model import Logs, ReadModelRunner

        model.covered()  # before anything else: an outage of it costs one attempt a second
        self._broker.connection.reached()
        entries = self._broker.entries(files)
        cards = Cards(self._means.keys, self._decoder())
        live = self._broker.trailing().reading(files)
        logs = Logs(live, self._broker.reading, entries.bounds, cards)
        return files.enter_context(closing(ReadModelRunner(logs, model, known)))

    def open_end(self, files: ExitStack) -> Callable[[], int]:
        """What says the index behind the last commit."""
        self._broker.connection.reached()
        entries = self._broker.entries(files)

        def end() -> int:
            last = entries.last()
            entries.rest()
            return last.index + 1 if last else 0

        return end

    def _decoder(self) -> Callable[[str], Decoder]:
        from alcyon.runners.stream.rates import RatesByVersion

        rates = RatesByVersion(
            lambda: control_payloads(self._broker.connection, self._broker.names)
        )
        return lambda version: self._means.transaction_decoder(rates.of(version))
