"""The demo's API and console: served in the demo's own process, over its folder."""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alcyon.cli.opening.asked import Around
from alcyon.cli.opening.duties import CASES, Told, on_duty
from alcyon.cli.opening.followed import followed_beside
from alcyon.cli.opening.offices import demo_log, office
from alcyon.cli.opening.parts import open_parts
from alcyon.cli.opening.serving import bound, opened_app, running
from alcyon.domain.office.access import Role
from alcyon.io.places import place_text
from alcyon.sections import KafkaSettings, ModelSettings, PostgresSettings, RedisSettings

if TYPE_CHECKING:
    from alcyon.cli.opening.desk import Parts
    from alcyon.io.office import SqlOffice
    from alcyon.runners.demo.opening import Opened
    from alcyon.runners.demo.running import Running
    from alcyon.runners.process.status import Readiness
    from alcyon.settings import Settings

ANALYST = "analyst"
"""Who is signed in, on this machine only."""
LOG_FILE = "serving.log"


@contextmanager
def demo_served(
    opened: Opened, traffic: Running, set_to: Settings, port: int | None
) -> Iterator[str]:
    """The address meanwhile. SettingsError: the port is taken."""
    from alcyon.telemetry.lines import make_log
    from alcyon.telemetry.metrics import PARTS_OF, Telemetry

    of_demo = set_to.model_copy(
        update={
            "home": opened.place.folder, "kafka": KafkaSettings(), "postgres": PostgresSettings(),
            "redis": RedisSettings(), "models": ModelSettings(),
        }
    )  # fmt: skip
    detector = opened.equipment.detector

    def kept() -> SqlOffice:
        """The home's, for whose keys and accounts the demo is open too."""
        without_servers = {"postgres": PostgresSettings()}
        return office(set_to.model_copy(update=without_servers), demo_log(opened.place))

    with (
        closing(bound(set_to.serve.host, set_to.serve.port if port is None else port)) as listening,
        (opened.place.folder / LOG_FILE).open("a") as told,
        ExitStack() as files,
    ):
        controls, follows = followed_beside(of_demo, detector, opened.intake, files)
        log = make_log(told, False, lambda: None)
        around = Around(
            of_demo,
            detector,
            opened.intake,
            controls,
            follows,
            Telemetry({*PARTS_OF["api"], *PARTS_OF["duties"]}),
            log,
            files,
            opened.scoreboard.latencies.taken,
        )
        app = opened_app(around, lambda around: _parts(around, kept(), traffic))
        with running(app, listening):
            yield f"http://{place_text(set_to.serve.host, listening.getsockname()[1])}"


def _parts(around: Around, kept: SqlOffice, traffic: Running) -> Parts:
    from alcyon.runners.process.status import Phase, Readiness

    parts = open_parts(around, kept)
    # Here, for all that the demo does is one process, which ends with a terminal.
    readiness = Readiness(around.set_to.status.lag_s_max, (CASES,))
    readiness.become(Phase.RUNNING)
    told = Told(around.telemetry, around.log, readiness)
    on_duty(around.set_to, around.detector, kept, told, around.files)
    return replace(
        parts,
        signs_in=lambda address: _signed_in(kept, address),
        system=lambda: _told(around, traffic, readiness),
    )


def _signed_in(office: SqlOffice, address: str) -> str | None:
    try:
        is_here = ipaddress.ip_address(address).is_loopback
    except ValueError:
        return None
    if not is_here:
        return None
    if ANALYST not in {user.name for user in office.users()}:
        from alcyon.cli.opening.offices import shell

        # Nobody is told the password: who is here is signed in without.
        office.add_user(shell(), ANALYST, secrets.token_urlsafe(32), Role.ANALYST)
    return office.begin_session(ANALYST)


def _told(around: Around, traffic: Running, duties: Readiness) -> dict[str, Any]:
    """See `api.desk.Desk.system`."""
    import msgspec

    answer = duties.answer()
    seen, versions = traffic.seen, around.in_force().conduct.versions
    stepped = seen.stepped
    age_s = None if seen.snapshot_at is None else time.time() - seen.snapshot_at
    return {
        "phase": "running",
        "ready": True,
        "reasons": seen.warnings,
        "worker": {
            "phase": "running", "ready": True,
            "metrics": {
                "worker_next_sequence": None if stepped is None else stepped.next_sequence,
                "records_waiting": traffic.undecided,
                "worker_snapshot_age_seconds": age_s,
            },
        },
        "projection": {
            "phase": "running", "ready": seen.outage is None,
            "metrics": {"projection_commits_total": seen.stored},
        },
        "duties": {
            "phase": answer.phase.value, "ready": answer.ready, "notes": answer.notes,
            "metrics": {},
        },
        "stores": {
            "log": "embedded", "store": "sqlite", "read_model": None, "models": "folder",
        },
        "snapshot": {
            "at": None if seen.snapshot_at is None else round(seen.snapshot_at * 1000),
            "bytes": None,
        },
        "versions": msgspec.to_builtins(versions),
    }  # fmt: skip
