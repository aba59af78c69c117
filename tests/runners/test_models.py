"""Promotion and roll-back: alias and control record together, or neither."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from alcyon.codecs.decisions import decode
from alcyon.domain.control import CHALLENGER, CHAMPION, SetModel, decode_control
from alcyon.domain.errors import (
    ConflictError,
    InputError,
    LogError,
    ModelError,
    UnreachableError,
)
from alcyon.domain.moves import Move, MoveState, Wanted, standing, winners
from alcyon.domain.ports import Intake
from alcyon.domain.record import Topic
from alcyon.io.memory import MemoryIntake, MemoryRecords
from alcyon.io.model_folder import FolderRegistry
from alcyon.runners.learning.models import Moving, begun_with, loader, moved, promote, roll_back
from tests.models import METRICS, two_models
from tests.runners.working import CATALOG, MEANS, Generator, Home, load_model, models


class Registry(FolderRegistry):
    """A folder that can be out of reach."""

    is_down = False

    def fetch(self, name: str) -> Path:
        if self.is_down:
            raise UnreachableError("the disk is gone")
        return super().fetch(name)

    def end_move(self, move: Move, state: MoveState) -> None:
        if self.is_down:
            raise UnreachableError("the disk is gone")
        super().end_move(move, state)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    found = Registry(tmp_path / "models")
    for name in ("m1", "m2"):
        found.register(models() / name, name)
    return found


@pytest.fixture
def records() -> MemoryRecords:
    return MemoryRecords()


@pytest.fixture
def moving(registry: Registry, records: MemoryRecords) -> Moving:
    @contextmanager
    def intake() -> Iterator[Intake]:
        yield MemoryIntake(records)

    return Moving(registry, loader(registry, CATALOG), intake)


def champion(registry: FolderRegistry) -> str | None:
    return standing(winners(registry.moves(CHAMPION)))


def told(records: MemoryRecords) -> list[object]:
    return [decode_control(record.payload) for record in records.records]


def test_a_promotion_moves_the_alias_and_tells_the_worker(
    moving: Moving, registry: Registry, records: MemoryRecords
) -> None:
    promote(moving, "m1")
    move = promote(moving, "m2", by="ada", why="better")
    assert (move.state, move.wanted.by, move.wanted.why) == (MoveState.DONE, "ada", "better")
    assert registry.moves(CHAMPION)[-1] == move
    assert told(records) == [SetModel("m1"), SetModel("m2")]
    assert {r.topic for r in records.records} == {Topic.CONTROL}


def test_evidence_is_the_figures_of_both(tmp_path: Path, moving: Moving) -> None:
    registry = FolderRegistry(tmp_path / "others")
    for name, source in zip("ab", two_models(), strict=True):
        registry.register(source, name)
    others = replace(moving, registry=registry, load=lambda name: load_model("m1"))
    assert promote(others, "a").wanted.evidence == {"a": METRICS["blend"]}
    assert promote(others, "b").wanted.evidence == dict.fromkeys("ab", METRICS["blend"])


def test_the_challenger_has_an_alias_of_its_own(
    moving: Moving, registry: Registry, records: MemoryRecords
) -> None:
    promote(moving, "m1")
    promote(moving, "m2", CHALLENGER)
    assert champion(registry) == "m1"
    assert standing(winners(registry.moves(CHALLENGER))) == "m2"
    assert told(records)[-1] == SetModel("m2", CHALLENGER)


def test_a_roll_back_is_to_the_champion_before(
    moving: Moving, registry: Registry, records: MemoryRecords
) -> None:
    with pytest.raises(InputError, match="no champion before the first"):
        roll_back(moving)
    promote(moving, "m1")
    with pytest.raises(InputError, match="no champion before m1"):
        roll_back(moving)
    promote(moving, "m2")
    roll_back(moving, by="ada")
    assert champion(registry) == "m1"
    assert told(records)[-1] == SetModel("m1")
    with pytest.raises(InputError, match="no champion before m1"):
        roll_back(moving)


def test_a_model_that_the_worker_would_refuse_is_not_promoted(
    moving: Moving, registry: Registry, records: MemoryRecords
) -> None:
    promote(moving, "m1")
    (registry.fetch("m2") / "model.onnx").write_bytes(b"rotten")
    for name in ("m2", "m9"):
        with pytest.raises(ModelError):
            promote(moving, name)
    assert champion(registry) == "m1"
    assert len(registry.moves(CHAMPION)) == len(records.records) == 1


def test_where_the_worker_cannot_be_told_the_alias_stays(
    moving: Moving, registry: Registry
) -> None:
    class Broken(MemoryIntake):
        def append(self, topic: Topic, payloads: Sequence[bytes]) -> None:
            raise LogError("the disk is full")

    @contextmanager
    def broken() -> Iterator[Intake]:
        yield Broken(MemoryRecords())

    @contextmanager
    def closed() -> Iterator[Intake]:
        raise UnreachableError("no broker")
        yield

    promote(moving, "m1")
    with pytest.raises(LogError, match="full"):
        promote(replace(moving, intake=broken), "m2")
    with pytest.raises(UnreachableError, match="no broker"):
        promote(replace(moving, intake=closed), "m2")
    assert champion(registry) == "m1"
    assert [m.state for m in registry.moves(CHAMPION)] == [MoveState.DONE, MoveState.FAILED]
    promote(moving, "m2")
    assert champion(registry) == "m2"


def test_a_promotion_while_another_is_under_way_is_refused_until_that_is_old(
    moving: Moving, registry: Registry, records: MemoryRecords
) -> None:
    promote(moving, "m1")
    begun = registry.begin_move(Wanted(CHAMPION, "m2", 1, by="bob"))  # and is killed
    now = begun.at + 59_000
    with pytest.raises(ConflictError, match="being moved to m2 by bob"):
        promote(replace(moving, now_ms=lambda: now), "m1")
    assert champion(registry) == "m1"
    assert len(records.records) == 1
    promote(replace(moving, now_ms=lambda: now + 1_000), "m2")
    assert champion(registry) == "m2"


def test_a_registry_lost_after_the_worker_was_told_is_said(
    moving: Moving, registry: Registry
) -> None:
    wanted = Wanted(CHAMPION, "m1", 0)
    with pytest.raises(UnreachableError, match="promote m1 again"), moved(registry, wanted):
        registry.is_down = True
    registry.is_down = False
    assert champion(registry) is None


def test_a_worker_whose_registry_is_down_goes_on_with_what_it_has(
    registry: Registry, tmp_path: Path
) -> None:
    home = Home(tmp_path / "snapshots")
    means = replace(MEANS, load_model=loader(registry, CATALOG))
    traffic = Generator(1).traffic(1)
    home.append(traffic)
    worker, _ = home.start(means=means)
    while worker.step().records:
        pass
    registry.is_down = True
    home.append([(Topic.CONTROL, b'{"type":"model","name":"m2"}')])
    home.append([r for r in Generator(2).traffic(30)[4:] if r[0] is Topic.TRANSACTIONS])
    while worker.step().records:
        pass
    worker.close()
    letters = [x for x in home.dead_letters() if x.reason == "control_refused"]
    assert ["the disk is gone" in x.detail for x in letters] == [True]
    assert {d.versions.model for d in decode(home.decisions())} == {load_model("m1").version}


def test_what_a_worker_begins_with_is_the_champion(tmp_path: Path) -> None:
    registry = FolderRegistry(tmp_path / "models")
    version = begun_with(registry, CATALOG, models() / "m1").version
    assert begun_with(registry, CATALOG, models() / "m1").version == version  # a second attempt
    assert champion(registry) == version == load_model("m1").version
