"""Fifty swaps under load, most of them to models that are not fit: nothing is lost, the champion
goes on, and each decision names the model that was in force at its sequence."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Thread

import msgspec
import pytest

from alcyon.codecs.decisions import decode
from alcyon.domain.control import SetModel, encode_control
from alcyon.domain.record import DeadLetter, Topic
from alcyon.features.kernel import Kernel
from alcyon.io.log import EmbeddedCommits, EmbeddedDecisions, EmbeddedIntake, EmbeddedSource
from alcyon.io.model_files import hashes
from alcyon.io.model_folder import RECORD_FILE, FolderRegistry
from alcyon.runners.learning.models import loader
from alcyon.runners.stream.recovery import recover
from alcyon.runners.stream.worker import Pace, Ports
from tests.kafka import Broker
from tests.learning.synthetic import exported
from tests.models import damaged
from tests.runners.test_kafka_worker import arrive, committed, order_of, worker_over
from tests.runners.working import (
    BOOTSTRAP,
    CATALOG,
    LAYOUT,
    LIMITS,
    MEANS,
    Generator,
    Home,
    Traffic,
    load_model,
    models,
)

SWAPS = 50
GOOD = ("m1", "m2")
BAD = {
    "corrupt": "hash differs",
    "rotten": "hash differs",
    "external": "another file",
    "nan": "not finite",
    "half": "hash differs",
    "foreign": "trained on catalog",
    "nowhere": "no model nowhere",
    "../m1": "no name of a model",
}
"""Models that are not fit, and what the dead letter says of them."""


@pytest.fixture
def registry(tmp_path: Path) -> FolderRegistry:
    """With models of every kind; those that it would not take are put past it."""
    found = FolderRegistry(tmp_path / "models")
    for name in GOOD:
        found.register(models() / name, name)
    found.register(exported(), "foreign")
    record = found.register(models() / "m2", "rotten")
    plant(damaged("corrupt", tmp_path / "models" / "corrupt", models() / "m1"), record)
    for kind in ("external", "nan", "half"):
        plant(damaged(kind, tmp_path / "models" / kind, models() / "m1"), record)
    with (tmp_path / "models" / "rotten" / "model.onnx").open("r+b") as file:
        file.write(b"\xff")
    return found


def plant(place: Path, like: object) -> None:
    """Let a folder look as if it had been registered."""
    record = msgspec.structs.replace(like, name=place.name, files=hashes(place))  # type: ignore[type-var]
    (place / RECORD_FILE).write_bytes(msgspec.json.encode(record))


def swapping(seed: int, records: int) -> Traffic:
    """Payments and labels, and among them the swaps."""
    rng = random.Random(seed)
    drawn = Generator(seed).traffic(records)
    sent: Traffic = [record for record in drawn if record[0] is not Topic.CONTROL]
    swaps = [rng.choice(GOOD) for _ in range(SWAPS // 3)]
    swaps += [*BAD, *(rng.choice(list(BAD)) for _ in range(SWAPS - len(swaps) - len(BAD)))]
    rng.shuffle(swaps)
    for name in swaps:
        sent.insert(rng.randrange(len(sent)), (Topic.CONTROL, encode_control(SetModel(name))))
    return [(Topic.CONTROL, control) for control in BOOTSTRAP] + sent


def names_at(traffic: Traffic) -> list[str]:
    """By sequence: the name of the model in force. Every record takes the next sequence."""
    found, name = [], "none"
    for topic, payload in traffic:
        found.append(name)
        if topic is Topic.CONTROL:
            control = msgspec.json.decode(payload)
            if control["type"] == "model" and control["name"] in GOOD:
                name = control["name"]
    return found


def check(traffic: Traffic, decisions: Sequence[bytes], letters: Sequence[DeadLetter]) -> None:
    """All that this file is about."""
    versions = {name: load_model(name).version for name in GOOD}
    in_force, decided = names_at(traffic), decode(decisions)
    assert {versions[in_force[d.sequence]] for d in decided} == set(versions.values())
    for decision in decided:
        assert decision.versions.model == versions[in_force[decision.sequence]]
        assert decision.probability_ppm is not None or decision.codes
    sent = {
        msgspec.json.decode(payload)["transaction_id"]
        for topic, payload in traffic
        if topic is Topic.TRANSACTIONS and payload.startswith(b'{"transaction_id"')
    }
    assert {d.transaction_id for d in decided} == sent
    assert len({d.sequence for d in decided}) == len(decided)
    refused = {
        sequence: BAD[msgspec.json.decode(payload)["name"]]
        for sequence, (topic, payload) in enumerate(traffic)
        if topic is Topic.CONTROL
        and sequence >= len(BOOTSTRAP)
        and msgspec.json.decode(payload)["name"] in BAD
    }
    told = {x.sequence: x for x in letters if x.topic == Topic.CONTROL.name}
    assert set(told) == set(refused)
    for sequence, why in refused.items():
        assert told[sequence].reason == "control_refused"
        assert why in told[sequence].detail


@pytest.mark.parametrize("seed", range(4))
def test_swaps_under_load_and_over_restarts(
    seed: int, registry: FolderRegistry, tmp_path: Path
) -> None:
    rng, traffic = random.Random(seed), swapping(seed, 1500)
    home, means = Home(tmp_path / "snapshots"), replace(MEANS, load_model=loader(registry, CATALOG))
    pace = Pace(batch_max=rng.choice([7, 64, 500]), snapshot_every=400)
    worker, _ = home.start(pace, means)
    sent = 0
    while sent < len(traffic):
        more = rng.randint(1, 200)
        home.append(traffic[sent : sent + more])
        sent += more
        while worker.step().records and rng.random() < 0.9:
            pass
        if rng.random() < 0.2:  # killed, with records undecided
            worker.close()
            worker, recovered = home.start(pace, means)
            assert recovered.model_missing is None
    while worker.step().records:
        pass
    worker.close()
    check(traffic, home.decisions(), home.dead_letters())


def test_swaps_while_payments_arrive_in_the_embedded_log(
    registry: FolderRegistry, tmp_path: Path
) -> None:
    traffic = swapping(9, 2000)

    def send() -> None:
        with closing(EmbeddedIntake(tmp_path / "intake", "never")) as intake:
            for topic, payload in traffic:
                intake.append(topic, [payload])

    with (
        closing(EmbeddedDecisions(tmp_path / "decisions", "never")) as log,
        closing(EmbeddedSource(tmp_path / "intake")) as source,
    ):
        means = replace(MEANS, load_model=loader(registry, CATALOG))
        ports = Ports(source, log, tmp_path / "snapshots")
        worker, _ = recover(Kernel(LAYOUT, LIMITS), ports, means, Pace(batch_max=64))
        sending = Thread(target=send)
        sending.start()
        while worker.place.position < len(traffic):
            worker.step()
        sending.join()
        worker.close()
    with closing(EmbeddedCommits(tmp_path / "decisions")) as commits:
        found = commits.read(0, 10**6)
    letters = [msgspec.json.decode(x, type=DeadLetter) for c in found for x in c.dead_letters]
    check(traffic, [d for commit in found for d in commit.decisions], letters)


def test_swaps_while_payments_arrive_at_a_broker(
    registry: FolderRegistry, broker: Broker, tmp_path: Path
) -> None:
    traffic, failed = swapping(11, 1200), list[BaseException]()

    def send() -> None:
        try:
            arrive(broker, traffic)
        except BaseException as error:
            failed.append(error)
            raise

    means = replace(MEANS, load_model=loader(registry, CATALOG))
    pace = Pace(batch_max=64, snapshot_every=300)
    arrive(broker, traffic[: len(BOOTSTRAP)])
    del traffic[: len(BOOTSTRAP)]
    sending = Thread(target=send)
    for end in (300, 700, len(BOOTSTRAP) + len(traffic)):  # a restart at each
        with worker_over(broker, tmp_path / "snapshots", pace, means=means) as (worker, _):
            if not sending.ident:
                sending.start()
            while worker.place.position < end and not failed:
                worker.step()
    sending.join()
    order = [(record.topic, record.payload) for record in order_of(broker)]
    assert len(order) == len(BOOTSTRAP) + len(traffic)
    check(order, *committed(broker))
