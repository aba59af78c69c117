"""The projections: in a process of their own, into a store and the read model."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from alcyon.cli.opening.beside import Beside
from alcyon.cli.opening.logs import projection_ports
from alcyon.cli.opening.process import Process, beside
from alcyon.cli.opening.servers import read_model, store
from alcyon.cli.opening.starting import settle

if TYPE_CHECKING:
    from alcyon.detectors.loading import Detector
    from alcyon.settings import Settings

PROJECTIONS: Final = "projections"
_STORE_LOOP, _READ_MODEL_LOOP = "projection", "read_model"
RECOVERS_S_MAX = 30.0
"""Projections start by then, whether the worker decides already (its lag is known) or not."""


def loops(set_to: Settings) -> tuple[str, ...]:
    """The loops of this process."""
    return (_STORE_LOOP,) if set_to.redis.url is None else (_STORE_LOOP, _READ_MODEL_LOOP)


def project(process: Process, detector: Detector) -> None:
    """Fill the store, and where there is one the read model, until stopped."""
    from alcyon.domain.read_model import Known
    from alcyon.runners.process.status import Phase
    from alcyon.runners.projections.behind import tell_behind
    from alcyon.runners.projections.filling import fill
    from alcyon.runners.projections.projection import EVERY_S
    from alcyon.runners.projections.projection_telling import BrokerTelling, ProjectionTelling

    set_to, stop = process.set_to, process.stop
    ports = projection_ports(set_to, detector)
    told = process.telemetry, process.log, process.readiness
    broker = BrokerTelling(*told)
    kind = "sqlite" if set_to.postgres.dsn is None else "postgres"
    tellings = [ProjectionTelling(kind, *told, broker, _STORE_LOOP)]
    process.log.info("projection starting", store=kind)
    process.readiness.waits_since(None)
    process.readiness.become(Phase.RUNNING)
    settle()
    with ExitStack() as others:
        if (model := read_model(set_to)) is not None:
            known, telling = Known(), ProjectionTelling("redis", *told, broker, _READ_MODEL_LOOP)
            tellings.append(telling)
            others.enter_context(
                beside(
                    process, _READ_MODEL_LOOP,
                    lambda: fill(
                        lambda files: ports.open_read_model(files, model, known), telling, stop
                    ),
                )
            )  # fmt: skip
        others.enter_context(
            beside(process, "behind", lambda: tell_behind(ports.open_end, tellings, stop))
        )
        fill(
            lambda files: ports.open_projection(files, lambda: store(set_to)),
            tellings[0], stop, EVERY_S,
        )  # fmt: skip
    process.log.info("projection stopped", store=kind)


def projections_beside(catalog: str, process: Process) -> Beside:
    """The projections as a process of their own.

    It starts once the worker decides, for its own start would take processor time from recovery.
    """

    def decides() -> bool:
        return not math.isnan(process.readiness.lag_s())

    arguments = ("run", "--only", PROJECTIONS, "--catalog", catalog)
    return Beside(PROJECTIONS, arguments, process, decides, RECOVERS_S_MAX)
