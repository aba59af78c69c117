"""`alcyon doctor`"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from alcyon.cli.options import Detectors, Json, settings
from alcyon.cli.servers import connection, read_model, schemas, topic_names
from alcyon.cli.talk import show_json, show_table, tell_error
from alcyon.detectors.loading import load_detector
from alcyon.domain.errors import AlcyonError, SettingsError
from alcyon.domain.schemas import UnknownSchemaError
from alcyon.runners.diagnosis import Check, State, failed, machine, refusal
from alcyon.runners.diagnosis import model as check_model

if TYPE_CHECKING:
    from alcyon.settings import Settings

NOT_READY = 1
REACH_S = 3.0
_PASSWORD = re.compile(r"://[^/\s@]*@")


class Diagnosis(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    is_ready: bool
    checks: list[Check]


def doctor(*, model: Path | None = None, catalog: Detectors = "card", as_json: Json = False) -> int:
    """Say whether this machine is ready, and what to do where it is not.

    The servers that the settings name are asked too; nothing is changed in them. The exit code is
    0 when it is ready, otherwise 1.

    An example:
        alcyon doctor --model m

    Parameters
    ----------
    model
        The folder of the model that is to decide.
    as_json
        Print the findings as JSON.
    """
    checks = _settings() + _detector(catalog, model)
    is_ready = all(check.state is not State.WRONG for check in checks)
    if as_json:
        show_json(Diagnosis(is_ready, checks))
    else:
        rows = [[check.name, check.state.value, check.found] for check in checks]
        show_table(None, ["", "state", "found"], rows, figures=False)
    if not is_ready:
        wrong = [check.name for check in checks if check.state is State.WRONG]
        tell_error(f"not ready: {', '.join(wrong)}")
    return 0 if is_ready else NOT_READY


def _settings() -> list[Check]:
    """The settings, secrets masked, and the machine with the data folder they name."""
    try:
        set_to = settings()
    except AlcyonError as error:
        return [failed("settings", error)]
    found = set_to.model_dump(mode="json", exclude={"home"})
    shown = _PASSWORD.sub("://…@", _flat(found))
    return [Check("settings", State.FINE, shown), *machine(set_to.home), *_servers(set_to)]


def _servers(set_to: Settings) -> list[Check]:
    """Whether each that is named answers and takes us, and what the model registry holds."""
    checks = [_checked("models", lambda: _models(set_to))]
    checks += [] if set_to.kafka.bootstrap is None else _broker(set_to)
    if set_to.postgres.dsn is not None:
        checks.append(_checked("postgres", lambda: _postgres(set_to)))
    if set_to.redis.url is not None:
        checks.append(_checked("redis", lambda: _redis(set_to)))
    if set_to.registry.url is not None:
        checks.append(_checked("registry", lambda: _registry(set_to)))
    return checks


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, State.FINE, look())
    except AlcyonError as error:
        return failed(name, error)


def _broker(set_to: Settings) -> list[Check]:
    try:
        broker = connection(set_to)
        found = broker.reached(REACH_S)
    except AlcyonError as error:
        return [failed("broker", refusal(error) or error)]
    checks = [Check("broker", State.FINE, f"{broker.bootstrap} answers")]
    missing = [name for name in astuple(topic_names(set_to)) if name not in found.topics]
    if missing and set_to.environment == "development":
        made = f"{', '.join(missing)}: not there yet, alcyon run makes them"
        return [*checks, Check("topics", State.WARNING, made)]
    return [*checks, _checked("topics", lambda: _topics(set_to))]


def _topics(set_to: Settings) -> str:
    from alcyon.io.kafka import ensure_topics

    names = topic_names(set_to)
    hours = set_to.kafka.retention_hours
    partitions = ensure_topics(connection(set_to), names, hours, may_create=False)
    return ", ".join(f"{names.of(topic)} ({n})" for topic, n in partitions.items()) + ": are fit"


def _postgres(set_to: Settings) -> str:
    try:
        from alcyon.io.postgres.session import Session
    except ImportError as error:
        raise SettingsError(
            "postgres.dsn is set, and that needs an extra: install alcyon[postgres]"
        ) from error
    assert set_to.postgres.dsn is not None
    # Not `connected`: it would migrate, and here nothing is to change.
    with closing(Session(set_to.postgres.dsn.get_secret_value())._connect()) as session:
        return f"version {session.info.server_version // 10_000} answers"


def _redis(set_to: Settings) -> str:
    model = read_model(set_to)
    assert model is not None
    with closing(model):
        covered = model.covered()
    return "answers; " + ("it is empty" if covered is None else "it has cards")


def _models(set_to: Settings) -> str:
    from alcyon.cli.models_place import ALIASES, Place
    from alcyon.domain.moves import standing, winners

    place = Place.of(set_to)
    named = {alias: standing(winners(place.registry.moves(alias))) for alias in ALIASES}
    aliases = ", ".join(f"{alias} {name or 'none'}" for alias, name in named.items())
    return f"{len(place.registry.models())} in {place.words}; {aliases}"


def _registry(set_to: Settings) -> str:
    registry = schemas(set_to)
    assert registry is not None
    with suppress(UnknownSchemaError):  # then it answered
        registry.writer(0)
    return "answers"


def _flat(section: dict[str, object], prefix: str = "") -> str:
    parts = []
    for name, value in section.items():
        if isinstance(value, dict):
            parts.append(_flat(value, f"{prefix}{name}."))
        else:
            parts.append(f"{prefix}{name}={value}")
    return " ".join(parts)


def _detector(catalog: str, model: Path | None) -> list[Check]:
    try:
        detector = load_detector(catalog)
    except AlcyonError as error:
        return [failed("catalog", error)]
    found = f"{catalog}: {len(detector.catalog.names)} features, hash {detector.catalog.hash}"
    checks = [Check("catalog", State.FINE, found)]
    return checks if model is None else [*checks, *check_model(model, detector.catalog)]
