"""Where models are, and where whoever decides by them reads control records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from alcyon.cli.opening.servers import connection, registry, topic_names
from alcyon.domain.control import CHALLENGER, CHAMPION
from alcyon.domain.errors import InputError
from alcyon.domain.moves import standing, winners
from alcyon.domain.ports import Intake, ModelRegistry
from alcyon.io.log import EmbeddedIntake
from alcyon.io.model_folder import FolderRegistry
from alcyon.runners.demo.place import DemoPlace, only_one
from alcyon.sections import PostgresSettings
from alcyon.settings import Settings

ALIASES = (CHAMPION, CHALLENGER)
REACH_S = 3.0


@dataclass(frozen=True)
class Place:
    """A registry, and the way to the worker that goes with it."""

    set_to: Settings
    registry: ModelRegistry
    demo: DemoPlace | None

    @classmethod
    def of(cls, set_to: Settings) -> Place:
        """The demo's, where there is one and no broker is named; else what the settings name."""
        demo = DemoPlace(set_to.home / "demo")
        if set_to.kafka.bootstrap is None and demo.is_finished:
            return cls(set_to, FolderRegistry(demo.models), demo)
        return cls(set_to, registry(set_to), None)

    @property
    def office(self) -> Settings:
        """Where the accounts are that approve what changes here; the demo's are the home's own."""
        if self.demo is None:
            return self.set_to
        return self.set_to.model_copy(update={"postgres": PostgresSettings()})

    @property
    def words(self) -> str:
        """Which registry it is."""
        if self.demo is not None:
            return f"the demo's models in {self.demo.models}"
        models = self.set_to.models
        if models.registry == "folder":
            return f"the models in {self.set_to.home / 'models'}"
        host = models.registry.rpartition("@")[2]
        return f"the models {models.name} of MLflow at {host}"

    def named(self, given: str) -> str:
        """A model's name, given that or an alias. InputError: the alias names none."""
        if given not in ALIASES:
            return given
        name = standing(winners(self.registry.moves(given)))
        if name is None:
            raise InputError(f"there is no {given} yet: alcyon models promote or register one")
        return name

    def folder(self, given: str) -> Path:
        """The files of a model, given its name, an alias, or a folder. ModelError: it has none."""
        if "/" in given or (Path(given) / "manifest.json").is_file():
            return Path(given)
        return self.registry.fetch(self.named(given))

    @contextmanager
    def intake(self) -> Iterator[Intake]:
        """Where the worker reads control records. InputError: there is no worker yet."""
        if self.demo is not None:
            with only_one(self.demo.folder), closing(EmbeddedIntake(self.demo.intake)) as embedded:
                yield embedded
        elif self.set_to.kafka.bootstrap is None:
            raise InputError(
                "there is nobody to tell: start alcyon demo once, propose it to alcyon serve by "
                "--user, or set ALCYON_KAFKA__BOOTSTRAP to the broker of alcyon run"
            )
        else:
            with closing(self._broker()) as kafka:
                yield kafka

    def _broker(self) -> Intake:
        from alcyon.io.kafka import KafkaIntake, ensure_topics
        from alcyon.io.kafka.control import control_payloads

        broker, names, kafka = connection(self.set_to), topic_names(self.set_to), self.set_to.kafka
        broker.reached(REACH_S)
        ensure_topics(broker, names, kafka.retention_hours, may_create=False)
        if not control_payloads(broker, names):
            raise InputError(
                f"nothing was ever decided at {broker.bootstrap}: start alcyon run --model first, "
                "which says by what"
            )
        return KafkaIntake(broker, names)
