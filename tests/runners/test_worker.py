"""The worker's step: what it decides, what it refuses, what it tells, and its snapshots."""

from __future__ import annotations

import resource
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from alcyon.codecs.decisions import decode
from alcyon.domain.control import AddToList, Control, SetModel, SetRates, SetRules, encode_control
from alcyon.domain.errors import LogError
from alcyon.domain.record import Topic
from alcyon.io.memory import MemoryDecisions
from alcyon.runners.stream.worker import Pace, Stepped
from tests.runners.working import (
    BOOTSTRAP,
    MEANS,
    START,
    Generator,
    Home,
    Traffic,
    expected,
    rule,
    until_idle,
)

T, L, C = Topic.TRANSACTIONS, Topic.LABELS, Topic.CONTROL
CARD_NUMBER = "4111111111111111"


def payment(name: str, **fields: object) -> tuple[Topic, bytes]:
    record = {
        "transaction_id": name, "event_time": START, "amount_minor": 100, "currency": "EUR",
        "card_id": "c1",
    }  # fmt: skip
    return T, msgspec.json.encode(record | fields)


def bootstrapped(home: Home, *records: tuple[Topic, bytes]) -> Home:
    home.append([*((C, c) for c in BOOTSTRAP), *records])
    return home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_size_of_batches_changes_no_byte(seed: int, tmp_path: Path) -> None:
    traffic = Generator(seed).traffic(700)
    wanted = expected(traffic, tmp_path)
    for batch_max in (1, 7, 64, 4096):
        home = Home(tmp_path / str(batch_max))
        home.append(traffic)
        home.drained(Pace(batch_max=batch_max, snapshot_every=100))
        assert (home.decisions(), home.dead_letters()) == wanted, batch_max


def test_record_k_of_a_commit_has_sequence_k(home: Home) -> None:
    home.append(Generator(4).traffic(500))
    home.drained(Pace(batch_max=60))
    for commit in home.commits.commits:
        assert commit.first_position == commit.first_sequence
        records = home.records.records[commit.first_position : commit.position]
        for decision in decode(commit.decisions):
            payload = records[decision.sequence - commit.first_sequence].payload
            assert decision.transaction_id.encode() in payload
    applied = Counter(record.topic.name for record in home.records.records)
    assert home.commits.commits[-1].applied == applied


def test_every_transaction_once_and_duplicates_never(home: Home) -> None:
    home.append(Generator(5).traffic(800))
    stepped = home.drained(Pace(batch_max=50))
    ids = [decision.transaction_id for decision in decode(home.decisions())]
    assert len(ids) == len(set(ids)) > 400
    records = home.records.records
    transactions = sum(record.topic is T for record in records)
    dead = sum(letter.topic == "TRANSACTIONS" for letter in home.dead_letters())
    assert len(ids) + sum(s.duplicates for s in stepped) + dead == transactions
    assert sum(s.records for s in stepped) == len(records)
    assert sum(s.decisions for s in stepped) == len(ids)
    assert sum(sum(s.actions.values()) for s in stepped) == len(ids)


def test_a_control_record_acts_on_what_comes_behind_it_within_a_batch(home: Home) -> None:
    blocked = encode_control(AddToList("block", "card_id", "c1", expires_at=START + 60_000))
    always = rule("always", "amount_minor > 0", "REVIEW")
    bootstrapped(
        home, payment("a"), (C, blocked), payment("b"), payment("c", event_time=START + 60_000),
        (C, encode_control(SetRules(always))), payment("d", event_time=START + 1),
    )  # fmt: skip
    home.drained()
    by_id = {decision.transaction_id: decision for decision in decode(home.decisions())}
    assert [by_id[i].rule_hits for i in "abcd"] == [(), ("blocked",), (), ("always",)]
    assert by_id["b"].action == "DECLINE"
    versions = [by_id[i].versions for i in "abd"]
    assert len({v.lists for v in versions}) == 2
    assert len({v.rules for v in versions}) == 2


def test_rates_convert_what_comes_behind_them(home: Home) -> None:
    rates = encode_control(SetRates("r2", "EUR", {"USD": 2_000_000}))
    usd = {"currency": "USD", "amount_minor": 100}
    gbp = payment("c", currency="GBP")
    bootstrapped(home, payment("a", **usd), (C, rates), payment("b", **usd), gbp)
    home.drained()
    one, other = decode(home.decisions())
    assert (one.versions.rates, other.versions.rates) == ("static-1", "r2")
    amounts = [msgspec.json.decode(d)["features"] for d in home.decisions()]
    assert amounts[0] != amounts[1]
    assert [letter.reason for letter in home.dead_letters()] == ["no_rate"]


def test_a_refused_control_record_changes_nothing_and_says_why(home: Home) -> None:
    wrong: list[Control] = [
        SetRules("no rules"), SetRules(rule("wrong", "no_such_column > 1", "REVIEW")),
        SetModel("m3"), SetRates("r", "EUR", {"ZZZ": 1}),
    ]  # fmt: skip
    bootstrapped(home, payment("a"), *((C, encode_control(c)) for c in wrong), payment("b"))
    (stepped,) = [s for s in home.drained() if s.records]
    one, other = decode(home.decisions())
    assert one.versions == other.versions
    assert one.versions.model != "none"
    letters = home.dead_letters()
    assert [letter.reason for letter in letters] == ["control_refused"] * 4
    assert [letter.sequence for letter in letters] == [5, 6, 7, 8]
    assert "no model m3" in letters[2].detail
    assert list(stepped.dead_letters) == letters
    assert stepped.controls == len(BOOTSTRAP)


def test_dead_letters_are_cut_masked_and_in_order(home: Home) -> None:
    long = b'{"card_id":"' + b"x" * 150 + CARD_NUMBER.encode() + b'","y":"' + b"z" * 900
    traffic: Traffic = [
        (T, long), payment("a"), payment("a", amount_minor=101), (L, CARD_NUMBER.encode()),
        (C, CARD_NUMBER.encode()), (T, b"{"),
    ]  # fmt: skip
    bootstrapped(home, *traffic)
    home.drained()
    letters = home.dead_letters()
    reasons = [letter.reason for letter in letters]
    assert reasons == [
        "invalid_json", "conflicting_duplicate", "invalid_json", "invalid_control", "invalid_json",
    ]  # fmt: skip
    assert [letter.topic for letter in letters] == [
        "TRANSACTIONS", "TRANSACTIONS", "LABELS", "CONTROL", "TRANSACTIONS",
    ]  # fmt: skip
    assert all(len(letter.payload) <= MEANS.dead_letter_bytes_max for letter in letters)
    assert (
        letters[0].payload
        == (b'{"card_id":"' + b"x" * 150 + b"411111******1111" + long[178:])[:200]
    )
    assert "sequence 5 " in letters[1].detail
    assert CARD_NUMBER.encode() not in b"".join(home.commits.commits[0].dead_letters)


@pytest.mark.parametrize("before", [b"", b"\\u0031x" * 20, b"\\u0031x" * 60])
def test_a_card_number_across_the_cut_is_masked(before: bytes, home: Home) -> None:
    """Masking takes escapes away, so that the cut moves; numbers stand at every place near it."""
    escaped = "".join(f"\\u003{digit}" for digit in CARD_NUMBER).encode()
    spaced = b" ".join([b"4111"] + [b"1111"] * 3)
    for number in (CARD_NUMBER.encode(), spaced, escaped):
        for shift in range(0, 500):
            home.append([(T, b"{" + before + b"x" * shift + number + b"y" * 999)])
    home.drained()
    for letter in home.dead_letters():
        shown = bytes(c for c in letter.payload.split(b"x")[-1] if 48 <= c <= 57)
        assert len(shown) <= 10, letter.payload


def test_without_a_model_rules_and_the_fallback_action_decide(home: Home) -> None:
    home.append([(C, c) for c in BOOTSTRAP[:-1]] + [payment("a"), payment("b", country="JP")])
    (stepped,) = [s for s in home.drained() if s.records]
    one, other = decode(home.decisions())
    assert (one.action, one.score, one.codes) == ("REVIEW", None, ("model_missing",))
    assert other.rule_hits == ("abroad",)
    assert stepped.versions.model == "none"
    assert stepped.model_missing is None, "none was asked for"


def test_an_empty_poll_commits_nothing_and_a_batch_is_what_has_arrived(home: Home) -> None:
    worker, _ = home.start(Pace(batch_max=100))
    assert worker.step().records == 0
    assert home.commits.commits == []
    bootstrapped(home, payment("a"))
    assert worker.step().records == len(BOOTSTRAP) + 1
    home.append([(L, b"{")] * 130)
    assert [s.records for s in until_idle(worker)] == [100, 30, 0]
    assert len(home.commits.commits) == 3


def test_stop_is_looked_at_between_batches_and_what_was_decided_is_committed(home: Home) -> None:
    home.append(Generator(6).traffic(500))
    worker, _ = home.start(Pace(batch_max=100))
    seen: list[int] = []
    worker.run(lambda: len(seen) == 2, lambda stepped: seen.append(stepped.records))
    assert seen == [100, 100, 100]
    assert home.commits.commits[-1].position == worker.place.position == 300


def test_a_batch_is_told_of_while_the_one_behind_it_is_committed(home: Home) -> None:
    home.append(Generator(16).traffic(300))
    worker, _ = home.start(Pace(batch_max=100))
    told: list[tuple[int, int]] = []

    def tell(stepped: Stepped) -> None:
        deadline = time.monotonic() + 5
        while len(home.commits.commits) < 2 and time.monotonic() < deadline:
            time.sleep(0.001)  # telling must not be what the next commit waits for
        told.append((stepped.next_sequence, len(home.commits.commits)))

    worker.run(lambda: len(told) == 1, tell)
    assert told == [(100, 2), (200, 2)]
    worker.close()


def test_a_fenced_worker_ends(home: Home) -> None:
    home.append(Generator(7).traffic(100))
    worker, _ = home.start(Pace(batch_max=10))
    worker.step()
    MemoryDecisions(home.commits)
    with pytest.raises(LogError, match="fenced"):
        worker.step()
    assert len(home.commits.commits) == 1


def test_a_failed_append_is_not_followed_by_another(home: Home) -> None:
    """The state is ahead of the log then: going on would lose the batch in between."""
    home.append(Generator(8).traffic(100))
    worker, _ = home.start(Pace(batch_max=10))
    home.commits.epoch += 1
    with pytest.raises(LogError, match="fenced"):
        worker.step()
    home.commits.epoch -= 1
    with pytest.raises(LogError, match="recover anew"):
        worker.step()


def test_steps_tell_times_and_versions(home: Home) -> None:
    home.append(Generator(9).traffic(100))
    (stepped, *_) = home.drained()
    assert list(stepped.seconds) == ["poll", "decode", "decide", "commit", "snapshot"]
    assert min(stepped.seconds.values()) >= 0
    assert stepped.front is not None
    assert stepped.next_sequence == stepped.position == stepped.records


def test_snapshots_are_made_under_traffic_and_older_ones_go(home: Home) -> None:
    home.append(Generator(10).traffic(2_000))
    pace = Pace(batch_max=40, snapshot_every=200, snapshots_kept=2)
    written = [s.snapshot for s in home.drained(pace) if s.snapshot is not None]
    assert len(written) >= 2
    assert {w.error for w in written} == {None}
    kept = sorted(path.name for path in home.snapshots.iterdir())
    assert len(kept) == 2
    assert written[-1].name in kept


def test_a_snapshot_that_cannot_be_written_is_told_and_the_worker_goes_on(tmp_path: Path) -> None:
    """A file stands where the folder should be: as a full disk does, it raises OSError."""
    home = Home(tmp_path / "file")
    home.snapshots.write_bytes(b"")
    home.append(Generator(11).traffic(600))
    wanted = expected(Generator(11).traffic(600), tmp_path)
    stepped = home.drained(Pace(batch_max=30, snapshot_every=100))
    failed = [s.snapshot.error for s in stepped if s.snapshot is not None]
    assert failed
    assert all(error is not None for error in failed)
    assert home.decisions() == wanted[0]


@pytest.mark.parametrize("quota", [1, 5_000, 60_000])
def test_a_disk_that_is_full_half_way_leaves_the_older_snapshots(quota: int, home: Home) -> None:
    """A quota on the file's size stands for the disk: the write stops in the middle likewise."""
    home.append(Generator(13).traffic(300))
    worker, _ = home.start(Pace(batch_max=100))
    list(until_idle(worker))
    good = worker.snapshot()
    home.append(Generator(14).traffic(300))
    list(until_idle(worker))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (quota, hard))
    try:
        full = worker.snapshot()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "make room" in (full.error or "")
    assert [path.name for path in home.snapshots.iterdir()] == [good.name]
    assert worker.snapshot().error is None, "and there is room again"


def test_closing_leaves_no_thread_and_no_unfinished_file(home: Home) -> None:
    home.append(Generator(12).traffic(100))
    worker, _ = home.start(replace(Pace(), snapshot_every=1))
    worker.step()
    worker.close()
    assert not [t for t in threading.enumerate() if t.name == "snapshot"]
    assert not list(home.snapshots.glob("*.unfinished"))
