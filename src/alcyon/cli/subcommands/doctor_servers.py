"""`alcyon doctor`: the servers that the settings name, and their clocks. Nothing is changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import astuple
from typing import TYPE_CHECKING

from alcyon.cli.opening.servers import STORE_FILE, connection, postgres_dsn, schemas, topic_names
from alcyon.domain.errors import AlcyonError, SettingsError
from alcyon.domain.schemas import UnknownSchemaError
from alcyon.runners.care.diagnosis import Check, State, clocks, failed, refusal

if TYPE_CHECKING:
    from alcyon.settings import Settings

REACH_S = 3.0
POSTGRES_MIN, REDIS_MIN = 14, 6
"""Older ones get no repairs from their makers, and none was ever tried."""


def servers(set_to: Settings, now_ms: Callable[[], int] | None = None) -> list[Check]:
    """Whether each that is named answers, takes us, and is as it must be.

    now_ms: this machine's clock, UTC ms.
    """
    now = now_ms or (lambda: time.time_ns() // 1_000_000)
    asked = _Asked(set_to, now)
    checks: list[Check] = []
    if set_to.kafka.bootstrap is not None:
        checks += asked.broker()
    checks += asked.sqlite() if set_to.postgres.dsn is None else asked.postgres()
    if set_to.redis.url is not None:
        checks.append(_checked("redis", asked.redis))
    if set_to.registry.url is not None:
        checks.append(_checked("registry", lambda: _registry(set_to)))
    if asked.apart:
        checks.append(clocks(asked.apart, 0))
    return checks


class _Asked:
    """The servers, and how far the clock of each that told it is ahead of ours."""

    def __init__(self, set_to: Settings, now_ms: Callable[[], int]) -> None:
        self._set_to, self._now_ms = set_to, now_ms
        self.apart: dict[str, int] = {}
        """By server, in ms."""

    def broker(self) -> list[Check]:
        try:
            broker = connection(self._set_to)
            found = broker.reached(REACH_S)
        except AlcyonError as error:
            return [failed("broker", refusal(error) or error)]
        count = f"{len(found.brokers)} broker{'s' if len(found.brokers) > 1 else ''}"
        checks = [Check("broker", State.FINE, f"{broker.bootstrap} answers, {count}")]
        names = topic_names(self._set_to)
        missing = [name for name in astuple(names) if name not in found.topics]
        if missing and self._set_to.environment == "development":
            made = f"{', '.join(missing)}: not there yet, alcyon run makes them"
            return [*checks, Check("topics", State.WARNING, made)]
        topics = _checked("topics", lambda: _topics(self._set_to))
        if topics.state is State.FINE:
            self._broker_clock(names.transactions)
        return [*checks, topics]

    def _broker_clock(self, topic: str) -> None:
        """Kafka does not tell its clock: only that it is not behind what it stamped last."""
        newest, now = connection(self._set_to).newest_ms(topic, REACH_S), self._now_ms()
        if newest is not None and newest > now:
            self.apart["broker"] = newest - now

    def postgres(self) -> list[Check]:
        try:
            dsn = postgres_dsn(self._set_to)
            assert dsn is not None
            from alcyon.io.postgres.session import Session

            found = Session(dsn).look("office.alembic_version")
        except AlcyonError as error:
            return [failed("postgres", error)]
        self.apart["postgres"] = found.clock_ms - self._now_ms()
        answers = f"version {found.version} answers"
        checks = [_of_version("postgres", answers, found.version, POSTGRES_MIN)]
        checks.append(_migrations(found.migrations, found.migrations_known))
        return [*checks, *_office(found.office)]

    def sqlite(self) -> list[Check]:
        from alcyon.io.sqlite.migrations import migrated

        file = self._set_to.home / STORE_FILE
        if not file.is_file():
            return []
        try:
            return [_migrations(*migrated(file))]
        except AlcyonError as error:
            return [failed("migrations", error)]

    def redis(self) -> str:
        from alcyon.io.redis import RedisReadModel

        assert self._set_to.redis.url is not None
        with closing(RedisReadModel(self._set_to.redis.url.get_secret_value())) as model:
            version, clock_ms = model.server()
            self.apart["redis"] = clock_ms - self._now_ms()
            covered = model.covered()
        if int(version.partition(".")[0]) < REDIS_MIN:
            raise SettingsError(f"version {version}: use {REDIS_MIN} or later")
        holds = "it is empty" if covered is None else "it has cards"
        return f"version {version} answers; {holds}"


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, State.FINE, look())
    except ImportError:
        extra = f"is named, and that needs an extra: install alcyon[{name}]"
        return Check(name, State.WRONG, extra)
    except AlcyonError as error:
        return failed(name, error)


def _of_version(name: str, answers: str, version: int, least: int) -> Check:
    if version >= least:
        return Check(name, State.FINE, answers)
    return Check(name, State.WRONG, f"{answers}: use {least} or later")


def _topics(set_to: Settings) -> str:
    from alcyon.io.kafka import ensure_topics

    names = topic_names(set_to)
    hours = set_to.kafka.retention_hours
    partitions = ensure_topics(connection(set_to), names, hours, may_create=False)
    return ", ".join(f"{names.of(topic)} ({n})" for topic, n in partitions.items()) + ": are fit"


def _migrations(done: int, known: tuple[str, ...]) -> Check:
    """Of the projection's store."""
    if done == 0:
        empty = "the store is empty: alcyon run, or alcyon serve, makes its tables"
        return Check("migrations", State.WARNING, empty)
    if done > len(known):
        newer = f"the store has migration {done}, this Alcyon knows {len(known)}: use the newer one"
        return Check("migrations", State.WRONG, newer)
    if pending := known[done:]:
        found = f"{', '.join(pending)}: pending; alcyon run --only projections applies what is"
        return Check("migrations", State.WRONG, found)
    return Check("migrations", State.FINE, f"{done} of {len(known)}: the store is current")


def _office(version: str | None) -> list[Check]:
    """Of accounts, keys, cases and audit; nothing where nobody made it yet."""
    try:
        from alcyon.io.office.migrating import HEAD
    except ImportError:  # without the extra `api` nobody uses it here
        return []
    if version is None:
        return []
    if version > HEAD:
        newer = f"it has version {version}, this Alcyon knows {HEAD}: use the newer one"
        return [Check("office", State.WRONG, newer)]
    if version < HEAD:
        found = f"version {version} of {HEAD}: pending; alcyon users list applies what is"
        return [Check("office", State.WRONG, found)]
    return [Check("office", State.FINE, f"version {version}: current")]


def _registry(set_to: Settings) -> str:
    registry = schemas(set_to)
    assert registry is not None
    with suppress(UnknownSchemaError):  # then it answered
        registry.writer(0)
    return "answers"
