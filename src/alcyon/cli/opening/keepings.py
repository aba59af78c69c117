"""The stores that data leaves, opened as the settings say; each only where it is there."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from alcyon.cli.opening.logs import is_embedded, log_files
from alcyon.cli.opening.offices import may_exist, office
from alcyon.cli.opening.servers import STORE_FILE, connection, postgres_dsn, read_model, topic_names
from alcyon.domain.errors import SettingsError

if TYPE_CHECKING:
    from alcyon.domain.keeping import Keeping
    from alcyon.domain.ports import Intake
    from alcyon.io.office import SqlOffice
    from alcyon.io.redis import RedisReadModel
    from alcyon.runners.care.erasing import Stores
    from alcyon.settings import Settings

ANSWERED_FILE = "answered.sqlite"
REACH_S = 3.0


def stores(set_to: Settings, files: ExitStack) -> Stores:
    """All that an erasure reaches."""
    from alcyon.io.erasures import FILE
    from alcyon.io.sqlite.answered import SqliteAnswered
    from alcyon.runners.care.erasing import Stores

    answered = set_to.home / ANSWERED_FILE
    answers = files.enter_context(closing(SqliteAnswered(answered))) if answered.is_file() else None
    return Stores(
        set_to.home / FILE,
        keeping(set_to, files),
        kept_office(set_to, files),
        _read_model(set_to, files),
        answers,
    )


def keeping(set_to: Settings, files: ExitStack) -> Keeping | None:
    """The projection's store; None: there is none yet."""
    if (dsn := postgres_dsn(set_to)) is None:
        from alcyon.io.sqlite.keeping import SqliteKeeping

        path = set_to.home / STORE_FILE
        return files.enter_context(closing(SqliteKeeping(path))) if path.is_file() else None
    from alcyon.io.postgres.keeping import PostgresKeeping

    return files.enter_context(closing(PostgresKeeping(dsn)))


def kept_office(set_to: Settings, files: ExitStack) -> SqlOffice | None:
    """The office's store, made where it is missing: its audit log tells what was removed. None:
    there is no office, and the extra that one needs is not installed.

    SettingsError: there may be an office, and it cannot be opened: nothing may be passed over.
    """
    try:
        return files.enter_context(closing(office(set_to)))
    except SettingsError:
        if may_exist(set_to):
            raise
        return None


def intake(set_to: Settings, files: ExitStack) -> Intake | None:
    """Where the worker reads control records; None: nothing was ever decided.

    LogError: another process writes the embedded intake; it must end first.
    """
    if is_embedded(set_to):
        logs = log_files(set_to)
        if not logs.intake.is_dir():
            return None
        opened = files.enter_context(closing(logs.open_intake()))
        return opened if opened.end else None
    from alcyon.io.kafka import KafkaIntake, ensure_topics
    from alcyon.io.kafka.control import control_payloads

    broker, names = connection(set_to), topic_names(set_to)
    broker.reached(REACH_S)
    ensure_topics(broker, names, set_to.kafka.retention_hours, may_create=False)
    if not control_payloads(broker, names):
        return None
    return files.enter_context(closing(KafkaIntake(broker, names)))


def controls(set_to: Settings) -> list[bytes]:
    """All control records there are, in order; where there is an `intake`."""
    if is_embedded(set_to):
        return log_files(set_to).control_payloads()
    from alcyon.io.kafka.control import control_payloads

    return control_payloads(connection(set_to), topic_names(set_to))


def _read_model(set_to: Settings, files: ExitStack) -> RedisReadModel | None:
    opened = read_model(set_to)
    if opened is None:
        return None
    from alcyon.io.redis import RedisReadModel

    assert isinstance(opened, RedisReadModel)
    return files.enter_context(closing(opened))
