"""What a process beside the worker takes to be in force is what the worker has in force."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import msgspec
import pytest

from alcyon.domain.control import (
    CHALLENGER,
    AddToList,
    Control,
    SetModel,
    SetPolicy,
    SetRules,
    encode_control,
)
from alcyon.domain.errors import LogError, ModelError, UnreachableError
from alcyon.domain.record import Topic
from alcyon.features.kernel import Kernel
from alcyon.io.log import EmbeddedDecisions, EmbeddedIntake, EmbeddedSource
from alcyon.runners.serving import in_force_following as module
from alcyon.runners.serving.in_force_following import (
    RETRY_S,
    EmbeddedControls,
    HeldControls,
    InForceFollowing,
    KafkaControls,
    followed_once,
)
from alcyon.runners.stream.in_force import InForce
from alcyon.runners.stream.recovery import recover
from alcyon.runners.stream.worker import Pace, Ports, Worker
from alcyon.scoring.model import Model
from tests.cli.run_process import until
from tests.kafka import Broker
from tests.runners.working import (
    BOOTSTRAP,
    CATALOG,
    LAYOUT,
    LIMITS,
    MEANS,
    POLICIES,
    RULES,
    Generator,
    load_model,
    rule,
    until_idle,
)


@dataclass
class Clock:
    """Seconds that pass when told to."""

    at: float = 0.0

    def __call__(self) -> float:
        return self.at


@dataclass
class Told:
    """Control records as they are given."""

    payloads: list[bytes] = field(default_factory=list)
    asked: int = 0
    error: Exception | None = None

    def say(self, *controls: Control) -> None:
        self.payloads += map(encode_control, controls)

    def beginning(self) -> InForce:
        return InForce.initial(CATALOG)

    def more(self) -> list[bytes]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        given, self.payloads = self.payloads, []
        return given

    def close(self) -> None:
        """Nothing to let go."""


@pytest.fixture
def told() -> Told:
    return Told(list(BOOTSTRAP))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def following(told: Told, clock: Clock) -> InForceFollowing:
    return InForceFollowing(told, load_model, clock)


def test_it_asks_at_most_once_a_second(
    following: InForceFollowing, told: Told, clock: Clock
) -> None:
    first = following.now()
    told.say(SetRules(RULES[1]))
    clock.at = 0.9
    assert following.now() is first
    clock.at = 1.1
    assert [r.id for r in following.now().conduct.rules.rules] == ["often", "risky"]
    assert told.asked == 2


def test_every_kind_of_change_takes_effect(following: InForceFollowing, told: Told) -> None:
    told.say(
        SetPolicy(msgspec.Raw(msgspec.json.encode(POLICIES[1]))),
        AddToList("block", "card_id", "c1"),
        SetModel("m2", CHALLENGER),
    )
    now = following.now()
    assert now.conduct.policy == POLICIES[1]
    assert now.conduct.lists.entries["block", "card_id"].keys() == {"c1"}
    versions = now.conduct.versions
    assert (versions.model, versions.challenger) == (
        load_model("m1").version, load_model("m2").version,
    )  # fmt: skip


def test_what_the_worker_refuses_changes_nothing(
    following: InForceFollowing, told: Told, clock: Clock
) -> None:
    before = following.now().conduct.versions
    told.say(SetRules(rule("wrong", "no_such_column > 1", "REVIEW")), SetModel("m3"))
    told.payloads.append(b"{")
    clock.at = 2
    assert following.now().conduct.versions == before
    assert following.now().model == "m1"
    assert "no model m3" in following.missing["champion"]


def test_a_model_that_comes_back_is_taken(told: Told, clock: Clock) -> None:
    is_gone = True

    def load(name: str) -> Model:
        if is_gone and name == "m2":
            raise ModelError("m2 is on its way")
        return load_model(name)

    following = InForceFollowing(told, load, clock)
    told.say(SetModel("m2"))
    assert following.now().model == "m1"
    is_gone, clock.at = False, RETRY_S + 1
    assert following.now().conduct.versions.model == load_model("m2").version
    assert following.missing == {}


def test_each_model_is_loaded_once(told: Told, clock: Clock) -> None:
    loads: list[str] = []

    def load(name: str) -> Model:
        loads.append(name)
        return load_model(name)

    following = InForceFollowing(told, load, clock)
    for second in range(5):
        clock.at = second * 2.0
        told.say(AddToList("block", "card_id", f"c{second}"))
        following.now()
    assert loads == ["m1"]


def test_what_was_just_written_is_known_at_once(following: InForceFollowing, told: Told) -> None:
    following.look_again()  # before anything was asked
    following.now()
    told.say(SetRules(RULES[1]))
    following.look_again()
    assert [r.id for r in following.now().conduct.rules.rules] == ["often", "risky"]
    told.error = UnreachableError("no broker")
    following.look_again()
    assert following.problem == "no broker"


def test_once_started_a_thread_reads_and_nobody_waits(
    told: Told, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFRESH_S", 0.01)
    may_load, asked = Event(), Event()

    def load(name: str) -> Model:
        if name == "m2":
            asked.set()
            assert may_load.wait(60)
        return load_model(name)

    with closing(InForceFollowing(told, load, clock)) as following:
        following.start()
        told.say(SetModel("m2"))
        clock.at = 1000
        assert asked.wait(60)
        assert following.now().model == "m1"
        may_load.set()
        following.look_again()
        assert following.now().model == "m2"
    asked_before = told.asked
    assert following.now().model == "m2"
    assert told.asked == asked_before, "it is closed"


def test_of_an_intake_held_here_only_the_beginning_is_read(tmp_path: Path) -> None:
    place = Embedded(tmp_path)
    place.append([(Topic.CONTROL, control) for control in BOOTSTRAP])
    with closing(EmbeddedIntake(tmp_path / "intake", "never")) as intake:
        held = HeldControls(EmbeddedControls(tmp_path / "intake", tmp_path / "s", CATALOG))
        noting = held.noting(intake)
        noting.append(Topic.CONTROL, [encode_control(AddToList("block", "card_id", "c1"))])
        with closing(InForceFollowing(held, load_model)) as following:
            lists = following.now().conduct.lists
            assert lists.entries["block", "card_id"].keys() == {"c1"}
            assert lists.version == followed(tmp_path).conduct.lists.version, "not twice"
            noting.append(Topic.TRANSACTIONS, [b"{}"])
            noting.append(Topic.CONTROL, [encode_control(SetRules(RULES[1]))])
            following.look_again()
            assert same(following.now(), followed(tmp_path))


def followed(folder: Path) -> InForce:
    return Embedded(folder).followed()


def test_during_an_outage_it_tells_what_it_knew(
    following: InForceFollowing, told: Told, clock: Clock
) -> None:
    known = following.now()
    told.error, clock.at = UnreachableError("no broker"), 5
    assert following.now() is known
    assert following.problem == "no broker"
    told.error, clock.at = None, 7
    told.say(SetModel(None))
    assert following.now().conduct.model is None
    assert following.problem is None


def test_an_outage_before_anything_is_known_is_told(told: Told) -> None:
    told.error = LogError("the log is corrupt")
    with pytest.raises(LogError, match="corrupt"):
        InForceFollowing(told, load_model).now()


@dataclass
class Embedded:
    """Both logs in a folder, and a worker over them."""

    folder: Path

    def append(self, traffic: list[tuple[Topic, bytes]]) -> None:
        with closing(EmbeddedIntake(self.folder / "intake", "never")) as intake:
            for topic, payload in traffic:
                intake.append(topic, [payload])

    def decide(self, then: Callable[[Worker], object] = lambda worker: None) -> InForce:
        log = EmbeddedDecisions(self.folder / "decisions", "never")
        source = EmbeddedSource(self.folder / "intake")
        with closing(log), closing(source):
            ports = Ports(source, log, self.folder / "snapshots")
            worker, _ = recover(Kernel(LAYOUT, LIMITS), ports, MEANS, Pace(snapshot_every=10**9))
            list(until_idle(worker))
            then(worker)
            in_force = worker._deciding.in_force
            worker.close()
        return in_force

    def followed(self) -> InForce:
        controls = EmbeddedControls(self.folder / "intake", self.folder / "snapshots", CATALOG)
        return followed_once(controls, load_model)


def same(one: InForce, other: InForce) -> bool:
    """Whether they decide alike."""
    return (one.conduct.versions, one.rates.version, one.to_data()) == (
        other.conduct.versions, other.rates.version, other.to_data(),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_over_the_embedded_log_it_is_what_the_worker_has(seed: int, tmp_path: Path) -> None:
    place = Embedded(tmp_path)
    traffic = Generator(seed).traffic(600)
    place.append(traffic[:300])
    place.decide(lambda worker: worker.snapshot())
    place.append(traffic[300:])
    decided = place.decide()
    assert same(place.followed(), decided)
    shutil.rmtree(tmp_path / "snapshots")
    assert same(place.followed(), decided), "from the log's beginning too"


def test_over_kafka_it_goes_on_where_it_stood(broker: Broker) -> None:
    clock = Clock()
    with broker.intake() as intake:
        controls = KafkaControls(broker.connection, broker.names, CATALOG)
        with closing(InForceFollowing(controls, load_model, clock)) as following:
            assert following.now().conduct.rules.rules == ()
            for second, payload in enumerate([*BOOTSTRAP, encode_control(SetRules(RULES[1]))], 1):
                intake.append(Topic.CONTROL, [payload])
                clock.at = second * 2.0
                following.now()

            def is_known() -> bool:
                """The broker shows a commit a little after it said that it is one."""
                clock.at += 2.0
                return [r.id for r in following.now().conduct.rules.rules] == ["often", "risky"]

            until(is_known)
            assert following.now().conduct.versions.model == load_model("m1").version
