"""What is in force, followed where the settings say that somebody decides."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alcyon.cli.opening.logs import log_files
from alcyon.cli.opening.servers import connection, registry, topic_names
from alcyon.domain.errors import InputError

if TYPE_CHECKING:
    from alcyon.detectors.loading import Detector
    from alcyon.domain.ports import Intake
    from alcyon.runners.serving.in_force_following import Controls, InForceFollowing
    from alcyon.settings import Settings


@dataclass(frozen=True)
class LogFolder:
    """Embedded logs: those in the home, or the demo's."""

    folder: Path
    models: Path

    @classmethod
    def of(cls, set_to: Settings) -> LogFolder:
        """The home's, else the demo's. InputError: there are neither."""
        demo = set_to.home / "demo"
        for one in (cls(set_to.home, set_to.home / "models"), cls(demo, demo / "models")):
            if one.intake.is_dir():
                return one
        raise InputError(
            f"nothing decides in {set_to.home} yet: start alcyon serve or alcyon demo, or set "
            "ALCYON_KAFKA__BOOTSTRAP to the broker of alcyon run"
        )

    @property
    def intake(self) -> Path:
        """The intake log."""
        return self.folder / "intake"

    @property
    def decisions(self) -> Path:
        """The decisions log."""
        return self.folder / "decisions"

    @property
    def snapshots(self) -> tuple[Path, ...]:
        """The worker's snapshots, then what a demo was warmed to."""
        return self.folder / "snapshots", self.folder / "warmed"


def followed_beside(
    set_to: Settings, detector: Detector, intake: Intake, files: ExitStack
) -> tuple[Intake, InForceFollowing]:
    """Where a serving process writes control records and labels, and what is in force, followed by
    a thread; closed with `files`. intake: the one that this process writes transactions to."""
    from alcyon.runners.learning.models import loader
    from alcyon.runners.serving.in_force_following import (
        EmbeddedControls,
        HeldControls,
        InForceFollowing,
        KafkaControls,
    )

    catalog = detector.catalog
    if set_to.kafka.bootstrap is not None:
        writing = intake
        controls: Controls = KafkaControls(connection(set_to), topic_names(set_to), catalog)
    else:
        logs = log_files(set_to)
        held = HeldControls(EmbeddedControls(logs.intake, logs.snapshots, catalog))
        writing, controls = held.noting(intake), held
    follows = InForceFollowing(controls, loader(registry(set_to), catalog))
    files.enter_context(closing(follows)).start()
    return writing, follows


def following(set_to: Settings, detector: Detector) -> InForceFollowing:
    """What is in force there. InputError: nobody decides yet."""
    from alcyon.io.model_folder import FolderRegistry
    from alcyon.runners.learning.models import loader
    from alcyon.runners.serving.in_force_following import (
        EmbeddedControls,
        InForceFollowing,
        KafkaControls,
    )

    catalog = detector.catalog
    if set_to.kafka.bootstrap is not None:
        controls: Controls = KafkaControls(connection(set_to), topic_names(set_to), catalog)
        return InForceFollowing(controls, loader(registry(set_to), catalog))
    logs = LogFolder.of(set_to)
    controls = EmbeddedControls(logs.intake, logs.snapshots[0], catalog)
    of_home = logs.folder == set_to.home
    models = registry(set_to) if of_home else FolderRegistry(logs.models)
    return InForceFollowing(controls, loader(models, catalog))
