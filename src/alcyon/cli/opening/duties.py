"""Duties: what is done about decisions beside answering for them. Cases are opened, messages are
delivered, and a store that was filled anew is told what became of its alerts.

`alcyon serve` has a process of its own for them, so that payments do not wait for it. Only labels
are delivered by whoever holds the intake, which has one writer.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from alcyon.cli.opening.lasting import Work, begin
from alcyon.cli.opening.logs import projection_ports
from alcyon.cli.opening.offices import channels, office, resolutions_channel
from alcyon.cli.opening.servers import database
from alcyon.cli.opening.starting import settle

if TYPE_CHECKING:
    from alcyon.cli.opening.process import Process
    from alcyon.detectors.loading import Detector
    from alcyon.domain.office.delivery import Channel
    from alcyon.domain.ports import Intake
    from alcyon.io.office import SqlOffice
    from alcyon.runners.process.status import Readiness
    from alcyon.settings import Settings
    from alcyon.telemetry.lines import Log
    from alcyon.telemetry.metrics import Telemetry

DUTIES: Final = "duties"
CASES: Final = "cases"
"""The loop that opens them."""
PORT_OFFSET = 3
"""Behind those of the worker, the projections and the learner."""


@dataclass(frozen=True)
class Told:
    """Who is told how duties go."""

    telemetry: Telemetry
    log: Log
    readiness: Readiness


def do_duties(process: Process, detector: Detector) -> None:
    """As a process of its own, until it is to stop."""
    from alcyon.runners.process.status import Phase

    told = Told(process.telemetry, process.log, process.readiness)
    with ExitStack() as files:
        kept = files.enter_context(closing(office(process.set_to)))
        on_duty(process.set_to, detector, kept, told, files)
        process.readiness.waits_since(None)
        process.readiness.become(Phase.RUNNING)
        process.log.info("duties started")
        settle()
        process.stop.wait()
    process.log.info("duties stopped")


def on_duty(
    set_to: Settings, detector: Detector, kept: SqlOffice, told: Told, files: ExitStack
) -> None:
    """Begin all but the delivery of labels, until `files` is closed. kept: outlives it.

    SettingsError: a channel is set wrongly.
    """
    from alcyon.io.searching import AlertStatuses
    from alcyon.runners.projections.behind import tell_behind
    from alcyon.runners.projections.case_opening import EVERY_S
    from alcyon.runners.projections.filling import fill
    from alcyon.runners.projections.projection_telling import BrokerTelling, ProjectionTelling
    from alcyon.runners.projections.retelling import keep_told
    from alcyon.runners.serving.delivering import Delivering, Moving
    from alcyon.runners.serving.delivery_telling import DeliveryTelling

    statuses = files.enter_context(closing(AlertStatuses(database(set_to, is_writing=True))))
    telling = ProjectionTelling(
        "office", told.telemetry, told.log, told.readiness,
        BrokerTelling(told.telemetry, told.log, told.readiness), CASES,
    )  # fmt: skip
    ports = projection_ports(set_to, detector)
    outside = channels(set_to, files)
    inside: list[Channel] = [Moving(statuses.move), resolutions_channel(set_to, files)]
    parcels = DeliveryTelling(told.telemetry.delivery, told.log)
    hears = parcels.failed, parcels.arrived

    def told_again(count: int) -> None:
        told.log.info("store told again", count=count)

    work: list[tuple[str, Work]] = [
        (
            CASES,
            lambda stop: fill(
                lambda opened: ports.open_cases(opened, kept), telling, stop, EVERY_S
            ),
        ),
        ("behind", lambda stop: tell_behind(ports.open_end, [telling], stop)),
        # Apart, so that a receiver that hangs does not hold up what is ours.
        ("delivering", Delivering(kept.outbox, inside, *hears).run),
        ("telling", Delivering(kept.outbox, outside, *hears).run),
        ("retelling", lambda stop: keep_told(kept, statuses.status_of, told_again, stop)),
    ]
    begin(work, (told.telemetry, told.log), files)


def deliver_labels(
    kept: SqlOffice, controls: Intake, told: tuple[Telemetry, Log], files: ExitStack
) -> None:
    """Those of closed cases into the intake, until `files` is closed; by whoever holds it."""
    from alcyon.domain.office.delivery import LABELS
    from alcyon.domain.record import Topic
    from alcyon.runners.process.status import utc_ms
    from alcyon.runners.serving.delivering import Appending, Delivering
    from alcyon.runners.serving.delivery_telling import DeliveryTelling, tell_waiting

    labels = Appending(LABELS, lambda payloads: controls.append(Topic.LABELS, payloads))
    parcels = DeliveryTelling(told[0].delivery, told[1])
    delivering = Delivering(kept.outbox, [labels], parcels.failed, parcels.arrived)
    work: list[tuple[str, Work]] = [
        ("labels", delivering.run),
        # Here, for the duties may be what does not go on.
        ("outbox", lambda stop: tell_waiting(kept.outbox.waiting, utc_ms, parcels, stop)),
    ]
    begin(work, told, files)
