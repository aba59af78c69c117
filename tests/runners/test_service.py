"""The worker's service over a real broker: what befalls it between start and stop."""

from __future__ import annotations

import gc
import io
import json
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Thread
from weakref import ReferenceType, ref

import fastavro
import msgspec
import pytest
from confluent_kafka import Consumer, KafkaError, Producer

from alcyon.domain.errors import SettingsError, UnreachableError
from alcyon.domain.record import DeadLetter, Topic
from alcyon.domain.schemas import Schemas, UnknownSchemaError
from alcyon.features.kernel import Kernel
from alcyon.io.kafka import KafkaSource
from alcyon.io.kafka.source import HandedOver
from alcyon.runners.care.diagnosis import refusal
from alcyon.runners.process.status import utc_ms
from alcyon.runners.stream import service as service_runner
from alcyon.runners.stream.service import Equipment, Opened, WorkerService
from alcyon.runners.stream.worker import Pace, Ports
from tests.kafka import Broker
from tests.runners.told import Told
from tests.runners.working import BOOTSTRAP, LAYOUT, LIMITS, MEANS, START

SCHEMA = {
    "type": "record",
    "name": "transaction",
    "fields": [
        {"name": name, "type": kind}
        for name, kind in {
            "transaction_id": "string", "event_time": "long", "amount_minor": "long",
            "currency": "string", "card_id": "string",
        }.items()
    ],
}  # fmt: skip


class Registry(Schemas):
    """Knows schema 7, where it is not away."""

    def __init__(self) -> None:
        self.is_away, self.asked = False, 0

    def writer(self, schema_id: int) -> str:
        self.asked += 1
        if self.is_away:
            raise UnreachableError("the schema registry cannot be used; check registry.url")
        if schema_id != 7:
            raise UnknownSchemaError(f"schema {schema_id} is not there")
        return json.dumps(SCHEMA)


@dataclass
class Service:
    """A service that runs in a thread, and all that it tells."""

    broker: Broker
    snapshots: Path
    registry: Registry = field(default_factory=Registry)
    buffer_kib_max: int = 16_384

    def __post_init__(self) -> None:
        self.told, self.stop, self.is_silent = Told(), Event(), False
        self.is_asked, self.may_answer = Event(), Event()
        self.may_answer.set()
        self.told.now_ms = utc_ms()
        self.error: BaseException | None = None
        self.kernels: list[ReferenceType[Kernel]] = []
        self.kernels_before: list[int] = []
        """How many earlier ones were still there when each was made."""
        means = replace(MEANS, schemas=self.registry)
        equipment = Equipment(self._kernel, means, Pace(), self._open)
        self._service = WorkerService(equipment, self.told.telling, self.stop)
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._service.run()
        except BaseException as error:
            self.error = error

    def _kernel(self) -> Kernel:
        self.kernels_before.append(sum(kernel() is not None for kernel in self.kernels))
        kernel = Kernel(LAYOUT, LIMITS)
        self.kernels.append(ref(kernel))
        return kernel

    def _open(self, files: ExitStack) -> Opened:
        handed_over, broker = HandedOver(), self.broker
        log = files.enter_context(closing(broker.decisions(handed_over)))
        live = KafkaSource(
            broker.connection, broker.names, broker.partitions, handed_over, self.buffer_kib_max
        )
        source = files.enter_context(closing(live))
        ports = Ports(source, log, self.snapshots)
        return Opened(ports, self._keeps, source.waiting, live.check_partitions)

    def _keeps(self, _: int) -> bool:
        self.is_asked.set()
        self.may_answer.wait(120.0)
        if self.is_silent:
            raise UnreachableError("the broker does not answer")
        return True

    def comes_to(self, sequence: int) -> None:
        """Wait until so many records are decided."""
        until(lambda: self.told.value("worker_next_sequence") >= sequence or self.error is not None)
        assert self.error is None

    def events(self) -> list[object]:
        """All that was told so far."""
        return [json.loads(line)["event"] for line in self.told.stream.getvalue().splitlines()]

    def ends(self) -> None:
        """Stop it, and wait."""
        self.stop.set()
        self._thread.join(10.0)
        assert not self._thread.is_alive()
        assert self.error is None


def until(holds: Callable[[], bool], within_s: float = 40.0) -> None:
    """Wait for it; TimeoutError."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


@pytest.fixture
def serve(broker: Broker, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts services, which end with the test."""
    with broker.intake() as intake:
        intake.append(Topic.CONTROL, BOOTSTRAP)
    services: list[Service] = []

    def begin(**given: int) -> Service:
        services.append(Service(broker, tmp_path, **given))  # type: ignore[arg-type]
        return services[-1]

    yield begin
    for service in services:
        service.stop.set()


def payment(i: int) -> dict[str, object]:
    """One plain payment."""
    return {
        "transaction_id": f"t{i}", "event_time": START + i, "amount_minor": 5, "currency": "EUR",
        "card_id": "c",
    }  # fmt: skip


def avro(i: int, schema_id: int) -> bytes:
    """The same in Avro."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(SCHEMA), payment(i))
    return b"\0" + struct.pack(">I", schema_id) + body.getvalue()


def arrive(broker: Broker, payloads: Sequence[bytes]) -> None:
    """As transactions, each in a batch of its own."""
    with broker.intake() as intake:
        for payload in payloads:
            intake.append(Topic.TRANSACTIONS, [payload])


def json_of(*numbers: int) -> list[bytes]:
    return [msgspec.json.encode(payment(i)) for i in numbers]


def outcome(broker: Broker) -> tuple[list[str], list[str]]:
    """Ids decided on, and the reasons of dead letters."""
    with closing(broker.commits()) as log:
        commits, more = list(log.read(0, 100)), True
        while more:
            more = bool(found := log.read(len(commits), 100))
            commits += found
    letters = [msgspec.json.decode(x, type=DeadLetter) for c in commits for x in c.dead_letters]
    ids = [msgspec.json.decode(x)["transaction_id"] for c in commits for x in c.decisions]
    return ids, [letter.reason for letter in letters]


def test_records_wait_for_a_registry_that_is_away_and_nothing_else_is_opened(
    broker: Broker, serve: Callable[..., Service]
) -> None:
    service = serve()
    service.comes_to(4)
    service.registry.is_away = True
    arrive(broker, [*json_of(0), avro(1, 7), *json_of(2)])
    until(lambda: "registry away" in service.events())
    until(lambda: service.registry.asked > 2)
    assert service.events().count("worker started") == 1
    answer = service.told.readiness.answer()
    assert (answer.ready, answer.reasons[-1].partition(":")[0]) == (False, "registry_away")
    assert service.told.value("run_failures_total", kind="unreachable") == 1
    service.registry.is_away = False
    service.comes_to(7)
    assert outcome(broker) == (["t0", "t1", "t2"], [])
    assert service.events().count("registry away") == service.events().count("registry back") == 1
    until(lambda: service.told.readiness.answer().ready)
    service.ends()


def test_while_the_registry_is_away_it_can_be_stopped(
    broker: Broker, serve: Callable[..., Service]
) -> None:
    service = serve()
    service.registry.is_away = True
    arrive(broker, [avro(1, 7)])
    until(lambda: "registry away" in service.events())
    service.ends()


def test_what_is_too_large_or_of_no_schema_is_a_dead_letter(
    broker: Broker, serve: Callable[..., Service]
) -> None:
    # A fetch asks for half the buffer at once; what is larger must come all the same.
    service = serve(buffer_kib_max=1024)
    arrive(broker, [b"{" * 900_000, avro(1, 8), *json_of(2)])
    service.comes_to(7)
    assert outcome(broker) == (["t2"], ["payload_too_large", "unknown_schema"])
    for reason in ("payload_too_large", "unknown_schema"):
        assert service.told.value("worker_dead_letters_total", reason=reason) == 1
    service.ends()


def test_a_consumer_of_the_same_group_changes_nothing(
    broker: Broker, serve: Callable[..., Service]
) -> None:
    """There is no group: partitions are assigned by hand, positions are in the commits."""
    service = serve()
    service.comes_to(4)
    config = broker.connection.config() | {"group.id": "alcyon", "auto.offset.reset": "earliest"}
    other = Consumer(config)
    with closing(other):
        other.subscribe([broker.names.transactions])
        until(lambda: other.poll(0.1) is None and bool(other.assignment()))
        arrive(broker, json_of(*range(20)))
        until(lambda: other.poll(0.1) is not None)
        other.commit(asynchronous=False)
        service.comes_to(24)
    assert outcome(broker) == ([f"t{i}" for i in range(20)], [])
    assert service.events().count("worker started") == 1
    service.ends()


def test_a_brokers_clock_that_jumps_breaks_no_order_and_makes_no_lag_negative(
    broker: Broker, serve: Callable[..., Service]
) -> None:
    broker.configure(broker.names.transactions, "message.timestamp.type", "CreateTime")
    service = serve()
    service.comes_to(4)
    producer, now = Producer(broker.connection.config()), utc_ms()
    hour = 3_600_000
    for i, payload in enumerate(json_of(*range(30))):
        producer.produce(
            broker.names.transactions, payload, timestamp=now + (hour - i * 60_000) * (-1) ** i
        )
        lags = service.told.readiness.lag_s()
        assert not lags < 0
    producer.flush(10)
    service.comes_to(34)
    assert outcome(broker) == ([f"t{i}" for i in range(30)], [])
    assert service.told.value("worker_decision_latency_seconds_sum") >= 0
    until(lambda: service.told.value("worker_lag_records") == 0)
    assert service.told.readiness.lag_s() == 0
    service.ends()
    again = serve()
    again.comes_to(34)
    assert again.told.value("worker_replayed_records_total") == 0
    again.ends()


def test_a_partition_that_is_added_is_read_too(
    broker: Broker, serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_runner, "IDLE_EVERY_MS", 100)
    service, topic = serve(), broker.names.transactions
    arrive(broker, json_of(0))
    service.comes_to(5)
    broker.partitions[Topic.TRANSACTIONS] = 2  # as `ensure_topics` will say
    broker.widen(topic, 2)
    producer = Producer(broker.connection.config())
    for partition, payload in enumerate(json_of(1, 2)):
        producer.produce(topic, payload, partition=partition)
    producer.flush(10)
    service.comes_to(7)
    ids, refused = outcome(broker)
    assert (ids[0], sorted(ids), refused) == ("t0", ["t0", "t1", "t2"], [])
    assert f"topic {topic} has 2 partitions" in service.told.stream.getvalue()
    until(lambda: service.told.readiness.answer().ready)
    service.ends()


def test_no_decision_waits_while_the_broker_is_asked_what_it_keeps(
    broker: Broker, serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_runner, "IDLE_EVERY_MS", 100)
    service = serve()
    service.comes_to(4)
    service.may_answer.clear()
    service.is_asked.clear()
    until(service.is_asked.is_set)
    arrive(broker, json_of(0, 1))
    service.comes_to(6)
    assert not service.may_answer.is_set()
    service.may_answer.set()
    service.ends()


@pytest.mark.parametrize("jump_ms", [0, -3_600_000])
def test_a_broker_that_falls_silent_while_nothing_arrives_is_noticed(
    jump_ms: int, serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though this machine's clock be set back by an hour."""
    monkeypatch.setattr(service_runner, "IDLE_EVERY_MS", 100)
    service = serve()
    service.comes_to(4)
    monkeypatch.setattr(service_runner, "utc_ms", lambda: utc_ms() + jump_ms)
    service.is_silent = True
    until(lambda: "broker away" in service.events())
    assert not service.told.readiness.answer().ready
    service.is_silent = False
    until(lambda: service.events().count("broker back") == 1)
    until(lambda: service.told.readiness.answer().ready)
    assert service.told.value("broker_outages_total") == 1
    service.ends()


def test_a_commit_that_is_refused_is_tried_anew_and_leaves_no_state_behind(
    broker: Broker, serve: Callable[..., Service]
) -> None:
    """Though nobody collects garbage: there may be no room for two states."""
    service = serve()
    service.comes_to(4)
    broker.configure(broker.names.decisions, "max.message.bytes", "100")
    gc.disable()
    try:
        arrive(broker, json_of(0))
        until(lambda: len(service.kernels) > 2)
    finally:
        gc.enable()
    assert service.kernels_before[:3] == [0, 0, 0]
    assert outcome(broker) == ([], [])
    broker.configure(broker.names.decisions, "max.message.bytes", "1000000")
    service.comes_to(5)
    assert outcome(broker) == (["t0"], [])
    service.ends()


REFUSED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "rights for this user on its topics",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "rights for this user on the cluster",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "kafka.transactional_id",
    KafkaError.SASL_AUTHENTICATION_FAILED: "kafka.username and kafka.password",
}


@pytest.mark.parametrize("code", REFUSED)
def test_a_refusal_names_what_to_look_at(code: int, broker: Broker) -> None:
    """The broker of the tests asks nobody for rights: its answers are made here."""
    error = broker.connection.translate(KafkaError(code))
    refused = refusal(error)
    assert isinstance(refused, SettingsError)
    assert REFUSED[code] in str(refused)


@pytest.mark.parametrize(
    "code",
    [KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT,
     KafkaError._RESOLVE, KafkaError.LEADER_NOT_AVAILABLE],
)  # fmt: skip
def test_a_broker_that_may_come_is_no_refusal(code: int, broker: Broker) -> None:
    assert refusal(broker.connection.translate(KafkaError(code))) is None
