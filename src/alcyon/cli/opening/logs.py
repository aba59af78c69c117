"""The logs that the settings name: a broker's topics, or without one files in the home."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from alcyon.cli.opening.servers import connection, means, registry, topic_names

if TYPE_CHECKING:
    from pathlib import Path

    from alcyon.detectors.loading import Detector
    from alcyon.io.snapshot_reading import ReadAhead
    from alcyon.runners import over_files, over_kafka
    from alcyon.settings import Settings

SNAPSHOTS = "snapshots"


def is_embedded(set_to: Settings) -> bool:
    """Whether the logs are files of ours: no broker is named."""
    return set_to.kafka.bootstrap is None


def log_files(set_to: Settings) -> over_files.LogFiles:
    """The embedded logs, in the home."""
    from alcyon.runners.over_files import LogFiles

    return LogFiles(set_to.home, set_to.log.fsync, set_to.log.segment_bytes_max)


def worker_ports(
    set_to: Settings, first_controls: Callable[[], Sequence[bytes]], ahead: ReadAhead | None
) -> over_kafka.WorkerPorts | over_files.WorkerPorts:
    """What opens a worker's ports. SettingsError: the extra of the broker is missing."""
    if is_embedded(set_to):
        from alcyon.runners import over_files

        return over_files.WorkerPorts(log_files(set_to), first_controls, ahead)
    from alcyon.runners.over_kafka import Broker, WorkerPorts, WorkerSettings

    kafka = set_to.kafka
    return WorkerPorts(
        Broker(connection(set_to), topic_names(set_to)),
        WorkerSettings(
            kafka.transactional_id,
            kafka.retention_hours,
            kafka.buffer_kib_max,
            may_create=set_to.environment == "development",
            snapshots=set_to.home / SNAPSHOTS,
        ),
        first_controls,
        ahead,
    )


def projection_ports(
    set_to: Settings, detector: Detector
) -> over_kafka.ProjectionPorts | over_files.ProjectionPorts:
    """What opens the projections' ports."""
    if is_embedded(set_to):
        from alcyon.runners import over_files

        return over_files.ProjectionPorts(log_files(set_to), means(set_to, detector))
    from alcyon.runners.over_kafka import Broker, ProjectionPorts

    return ProjectionPorts(Broker(connection(set_to), topic_names(set_to)), means(set_to, detector))


def first_controls(set_to: Settings, detector: Detector, model: Path | None) -> Sequence[bytes]:
    """The detector's rules, the rates and the model, which is the champion from now on."""
    from alcyon.domain.currency import DEFAULT_RATES
    from alcyon.runners.learning.models import begun_with
    from alcyon.runners.stream.in_force import bootstrap_controls
    from alcyon.scoring.policy import Policy

    name, policy = None, detector.policy or Policy()
    if model is not None:
        loaded = begun_with(registry(set_to), detector.catalog, model)
        name, policy = loaded.version, detector.policy or loaded.manifest.policy
    return bootstrap_controls(detector.rules, policy, DEFAULT_RATES, name)
