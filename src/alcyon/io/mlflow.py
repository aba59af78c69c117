"""The model registry on MLflow: a tracking run and a model version per model, and aliases.

A model is a version of the registered model `alcyon` (settings: models.name), made last, when its
run holds files, figures and parameters: a half-written one is never seen. Moves of an alias are the
versions of `alcyon-champion` (`-challenger`): the server numbers them, so they have one order, and
that decides who won. `alcyon@champion` follows, for those who read MLflow's own aliases.

What was fetched once is kept in a folder and needs no server again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec

from alcyon.domain.errors import ModelError, SettingsError, UnreachableError
from alcyon.domain.moves import Move, MoveState, Wanted, check_expected, winners
from alcyon.domain.ports import ModelRegistry
from alcyon.domain.registered import Registered, checked_name
from alcyon.io.model_files import check_files, copied
from alcyon.io.model_folder import FolderRegistry

if TYPE_CHECKING:
    from mlflow import MlflowClient

_NAME, _REGISTERED, _WANTED, _STATE = (
    "alcyon.name", "alcyon.registered", "alcyon.wanted", "alcyon.state",
)  # fmt: skip
_FILES = "model"
_PAGE = 200
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""By itself MLflow retries for minutes, in which a worker would not decide, and prints."""
_SECRET = re.compile(r"://[^/\s@]*@")


class MlflowRegistry(ModelRegistry):
    """The registry at `uri` (http, https, or a database: sqlite:///F, postgresql://…).

    name: of the registered model and the experiment. kept: a folder for what was fetched, this
    registry's alone. SettingsError: the extra is missing.
    """

    def __init__(self, uri: str, name: str, kept: Path) -> None:
        if find_spec("mlflow") is None or find_spec("sqlalchemy") is None:
            raise SettingsError(
                "models.registry names MLflow, and that needs an extra: install alcyon[mlflow]"
            )
        self._uri, self._name = uri, name
        mark = hashlib.sha256(f"{uri}#{name}".encode()).hexdigest()[:12]
        self._kept = FolderRegistry(kept / mark)

    def register(self, directory: Path, name: str | None = None) -> Registered:
        """Add a model's folder under a name."""
        with TemporaryDirectory(prefix="alcyon-model-") as work:
            folder = Path(work) / _FILES
            found = copied(directory, folder, name)
            if (there := self._find(found.name)) is not None:
                return _same(there, found)
            return self._added(found, folder)

    def fetch(self, name: str) -> Path:
        """The folder that keeps it, fetched now unless it is there."""
        checked_name(name)
        if name in {model.name for model in self._kept.models()}:
            return self._kept.fetch(name)
        registered = self._registered(name)
        with TemporaryDirectory(prefix="alcyon-model-") as work, self._asked():
            assert registered.run_id is not None
            folder = Path(self._client.download_artifacts(registered.run_id, _FILES, work))
            check_files(folder, name, registered.files)
            self._kept.register(folder, name)
        return self._kept.fetch(name)

    def models(self) -> list[Registered]:
        """All models, the newest first."""
        found: dict[str, Registered] = {}
        for version in self._versions(self._name):
            if _REGISTERED in version.tags:
                model = _registered(version)
                found.setdefault(model.name, model)
        return sorted(found.values(), key=lambda model: (-model.registered_at, model.name))

    def moves(self, alias: str) -> list[Move]:
        """All moves of an alias."""
        return [
            _move(version)
            for version in self._versions(self._log(alias))
            if _WANTED in version.tags
        ]

    def begin_move(self, wanted: Wanted) -> Move:
        """Let a move come in."""
        registered = self._registered(wanted.model)
        check_expected(wanted, winners(self.moves(wanted.alias)))
        log = self._log(wanted.alias)
        tags = {_WANTED: msgspec.json.encode(wanted).decode(), _STATE: MoveState.UNDER_WAY.value}
        number = self._create(log, registered.run_id, tags)
        won = winners(self.moves(wanted.alias))
        for move in won:
            if move.number == number:
                return move
        with self._asked():
            self._client.set_model_version_tag(log, str(number), _STATE, MoveState.FAILED.value)
        check_expected(wanted, won)
        raise UnreachableError(f"{self._shown} lost move {number} of {wanted.alias}: ask again")

    def end_move(self, move: Move, state: MoveState) -> None:
        """Say what became of a move."""
        alias, model = move.wanted.alias, self._find(move.wanted.model)
        with self._asked():
            self._client.set_model_version_tag(
                self._log(alias), str(move.number), _STATE, state.value
            )
            if state is MoveState.DONE and model is not None:
                self._client.set_registered_model_alias(self._name, alias, str(model.version))

    def close(self) -> None:
        """Nothing to let go."""

    @cached_property
    def _client(self) -> MlflowClient:
        """Importing MLflow takes seconds: only what asks the server pays for it."""
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic", "urllib3"):  # what goes wrong is raised
            logging.getLogger(name).setLevel(logging.ERROR)
        return MlflowClient(self._uri, self._uri)

    @property
    def _shown(self) -> str:
        return _SECRET.sub("://…@", self._uri)

    def _log(self, alias: str) -> str:
        return f"{self._name}-{checked_name(alias)}"

    def _added(self, found: Registered, folder: Path) -> Registered:
        with self._asked():
            run_id = self._tracked(found, folder)
        found = msgspec.structs.replace(found, run_id=run_id)
        tags = {_NAME: found.name, _REGISTERED: msgspec.json.encode(found).decode()}
        number = self._create(self._name, run_id, tags)
        first = self._find(found.name)
        if first is not None and int(first.version) < number:  # another one was quicker
            with self._asked():
                self._client.delete_model_version(self._name, str(number))
                self._client.delete_run(run_id)
            return _same(first, found)
        return found

    def _tracked(self, found: Registered, folder: Path) -> str:
        """The id of a new run with files, figures and parameters."""
        run = self._client.create_run(self._experiment(), run_name=found.name)
        run_id: str = run.info.run_id
        self._client.log_artifacts(run_id, str(folder), _FILES)
        for member, figures in found.metrics.items():
            for name, value in figures.items():
                if value is not None:
                    self._client.log_metric(run_id, f"{member}.{name}", value)
        for name, text in found.parameters.items():
            self._client.log_param(run_id, name, text)
        self._client.set_tag(run_id, "alcyon.catalog_hash", found.catalog_hash)
        self._client.set_terminated(run_id)
        return run_id

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        if (there := self._client.get_experiment_by_name(self._name)) is None:
            try:
                made: str = self._client.create_experiment(self._name, self._artifacts())
            except MlflowException:  # another one was quicker
                there = self._client.get_experiment_by_name(self._name)
                if there is None:
                    raise
            else:
                return made
        experiment_id: str = there.experiment_id
        return experiment_id

    def _artifacts(self) -> str | None:
        """Beside a sqlite file (MLflow's default is where we were started); else the server's."""
        if not self._uri.startswith("sqlite:///"):
            return None
        file = Path(self._uri.removeprefix("sqlite:///")).resolve()
        return str(file.with_name(f"{file.name}.artifacts"))

    def _create(self, log: str, run_id: str | None, tags: dict[str, str]) -> int:
        """Add a version to a registered model, which is made if need be; its number."""
        from mlflow.exceptions import MlflowException

        with self._asked():
            try:
                self._client.create_registered_model(log)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            made = self._client.create_model_version(
                log, f"runs:/{run_id}/{_FILES}", run_id, tags=tags, await_creation_for=None
            )
            return int(made.version)

    def _versions(self, log: str) -> list[Any]:
        """Of a registered model, by number."""
        with self._asked():
            found, token = [], None
            while True:
                page = self._client.search_model_versions(
                    f"name='{log}'", max_results=_PAGE, page_token=token
                )
                found += list(page)
                if not (token := page.token):
                    return sorted(found, key=lambda version: int(version.version))

    def _find(self, name: str) -> Any | None:
        """The version of that name; of several the first."""
        named = (v for v in self._versions(self._name) if v.tags.get(_NAME) == name)
        return next(named, None)

    def _registered(self, name: str) -> Registered:
        if (version := self._find(checked_name(name))) is None:
            raise ModelError(
                f"there is no model {name} in {self._shown}: alcyon models register it"
            )
        return _registered(version)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Turns what MLflow and what it uses raise into one line."""
        try:
            # Within, since importing them opens nothing but takes seconds.
            _ = self._client
            from mlflow.exceptions import MlflowException
            from requests.exceptions import RequestException
            from sqlalchemy.exc import SQLAlchemyError
        except Exception as error:
            raise self._away(error) from error
        try:
            yield
        except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
            raise self._away(error) from error

    def _away(self, error: Exception) -> UnreachableError:
        said = _SECRET.sub("://…@", " ".join(str(error).split()))[:200]
        return UnreachableError(
            f"the model registry {self._shown} does not do what it is asked: {said}: look at "
            "models.registry"
        )


def _registered(version: Any) -> Registered:
    return msgspec.json.decode(version.tags[_REGISTERED], type=Registered)


def _move(version: Any) -> Move:
    return Move(
        int(version.version),
        msgspec.json.decode(version.tags[_WANTED], type=Wanted),
        int(version.creation_timestamp),
        MoveState(version.tags[_STATE]),
    )


def _same(there: Any, found: Registered) -> Registered:
    """The one that is there; ModelError if it is another model."""
    registered = _registered(there)
    if registered.files != found.files:
        raise ModelError(f"{found.name} is another model already: choose another name")
    return registered
