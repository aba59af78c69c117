"""What is said to have been approved is approved by a worker that meets it, and nothing cheaper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alcyon.codecs.decisions import decode
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.decision import Decision
from alcyon.domain.errors import InputError, LogError, ModelError, SnapshotError
from alcyon.domain.record import Record, Topic
from alcyon.features.kernel import Kernel
from alcyon.io.memory import MemoryCommitReader, MemoryCommits, MemoryRecords, MemorySource
from alcyon.runners.explanation.counterfactual import Trying, row_of
from alcyon.runners.explanation.state_before import (
    Recording,
    Walk,
    kafka_recording,
    nearest,
    walk_to,
)
from alcyon.runners.stream.in_force import bootstrap_controls
from alcyon.runners.stream.worker import Pace
from alcyon.scoring.decided import EXPLORED
from alcyon.scoring.honest_changes import Candidate, Row, candidates
from alcyon.scoring.policy import Exploration, Policy, Thresholds
from tests.kafka import Broker
from tests.runners.test_kafka_worker import arrive, committed, drain, worker_over
from tests.runners.working import (
    LAYOUT,
    LIMITS,
    MEANS,
    RULES,
    Generator,
    Home,
    Traffic,
    load_model,
    rule,
    until_idle,
)

POLICY = Policy(
    {"default": Thresholds(review_ppm=800_000, decline_ppm=900_000)},
    exploration=Exploration(share_ppm=50_000, amount_base_minor_max=10**6, seed=5),
)
"""Under which some of the generator's payments are approved."""


def traffic(seed: int, records: int) -> Traffic:
    """Records of every kind, under rules that time, place and amount can keep away from."""
    rules = RULES[0] + RULES[1] + rule("large", "amount_base_minor > 500000", "REVIEW")
    controls = bootstrap_controls(rules, POLICY, DEFAULT_RATES, "m1")
    others = Generator(seed).traffic(records)[len(controls) :]
    mild = [r for r in others if not any(word in r[1] for word in HARSH)]
    return [*((Topic.CONTROL, control) for control in controls), *mild]


HARSH = (b'"policy"', b'"model"', b'"rules"')
"""Control records after which next to nothing is approved."""


def recorded(folder: Path, seed: int, records: int = 500) -> Home:
    """A run with restarts and snapshots, of records of every kind."""
    home = Home(folder)
    home.append(traffic(seed, records))
    records = len(home.records.records)
    for stop in range(records // 3, records, records // 3):
        worker, _ = home.start(Pace(batch_max=37, snapshot_every=10**9))
        while worker.place.next_sequence < stop:
            worker.step()
        assert worker.snapshot().error is None
        worker.close()
    home.drained(Pace(batch_max=9, snapshot_every=10**9))
    return home


def recording(home: Home) -> Recording:
    return Recording(
        MemorySource(home.records), MemoryCommitReader(home.commits), (home.snapshots,)
    )


def walk(home: Home, sequence: int) -> Walk:
    return walk_to(sequence, Kernel(LAYOUT, LIMITS), recording(home), MEANS)


def payload_of(home: Home, sequence: int) -> dict[str, Any]:
    """Sequences and positions are the same here."""
    found: dict[str, Any] = msgspec.json.decode(home.records.records[sequence].payload)
    return found


def earlier(home: Home, decision: Decision, decisions: Sequence[Decision]) -> list[Row]:
    """Approved payments of the same card before it, the newest first."""
    card = payload_of(home, decision.sequence)["card_id"]
    before = [d for d in decisions if d.sequence < decision.sequence and d.action == "APPROVE"]
    rows = [payload_of(home, d.sequence) for d in reversed(before)]
    return [row for row in rows if row["card_id"] == card]


def decided_by_a_worker(home: Home, sequence: int, values: Row, folder: Path) -> Decision:
    """All records up to there, the last one changed, decided by a worker from the beginning on."""
    payload = payload_of(home, sequence) | dict(values)
    kept = {name: value for name, value in payload.items() if value is not None}
    records = [*home.records.records[:sequence]]
    records.append(Record(Topic.TRANSACTIONS, sequence, msgspec.json.encode(kept)))
    again = Home(folder, MemoryRecords(records), MemoryCommits())
    worker, _ = again.start(Pace(batch_max=4096, snapshot_every=10**9))
    list(until_idle(worker))
    worker.close()
    newest = decode(again.decisions()[-1:])[0]
    assert newest.sequence == sequence
    return newest


def is_approved(decision: Decision) -> bool:
    return decision.action == "APPROVE" and EXPLORED not in decision.codes


def refused(decisions: Sequence[Decision]) -> Iterator[Decision]:
    """One that is not approved after another; of a repeated id, the first."""
    return (d for d in decisions if not is_approved(d))


def sought(home: Home, every: int) -> Iterator[tuple[Decision, list[Row], Trying]]:
    """In one walk, standing before every so many of them."""
    decisions = decode(home.decisions())
    chosen = list(refused(decisions))[::every]
    going = walk(home, chosen[0].sequence)
    for decision in chosen:
        standing = going.before(decision.sequence)
        trying = Trying(standing, standing.conduct(decision.versions, load_model))
        trying.check(decision)
        yield decision, earlier(home, decision, decisions), trying


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_is_approved_by_a_worker_and_nothing_cheaper_is(seed: int, tmp_path: Path) -> None:
    home, found = recorded(tmp_path, seed), 0
    for decision, before, trying in sought(home, 7):
        transaction = row_of(trying.standing.transaction.transactions)
        grid = candidates(transaction, before)
        smallest = trying.smallest(before)
        cheaper = grid[: grid.index(smallest[0])] if smallest else grid
        for candidate in _some(cheaper):
            again = decided_by_a_worker(home, decision.sequence, candidate.values, tmp_path / "w")
            assert not is_approved(again), (decision.sequence, candidate)
        if smallest is not None:
            candidate, shown = smallest
            again = decided_by_a_worker(home, decision.sequence, candidate.values, tmp_path / "w")
            assert is_approved(again), (decision.sequence, candidate)
            assert (shown.score, shown.tried_count) == (again.score, len(cheaper) + 1)
            assert {c.column: c.to_value for c in shown.changes} == dict(candidate.values)
            assert {c.column: c.from_value for c in shown.changes} == {
                name: transaction.get(name) for name in candidate.values
            }
            found += 1
    assert found > 3


def _some(cheaper: Sequence[Candidate]) -> Sequence[Candidate]:
    """All, or of many the nearest and some of the others: each takes a whole run."""
    return cheaper if len(cheaper) < 10 else [*cheaper[:-3:15], *cheaper[-3:]]


def test_every_candidate_comes_to_what_a_worker_makes_of_it(tmp_path: Path) -> None:
    """Score and features too, not the action alone."""
    home = recorded(tmp_path, 4, 200)
    for decision, before, trying in sought(home, 30):
        grid = candidates(row_of(trying.standing.transaction.transactions), before)
        for candidate in grid[::9]:
            again = decided_by_a_worker(home, decision.sequence, candidate.values, tmp_path / "w")
            tried = trying.decided(candidate.values)
            assert (tried.action, tried.score, tried.features) == (
                again.action, again.score, again.features,
            )  # fmt: skip


def test_the_walk_stands_where_the_worker_stood(tmp_path: Path) -> None:
    """All decisions, in one walk, are recomputed; trying between them changes none."""
    home = recorded(tmp_path, 5)
    decisions = decode(home.decisions())
    going = walk(home, 0)
    for decision in decisions:
        standing = going.before(decision.sequence)
        trying = Trying(standing, standing.conduct(decision.versions, load_model))
        trying.decided({"amount_minor": 1})
        trying.check(decision)


def test_over_kafka_it_stands_there_too(broker: Broker, tmp_path: Path) -> None:
    records = traffic(9, 200)
    arrive(broker, records)
    with worker_over(broker, tmp_path / "s", Pace(batch_max=23)) as (worker, _):
        drain(worker, len(records) // 2)
        assert worker.snapshot().error is None
        drain(worker, len(records))
    decisions = decode(committed(broker)[0])
    with kafka_recording(broker.connection, broker.names, (tmp_path / "s",)) as recording:
        last = decisions[-1].sequence
        going = walk_to(last, Kernel(LAYOUT, LIMITS), recording, MEANS)
        assert going.next_sequence == nearest(last, recording) > 0
        behind = [d for d in decisions if d.sequence >= going.next_sequence]
        for decision in behind:
            standing = going.before(decision.sequence)
            trying = Trying(standing, standing.conduct(decision.versions, load_model))
            trying.decided({"amount_minor": 1, "event_time": decision.event_time + 1})
            trying.check(decision)
    assert len(behind) > 20


def test_a_walk_begins_at_the_nearest_snapshot(tmp_path: Path) -> None:
    home = recorded(tmp_path, 6)
    newest = decode(home.decisions())[-1]
    at = nearest(newest.sequence, recording(home))
    assert 0 < at <= newest.sequence
    assert walk(home, newest.sequence).next_sequence == at
    assert walk(home, at - 1).next_sequence < at


def test_a_transaction_that_is_not_decided_yet_is_named(tmp_path: Path) -> None:
    home = recorded(tmp_path, 7, 100)
    going = walk(home, 90)
    end = len(home.records.records)
    with pytest.raises(InputError, match="nothing was decided from sequence"):
        going.before(end)
    home.append([r for r in Generator(8).traffic(30) if r[0] is Topic.TRANSACTIONS][:1])
    home.drained()
    assert going.before(end).sequence == end, "it goes on where the log does"


def test_what_is_no_transaction_is_named(tmp_path: Path) -> None:
    home = recorded(tmp_path, 7, 100)
    with pytest.raises(InputError, match="record 0 is no transaction"):
        walk(home, 0).before(0)
    labels = [r.position for r in home.records.records if r.topic is Topic.LABELS]
    with pytest.raises(InputError, match="is no transaction"):
        walk(home, 0).before(labels[3])


def test_another_decision_than_the_recorded_one_is_an_error(tmp_path: Path) -> None:
    home = recorded(tmp_path, 1)
    decision, _, trying = next(sought(home, 1))
    with pytest.raises(LogError, match="decided again"):
        trying.check(msgspec.structs.replace(decision, action="APPROVE"))


def test_a_model_that_is_gone_is_an_error(tmp_path: Path) -> None:
    home = recorded(tmp_path, 1)
    decision, _, trying = next(sought(home, 1))
    other = msgspec.structs.replace(decision.versions, model="0" * 16)
    with pytest.raises(ModelError, match="was made by model 0000"):
        trying.standing.conduct(other, load_model)


def test_a_state_that_is_gone_is_an_error(tmp_path: Path) -> None:
    home = recorded(tmp_path, 1)
    commits = home.commits.commits
    commits[0] = msgspec.structs.replace(commits[0], first_sequence=5)
    missing = Recording(*_ports(home), (tmp_path / "nothing",))
    with pytest.raises(SnapshotError, match="no snapshot that holds it"):
        walk_to(50, Kernel(LAYOUT, LIMITS), missing, MEANS)
    with pytest.raises(LogError, match="no snapshots"):
        walk_to(50, Kernel(LAYOUT, LIMITS), Recording(*_ports(home), ()), MEANS)


def _ports(home: Home) -> tuple[MemorySource, MemoryCommitReader]:
    return MemorySource(home.records), MemoryCommitReader(home.commits)


def test_an_amount_that_the_record_converted_itself_shrinks_in_proportion(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.append(Generator(1).traffic(0))
    payment: Mapping[str, Any] = {
        "transaction_id": "own", "event_time": 1_700_000_000_000, "amount_minor": 1000,
        "currency": "USD", "card_id": "c1", "amount_base_minor": 5000,
    }  # fmt: skip
    home.append([(Topic.TRANSACTIONS, msgspec.json.encode(payment))])
    home.drained()
    decision = decode(home.decisions())[0]
    standing = walk(home, decision.sequence).before(decision.sequence)
    trying = Trying(standing, standing.conduct(decision.versions, load_model))
    trying.check(decision)
    again = trying.decided({"amount_minor": 100})
    same = decided_by_a_worker(
        home, decision.sequence, {"amount_minor": 100, "amount_base_minor": 500}, tmp_path / "w"
    )
    assert again.features == same.features
