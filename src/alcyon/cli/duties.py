"""Duties: what a serving process does beside its requests: it opens cases, delivers messages, and
tells a store that was filled anew what became of its alerts."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from typing import TYPE_CHECKING

from alcyon.cli.logs import projection_ports
from alcyon.cli.offices import channels, log_channels

if TYPE_CHECKING:
    from alcyon.cli.asked import Around
    from alcyon.io.office import SqlOffice
    from alcyon.io.searching import AlertStatuses

_END_S = 5.0
_AGAIN_S = 1.0
_CASES = "cases"


def on_duty(around: Around, office: SqlOffice, statuses: AlertStatuses) -> None:
    """Begin, until `around.files` is closed. statuses: of the alerts in the projection's store.

    SettingsError: a channel is set wrongly.
    """
    from alcyon.domain.record import Topic
    from alcyon.runners.delivering import Delivering
    from alcyon.runners.delivery_telling import DeliveryTelling, tell_waiting
    from alcyon.runners.failing import failure
    from alcyon.runners.filling import fill
    from alcyon.runners.projection_telling import BrokerTelling, ProjectionTelling
    from alcyon.runners.retelling import keep_told
    from alcyon.runners.status import Phase, Readiness, utc_ms

    set_to, files, stop = around.set_to, around.files, Event()
    readiness = Readiness(set_to.status.lag_s_max, (_CASES,))
    readiness.become(Phase.RUNNING)
    told = around.telemetry, around.log, readiness
    telling = ProjectionTelling("office", *told, BrokerTelling(*told), _CASES)
    ports = projection_ports(set_to, around.detector)
    outside = channels(set_to, files)
    inside = log_channels(
        set_to,
        lambda payloads: around.controls.append(Topic.LABELS, payloads),
        statuses.move,
        files,
    )

    parcels = DeliveryTelling(around.telemetry.delivery, around.log)
    hears = parcels.failed, parcels.arrived

    def tell_failed(error: Exception) -> None:
        failure(around.telemetry, around.log, error, utc_ms())

    def told_again(count: int) -> None:
        around.log.info("store told again", count=count)

    work: list[tuple[str, Callable[[], None]]] = [
        (_CASES, lambda: fill(lambda opened: ports.open_cases(opened, office), telling, stop)),
        # Apart, so that a receiver that hangs does not hold up labels.
        ("delivering", lambda: Delivering(office.outbox, inside, *hears).run(stop)),
        ("telling", lambda: Delivering(office.outbox, outside, *hears).run(stop)),
        ("outbox", lambda: tell_waiting(office.outbox.waiting, utc_ms, parcels, stop)),
        ("retelling", lambda: keep_told(office, statuses.status_of, told_again, stop)),
    ]
    threads = [
        Thread(target=lasting, args=(job, stop, tell_failed), name=name, daemon=True)
        for name, job in work
    ]

    def end() -> None:
        stop.set()
        for thread in threads:
            thread.join(_END_S)

    files.callback(end)
    for thread in threads:
        thread.start()


def lasting(work: Callable[[], None], stop: Event, tell: Callable[[Exception], None]) -> None:
    """Do it until stopped, whatever befalls it: undelivered labels would be missed late."""
    while not stop.is_set():
        try:
            work()
        except Exception as error:  # what is awaited is handled within
            tell(error)
            stop.wait(_AGAIN_S)
