"""What is sent, in what order, and when."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alcyon.domain.columns import NULL_INT, Batch, Strings
from alcyon.domain.errors import InputError
from alcyon.domain.tokens import TokenKeys
from alcyon.io.kafka.sending import Sending
from alcyon.runners.files.outgoing import Block, Encoding, LabelQueue, Outgoing
from alcyon.runners.files.producing import Ahead, Bounds, LiveTimes, Producing, Schedule
from alcyon.simulation import Reporting, Scenario, simulate
from tests.cli.running import START, label, transaction, written

KEYS = TokenKeys(1, b"a key that is for tests only")
HOUR_MS = 3_600_000


class Taken:
    """In the place of a Sending: acknowledges at once, after waiting `slow_s`."""

    def __init__(self, slow_s: float = 0.0) -> None:
        self.records: list[tuple[str, bytes, str | None, int]] = []
        self.at: list[float] = []
        self.failed, self.waiting, self.failures = 0, 0, dict[str, int]()
        self.is_finished = False
        self._slow_s = slow_s

    @property
    def sent(self) -> int:
        return len(self.records)

    acknowledged = sent

    def send(
        self, topic: str, payloads: Sequence[bytes], keys: Sequence[str], due: Sequence[int]
    ) -> int:
        time.sleep(self._slow_s)
        self.records += [(topic, *rest) for rest in zip(payloads, keys, due, strict=True)]
        self.at += [time.time()] * len(payloads)
        return len(payloads)

    def serve(self) -> None:
        """Nothing waits."""

    def finish(self) -> None:
        self.is_finished = True


def outgoing(encoding: Encoding | None = None) -> Outgoing:
    return Outgoing(encoding or Encoding.json(), KEYS)


def produced(
    taken: Taken, blocks: Any, schedule: Schedule, bounds: Bounds | None = None
) -> Producing:
    producing = Producing(schedule, bounds or Bounds(), Event(), lambda line: None)
    producing.run(cast("Sending", taken), ("t", "l"), blocks)
    assert taken.is_finished
    return producing


def plain(n: int) -> list[Block]:
    return [Block([b"%d" % i], ["k"], [], []) for i in range(n)]


def test_rows_of_a_file_are_sent_in_canonical_form_with_their_holder_as_key(tmp_path: Path) -> None:
    rows = [transaction(i, card_id="c" if i % 2 else None, account_id=f"a{i}") for i in range(300)]
    file = written(tmp_path / "t.parquet", [row | {"unknown": 1} for row in rows])
    blocks = list(outgoing().from_file(file))
    sent = [json.loads(payload) for block in blocks for payload in block.payloads]
    assert sent == [{k: v for k, v in row.items() if v is not None} for row in rows]
    keys = [key for block in blocks for key in block.keys]
    assert keys == ["c" if i % 2 else f"a{i}" for i in range(300)]


def test_card_numbers_leave_as_tokens_also_as_keys(tmp_path: Path) -> None:
    number = "4111111111111111"
    file = written(tmp_path / "t.parquet", [transaction(0, card_id=number)])
    (block,) = outgoing().from_file(file)
    assert number.encode() not in block.payloads[0]
    assert number not in str(block.keys)
    lines = tmp_path / "t.jsonl"
    lines.write_text(json.dumps(transaction(0, card_id=number)))
    (block,) = outgoing().from_file(lines)
    assert block.payloads == [lines.read_bytes()]  # on purpose: as it is
    assert number not in str(block.keys)


def test_lines_are_sent_as_they_are_and_empty_ones_are_not(tmp_path: Path) -> None:
    lines = [b"no json", b'{"card_id": "c1"}  ', b"\xff\x00", b'{"card_id": 7}', b"[]"]
    file = tmp_path / "t.jsonl"
    file.write_bytes(b"\n\n".join(lines))
    (block,) = outgoing().from_file(file)
    assert block.payloads == lines
    assert block.keys == [None, "c1", None, None, None]


def test_rows_that_avro_cannot_hold_are_refused_by_number(tmp_path: Path) -> None:
    rows = [transaction(i, transaction_id=None if i in (2, 140) else f"t{i}") for i in range(200)]
    strict = outgoing(Encoding.avro(5, 6, {}))
    blocks = list(strict.from_file(written(tmp_path / "t.parquet", rows)))
    assert sum(len(block.payloads) for block in blocks) == 198
    refused = [line for block in blocks for line in block.refused]
    assert refused == ["row 3: transaction_id is missing", "row 141: transaction_id is missing"]
    file = tmp_path / "t.jsonl"
    file.write_text("\n".join(["{", *(json.dumps(row) for row in rows[:3])]))
    blocks = list(outgoing(Encoding.avro(5, 6, {})).from_file(file))
    assert sum(len(block.payloads) for block in blocks) == 2
    refused = [line.partition(":")[0] for block in blocks for line in block.refused]
    assert refused == ["line 1", "line 4"]


@pytest.mark.parametrize(("name", "says"), [("t.xml", "suffix"), ("t.csv", "no such file")])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        next(outgoing().from_file(tmp_path / name))


@given(
    times=st.lists(st.integers(0, 50), min_size=1, max_size=40),
    dues=st.lists(st.integers(0, 60), max_size=20),
    cut=st.integers(1, 7),
)
@settings(max_examples=100, deadline=None)
def test_a_label_stands_before_the_first_transaction_whose_front_reaches_it(
    times: list[int], dues: list[int], cut: int
) -> None:
    queue = LabelQueue(Encoding.json())
    if dues:
        queue.add(labels_due(dues))
    found: list[tuple[int, int]] = []
    for at in range(0, len(times), cut):
        part = np.array(times[at : at + cut], np.int64)
        for sent in queue.before(part):
            found.append((at + sent.row, json.loads(sent.payload)["labelled_at"]))
    fronts = np.maximum.accumulate(times).tolist()
    wanted = [
        (next(i for i, front in enumerate(fronts) if front >= due), due)
        for due in sorted(dues)
        if due <= fronts[-1]
    ]
    assert found == wanted
    assert queue.added - len(found) == len(queue)


def labels_due(dues: Sequence[int]) -> Batch:
    n = len(dues)
    texts = {
        name: Strings.from_list([f"{name}{i}" for i in range(n)])
        for name in ("label_id", "transaction_id", "source")
    }
    return Batch(
        {**texts, "is_fraud": np.ones(n, np.int64), "labelled_at": np.array(dues, np.int64)}
    )


def test_labels_of_a_file_are_sent_among_its_transactions(tmp_path: Path) -> None:
    rows = [transaction(i) for i in range(400)]
    rows[10]["event_time"] = START + 200 * HOUR_MS
    rows[10]["currency"] = "what?"  # a dead letter moves no front
    out = outgoing()
    out.add_labels(written(tmp_path / "l.parquet", [label(i) for i in (300, 7, 396)]))
    taken = Taken()
    blocks = out.from_file(written(tmp_path / "t.parquet", rows))
    producing = produced(taken, blocks, Schedule(None))
    order = [json.loads(payload).get("label_id", "") for _, payload, _, _ in taken.records]
    assert {name: order.index(name) for name in ("l7", "l300")} == {"l7": 12, "l300": 306}
    assert [key for topic, _, key, _ in taken.records if topic == "l"] == ["t7", "t300"]
    assert producing.produced.labels == 2
    assert producing.produced.sent == 402


def test_live_traffic_has_the_times_it_is_due_at_and_labels_that_follow() -> None:
    schedule = Schedule(1000.0)
    slices = simulate(Scenario(transactions=3000, rate_per_s=1000.0), slice_rows=700)
    reporting = Reporting(delay_scale=1e-6, cleared=0.1)
    blocks = outgoing().from_simulation(slices, reporting, LiveTimes(schedule))
    taken = Taken()
    produced(taken, blocks, schedule)
    seen, labels = 0, 0
    for topic, payload, _, due in taken.records:
        content = json.loads(payload)
        if topic == "l":
            labels += 1
            assert seen < content["labelled_at"] <= due
        else:
            seen = content["event_time"]
            assert seen == due
    assert labels > 100


@given(rate=st.floats(0.001, 1e6), first=st.integers(0, 10**7))
@settings(max_examples=100, deadline=None)
def test_a_schedule_is_evenly_spaced_and_counts_what_is_due(rate: float, first: int) -> None:
    schedule = Schedule(rate)
    due = schedule.due_ms(first, 100)
    wanted = due[0] + np.arange(100) * 1000 / rate
    assert np.abs(due - wanted).max() <= 1.01
    step = 1 / rate
    assert schedule.count(schedule.due(first) - step / 2) <= first
    assert schedule.count(schedule.due(first) + step / 2) >= first + 1


def test_a_rate_is_held_and_a_time_is_a_number_of_transactions() -> None:
    taken = Taken()
    producing = produced(taken, plain(5000), Schedule(500.0), Bounds(seconds=1.0))
    assert taken.sent == 500
    assert producing.produced.rate == pytest.approx(500, rel=0.1)
    assert taken.at[-1] - taken.at[0] == pytest.approx(0.998, abs=0.2)
    due = np.array([due for *_, due in taken.records])
    assert (np.diff(due) == 2).all()
    assert (np.array(taken.at) * 1000 >= due - 2).all()  # none before its time


def test_a_slow_broker_leaves_no_record_out_and_the_lag_is_told() -> None:
    taken, said = Taken(slow_s=0.4), list[str]()
    producing = Producing(Schedule(1000.0), Bounds(transactions=8), Event(), said.append)
    producing.run(cast("Sending", taken), ("t", "l"), plain(100))
    assert taken.sent == 8
    assert producing.produced.lag_ms_max > 2000
    assert producing.produced.behind >= 7
    assert any("s behind schedule" in line for line in said)


def test_progress_is_told_to_the_end() -> None:
    taken, told = Taken(slow_s=0.06), list[int]()
    producing = Producing(Schedule(100.0), Bounds(), Event(), lambda line: None)
    producing.run(cast("Sending", taken), ("t", "l"), plain(20), told.append)
    assert len(told) >= 3
    assert told == sorted(told)
    assert told[-1] == taken.sent == 20


def test_no_more_than_wanted_is_sent_and_a_stop_ends_it() -> None:
    assert produced(Taken(), plain(50), Schedule(None), Bounds(7)).transactions == 7
    stop, taken = Event(), Taken()
    stop.set()
    producing = Producing(Schedule(10.0), Bounds(), stop, lambda line: None)
    producing.run(cast("Sending", taken), ("t", "l"), plain(50))
    assert (taken.sent, taken.is_finished) == (0, True)


def test_what_cannot_be_made_is_raised_after_what_was_sent_is_accounted_for() -> None:
    def blocks() -> Any:
        yield from plain(3)
        raise InputError("the file ends too early")

    taken = Taken()
    producing = Producing(Schedule(None), Bounds(), Event(), lambda line: None)
    with (
        pytest.raises(InputError, match="too early"),
        Ahead(blocks(), Event()) as made,
    ):
        producing.run(cast("Sending", taken), ("t", "l"), made)
    assert (taken.is_finished, producing.produced.sent) == (True, 3)


def test_what_is_made_ahead_is_bounded_and_ends_with_its_user() -> None:
    made = 0

    def numbers() -> Any:
        nonlocal made
        while True:
            made += 1
            yield made

    with Ahead(numbers(), Event()) as ahead:
        assert [next(ahead) for _ in range(5)] == [1, 2, 3, 4, 5]
        time.sleep(0.2)
        assert made < 100
    after = made
    time.sleep(0.1)
    assert made == after


def test_a_null_time_moves_no_front() -> None:
    queue = LabelQueue(Encoding.json())
    queue.add(labels_due([5]))
    assert queue.before(np.array([NULL_INT, 4])) == []
    assert [sent.row for sent in queue.before(np.array([NULL_INT, 5]))] == [1]
