"""The logs that `alcyon learn` reads: a broker's, the demo's, or those of `alcyon serve`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from alcyon.cli.opening.servers import connection, means, topic_names
from alcyon.domain.errors import InputError
from alcyon.domain.record import Topic
from alcyon.runners.learning.following import Logs, Open
from alcyon.runners.learning.remembering import Decoders, PolicyByVersion
from alcyon.runners.stream.asked_schemas import AskedSchemas
from alcyon.runners.stream.rates import RatesByVersion
from alcyon.runners.stream.reading import Reading

if TYPE_CHECKING:
    from alcyon.cli.opening.followed import LogFolder
    from alcyon.cli.opening.models_place import Place
    from alcyon.detectors.loading import Detector
    from alcyon.domain.ports import Intake
    from alcyon.runners.stream.deciding import Means
    from alcyon.settings import Settings

_AT_ONCE = 4096


def opener(set_to: Settings, detector: Detector) -> Open:
    """What opens them. InputError: there is neither."""
    by = means(set_to, detector)
    if set_to.kafka.bootstrap is not None:
        connection(set_to)  # a wrong setting is told before anything starts
        if by.schemas is not None:
            by = replace(by, schemas=AskedSchemas(by.schemas))
        return lambda files: _of_the_broker(set_to, by, files)
    logs = _folder(set_to)
    if not logs.decisions.is_dir():
        raise InputError(
            f"nothing was decided in {logs.folder} yet: start alcyon serve or alcyon demo first, "
            "or set ALCYON_KAFKA__BOOTSTRAP to the broker of alcyon run"
        )
    return lambda files: _of_files(logs, by, files)


def intake_of(set_to: Settings, place: Place) -> Callable[[], AbstractContextManager[Intake]]:
    """What opens the way to who decides: the broker, the demo's log, or alcyon serve."""
    if place.demo is not None or set_to.kafka.bootstrap is not None:
        return place.intake
    url, key = set_to.learn.url, set_to.learn.key

    @contextmanager
    def through_serve() -> Iterator[Intake]:
        if key is None:
            raise InputError(
                "only alcyon serve writes its logs: let it publish for you, by the key of alcyon "
                "keys create --role learner, as ALCYON_LEARN__KEY"
            )
        from alcyon.io.serving_intake import ServingIntake

        with closing(ServingIntake(url, key.get_secret_value())) as intake:
            yield intake

    return through_serve


def _folder(set_to: Settings) -> LogFolder:
    """Those whose models are learnt for; see `models_place.Place.of`."""
    from alcyon.cli.opening.followed import LogFolder
    from alcyon.runners.demo.place import DemoPlace

    demo = DemoPlace(set_to.home / "demo")
    if demo.is_finished:
        return LogFolder(demo.folder, demo.models)
    return LogFolder(set_to.home, set_to.home / "models")


def _of_files(logs: LogFolder, by: Means, files: ExitStack) -> Logs:
    from alcyon.io.log import EmbeddedCommits, EmbeddedSource
    from alcyon.io.log.reader import LogReader

    def end() -> int:
        with closing(LogReader(logs.decisions)) as reader:
            return reader.seek_end()

    reading = Reading(
        files.enter_context(closing(EmbeddedCommits(logs.decisions))),
        files.enter_context(closing(EmbeddedSource(logs.intake))),
    )
    return Logs(reading, _decoders(by, lambda: _embedded_controls(logs)), end)


def _of_the_broker(set_to: Settings, by: Means, files: ExitStack) -> Logs:
    from alcyon.io.kafka.control import control_payloads
    from alcyon.runners.over_kafka import Broker

    broker = Broker(connection(set_to), topic_names(set_to))
    broker.connection.reached()
    entries = broker.entries(files)

    def end() -> int:
        last = entries.last()
        entries.rest()
        return last.index + 1 if last else 0

    controls = lambda: control_payloads(broker.connection, broker.names)  # noqa: E731
    return Logs(broker.trailing().reading(files), _decoders(by, controls), end)


def _decoders(by: Means, controls: Callable[[], Sequence[bytes]]) -> Decoders:
    rates = RatesByVersion(controls)
    return Decoders(
        lambda version: by.transaction_decoder(rates.of(version)),
        by.label_decoder(),
        PolicyByVersion(controls),
    )


def _embedded_controls(logs: LogFolder) -> list[bytes]:
    from alcyon.io.log import EmbeddedSource

    found: list[bytes] = []
    with closing(EmbeddedSource(logs.intake)) as source:
        source.seek(0)
        while records := source.poll(_AT_ONCE, 0.0):
            found += [record.payload for record in records if record.topic is Topic.CONTROL]
    return found
