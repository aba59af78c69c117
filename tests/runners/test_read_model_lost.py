"""Whatever the read model loses, and whenever, it never has another decision and ends with all."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event, Thread

import pytest
from redis import Redis as Client

from alcyon.domain.commit import Commit
from alcyon.domain.errors import LogError
from alcyon.domain.projected import StoreError
from alcyon.domain.read_model import Covered, Known, Update
from alcyon.domain.record import Topic
from alcyon.io.memory import MemoryCommitReader, MemorySource
from alcyon.io.redis import COVERED, RedisReadModel
from alcyon.runners.projections import filling as filling_runner
from alcyon.runners.projections import read_model, read_model_history
from alcyon.runners.projections.read_model import Logs, ReadModelRunner
from alcyon.runners.stream.reading import Reading
from services import Folder, Redis, ServiceError
from tests.runners.filling import (
    CARDS,
    DATABASE,
    Traffic,
    Unsteady,
    decided,
    drain,
    filling,
    kept,
    payloads,
    runner_of,
    truth,
    truth_at,
    until,
)
from tests.runners.working import Home
from tests.servers import cannot


@pytest.fixture
def url(redis: Redis) -> str:
    return redis.url.removesuffix("/0") + f"/{DATABASE}"


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client.from_url(url) as client:
        client.flushall()
        yield client


@pytest.fixture
def model(url: str, client: Client) -> Iterator[RedisReadModel]:
    with closing(RedisReadModel(url)) as model:
        yield model


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many steps for few records."""
    going_on = {"COMMITS_MAX": 2, "WRITE_CARDS": 3, "LOOK_EVERY_S": 0.0}
    for name, value in going_on.items():
        monkeypatch.setattr(read_model, name, value)
    back = {"WRITE_CARDS": 3, "PART_DECISIONS": 700, "SPAN_DECISIONS": 40, "SPAN_COMMITS": 5}
    for name, value in back.items():
        monkeypatch.setattr(read_model_history, name, value)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.usefixtures("small")
def test_emptied_at_any_moment_it_never_has_another_decision_and_ends_with_all(
    seed: int, tmp_path: Path, model: RedisReadModel, client: Client
) -> None:
    rng, whole = random.Random(seed), decided(tmp_path, 500, seed, batch=4)
    cards = list(truth_at(whole))
    home = Home(tmp_path, whole.records)
    known = Known(rng.choice([2, 8, 1000]))
    runner = runner_of(home, Unsteady(model, rng, 0.05), known)
    end, lost = 0, 0
    while end < len(whole.commits.commits):
        end += rng.randrange(4)
        home.commits.commits[:] = whole.commits.commits[:end]
        for _ in range(rng.randrange(8)):
            try:
                runner.step()
            except StoreError:
                known = known if rng.random() < 0.8 else Known(8)
                runner = runner_of(home, Unsteady(model, rng, 0.05), known)
            covered, has = model.covered(), kept(model, cards)
            expected = truth_at(home, covered.end if covered else 0)
            assert {card: expected.get(card) for card in has} == has
        if rng.random() < 0.15:
            client.flushall()
            lost += 1
    assert lost > 3
    drain(runner_of(home, model, known))
    assert kept(model, cards) == truth_at(home)
    last = home.commits.commits[-1]
    assert model.covered() == Covered(0, len(home.commits.commits), last.next_sequence)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.usefixtures("small")
def test_with_the_key_of_what_is_covered_gone_alone_it_ends_right(
    seed: int, tmp_path: Path, model: RedisReadModel, client: Client
) -> None:
    rng, whole = random.Random(seed), decided(tmp_path, 400, seed, batch=4)
    home, runner = Home(tmp_path, whole.records), None
    for end in range(0, len(whole.commits.commits) + 1, 20):
        home.commits.commits[:] = whole.commits.commits[:end]
        runner = runner if runner and rng.random() < 0.5 else runner_of(home, model, Known(8))
        for _ in range(rng.randrange(9)):
            runner.step()
        client.delete(COVERED)
    home.commits.commits[:] = whole.commits.commits
    drain(runner_of(home, model))
    assert kept(model, list(truth_at(home))) == truth_at(home)


class Left(MemoryCommitReader):
    """A log whose first commits have left it."""

    first = 0

    def read(self, from_index: int, max_commits: int) -> list[Commit]:
        if from_index < self.first:
            raise LogError(f"commits [{from_index}, {self.first}) have left")
        return super().read(from_index, max_commits)


@pytest.mark.parametrize("told", [0, 30])
@pytest.mark.usefixtures("small")
def test_what_has_left_the_log_is_not_waited_for(
    told: int, tmp_path: Path, model: RedisReadModel
) -> None:
    """Whether the log says where it begins, or its records left before its commits."""
    home = decided(tmp_path, 400, batch=4)
    commits = Left(home.commits)
    commits.first, end = 30, len(home.commits.commits)
    model.write(Update(None, Covered(2, 5, 20), {}))  # too long ago to go on from

    def reading(_: ExitStack) -> Reading:
        return Reading(commits, MemorySource(home.records))

    logs = Logs(reading(ExitStack()), reading, lambda: (told, end), CARDS)
    if told == 0:
        model.write(Update(Covered(2, 5, 20), Covered(40, 40, -1), {}))
    drain(ReadModelRunner(logs, model, Known()))
    expected = truth(home.commits.commits[30:], home.records.records)
    expected = {c: t for c, t in expected.items() if c in kept(model, list(expected))}
    assert kept(model, list(expected)) == expected
    assert len(expected) > 8
    covered = model.covered()
    assert covered is not None
    assert 30 <= covered.begin <= 40
    assert covered.end == end


def test_down_and_up_again_and_emptied_in_quiet_times_it_heals(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling_runner, "OUTAGE_PAUSE_S", 0.05)
    folder, home, known = Folder(tmp_path / "servers"), decided(tmp_path, 300), Known()
    try:
        facts = folder.up(["redis"])["redis"]
    except ServiceError as error:
        cannot(request.config, f"no redis for tests: {error}")
    assert isinstance(facts, Redis)
    model, client = RedisReadModel(facts.url), Client.from_url(facts.url)
    expected = truth_at(home)
    try:
        with filling(lambda _: runner_of(home, model, known)) as told:
            until(lambda: kept(model, list(expected)) == expected, 10)
            client.flushall()
            until(lambda: kept(model, list(expected)) == expected, 10)
            client.shutdown(nosave=True)
            until(lambda: told.value("projection_away_bool", store="redis") == 1, 10)
            notes = told.readiness.answer().notes
            home.append([(Topic.TRANSACTIONS, p) for p in payloads(300)])
            home.drained()
            assert folder.up(["redis"])["redis"] == facts
            until(lambda: told.value("projection_away_bool", store="redis") == 0, 10)
            expected = truth_at(home)
            assert len(expected) > 200
            until(lambda: kept(model, list(expected)) == expected, 10)
    finally:
        folder.down()
    assert [note.partition(":")[0] for note in notes] == ["redis_away"]
    assert told.value("projection_outages_total", store="redis") == 1
    lines = told.lines()
    assert [line["event"] for line in lines] == ["store away", "store back"]
    assert "redis.url" in str(lines[0]["why"])
    assert facts.password not in str(lines)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_emptied_under_traffic_ten_thousand_cards_are_right_within_a_minute(
    is_restarted: bool, tmp_path: Path, model: RedisReadModel, client: Client, url: str
) -> None:
    traffic, stop, known = Traffic(tmp_path, 20_000, 1), Event(), Known()
    for _ in range(60):
        traffic.grow(1000)

    def come() -> None:
        while not stop.wait(0.05):
            traffic.grow(50)

    coming = Thread(target=come)
    with closing(RedisReadModel(url)) as writer:
        with filling(lambda files: traffic.opened(files, writer, known)):
            until(lambda: (model.covered() or (1,))[0] == 0, 60)
        coming.start()
        known = Known() if is_restarted else known
        with filling(lambda files: traffic.opened(files, writer, known)):
            time.sleep(0.3)
            client.flushall()
            begun = time.monotonic()
            time.sleep(0.5)
            stop.set()
            coming.join()
            until(lambda: (model.covered() or (1,))[:2] == (0, traffic.commits), 60)
    assert time.monotonic() - begun < 60
    expected = traffic.truth()
    cards = random.Random(2).sample(sorted(expected), 10_000)
    assert kept(model, cards) == {card: expected[card] for card in cards}
