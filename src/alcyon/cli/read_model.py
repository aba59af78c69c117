"""The read model, filled beside the projection where one is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from threading import Thread
from typing import TYPE_CHECKING

import msgspec

from alcyon.cli.servers import connection, means, read_model, topic_names

if TYPE_CHECKING:
    from alcyon.cli.run import Process
    from alcyon.detectors.loading import Detector
    from alcyon.domain.read_model import Known, ReadModel
    from alcyon.runners.read_model import ReadModelRunner
    from alcyon.settings import Settings

LOOP = "read_model"
_JOIN_S = 2.0


@contextmanager
def read_model_filled(process: Process, detector: Detector) -> Iterator[None]:
    """Fill it in a thread of its own meanwhile; without redis.url there is none."""
    from alcyon.domain.read_model import Known
    from alcyon.runners.read_model import fill
    from alcyon.runners.telling import ReadModelTelling

    model = read_model(process.set_to)
    if model is None:
        yield
        return
    telling = ReadModelTelling(process.telemetry, process.log, process.readiness, LOOP)
    known, failed = Known(), list[BaseException]()

    def work() -> None:
        try:
            fill(
                lambda files: _opened(files, process.set_to, detector, model, known),
                telling, process.stop,
            )  # fmt: skip
        except BaseException as error:
            failed.append(error)  # raised where the others end
            process.stop.set()

    thread = Thread(target=work, name=LOOP, daemon=True)
    thread.start()
    try:
        yield
    finally:
        process.stop.set()
        thread.join(_JOIN_S)
    if failed:
        raise failed[0]


def _opened(
    files: ExitStack, set_to: Settings, detector: Detector, model: ReadModel, known: Known
) -> ReadModelRunner:
    from alcyon.io.kafka import KafkaCommits, KafkaRecorded
    from alcyon.io.kafka.control import control_payloads
    from alcyon.io.kafka.entries import Entries, Entry
    from alcyon.io.kafka.partition import PartitionReader, values
    from alcyon.runners.rates import RatesByVersion
    from alcyon.runners.read_model import Cards, Logs, Reading, ReadModelRunner

    model.covered()  # before anything else is opened: an outage of it costs one attempt a second
    broker, names = connection(set_to), topic_names(set_to)
    broker.reached()
    entries = files.enter_context(closing(Entries(broker, names.commits)))
    oldest = files.enter_context(closing(PartitionReader(broker, names.commits)))
    decoding = means(set_to, detector)
    rates = RatesByVersion(lambda: control_payloads(broker, names))

    def reading(files: ExitStack) -> Reading:
        return Reading(
            files.enter_context(closing(KafkaCommits(broker, names))),
            files.enter_context(closing(KafkaRecorded(broker, names))),
        )

    def bounds() -> tuple[int, int]:
        low, _ = oldest.bounds()
        oldest.seek(low)
        found, last = values(oldest.up_to_end(1)), entries.last()
        first = msgspec.msgpack.decode(found[0], type=Entry).index if found else 0
        return first, last.index + 1 if last else 0

    cards = Cards(
        set_to.token.keys(),
        lambda rates_version: decoding.transaction_decoder(rates.of(rates_version)),
    )
    runner = ReadModelRunner(Logs(reading(files), reading, bounds, cards), model, known)
    return files.enter_context(closing(runner))
