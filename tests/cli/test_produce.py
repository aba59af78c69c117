"""`alcyon produce` against a real broker and registry, read back by a client that is not ours."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import fastavro
import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from alcyon.codecs.avro import label_schema, transaction_schema
from services import Registry
from tests.cli.conftest import World
from tests.cli.running import label, read, refused, run, transaction, written
from tests.kafka import Broker

Client = Callable[[str, str], str]
PARTITIONS = 3


class Record(NamedTuple):
    """What the foreign client read."""

    partition: int
    offset: int
    key: str
    due: int
    payload: bytes


class Topics:
    """Topics of a test's own: three partitions for transactions, one for labels."""

    def __init__(self, broker: Broker, kcat: str) -> None:
        self._bootstrap, self._kcat = broker.connection.bootstrap, kcat
        self.transactions, self.labels = f"{broker.transactional_id}-wide", broker.names.labels
        admin = AdminClient({"bootstrap.servers": self._bootstrap})
        made = admin.create_topics([NewTopic(self.transactions, PARTITIONS)], operation_timeout=15)
        made[self.transactions].result(15)
        deadline = time.monotonic() + 15
        while self._ends() is None:  # the broker may know it a moment later only
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self.options = ("--topic", self.transactions, "--labels-topic", self.labels)

    def has_begun(self) -> bool:
        """Whether there is a record; kcat may never see an end while more are sent."""
        return any(self._ends() or ())

    def _ends(self) -> list[int] | None:
        consumer = Consumer({"bootstrap.servers": self._bootstrap, "group.id": "g"})
        try:
            places = [TopicPartition(self.transactions, p) for p in range(PARTITIONS)]
            ends = [consumer.get_watermark_offsets(place, 10) for place in places]
        except KafkaException:
            return None
        finally:
            consumer.close()
        return [high for _, high in filter(None, ends)]

    def read(self, topic: str) -> list[Record]:
        """All records; %R is the payload's length in four bytes."""
        given = ["-b", self._bootstrap, "-C", "-e", "-q", "-t", topic]
        form = "%p %o %k %h\n%R%s"
        done = subprocess.run(
            [self._kcat, *given, "-f", form], capture_output=True, timeout=60, check=True
        )
        stream, found = io.BytesIO(done.stdout), list[Record]()
        while head := stream.readline().decode():
            partition, offset, key, header = head.split(" ")
            name, _, due = header.strip().partition("=")
            assert name == "scheduled_at"
            payload = stream.read(int.from_bytes(stream.read(4)))
            found.append(Record(int(partition), int(offset), key, int(due), payload))
        return sorted(found)


@pytest.fixture
def topics(broker: Broker, client: Client, monkeypatch: pytest.MonkeyPatch) -> Topics:
    """The settings name the broker."""
    monkeypatch.setenv("ALCYON_KAFKA__BOOTSTRAP", broker.connection.bootstrap)
    return Topics(broker, client("kcat", "kcat"))


def outcome(capsys: pytest.CaptureFixture[str], *given: object) -> dict[str, Any]:
    """What `alcyon produce --json` says, after it succeeded."""
    capsys.readouterr()
    assert run("produce", "--json", *given) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["acknowledged"] == told["sent"]
    assert told["failed"] == 0
    return told


def in_partitions(records: list[Record], decode: Callable[[bytes], Any]) -> list[list[str]]:
    found: list[list[str]] = [[] for _ in range(PARTITIONS)]
    for record in records:
        found[record.partition].append(decode(record.payload)["transaction_id"])
    return found


def test_every_row_arrives_once_and_in_order_per_partition(
    topics: Topics, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    told = outcome(capsys, "--input", world.transactions, "--labels", world.labels, *topics.options)
    rows, labels = read(world.transactions), read(world.labels)
    records = topics.read(topics.transactions)
    assert told["labels"] + told["labels_left"] == len(labels)
    assert told["sent"] == len(records) + told["labels"]
    place = {row["transaction_id"]: i for i, row in enumerate(rows)}
    partitions = in_partitions(records, json.loads)
    assert sorted(chain(*partitions), key=place.__getitem__) == list(place)
    assert all(sorted(ids, key=place.__getitem__) == ids for ids in partitions)
    assert min(map(len, partitions)) > 1000
    for record in records:
        content = json.loads(record.payload)
        assert record.key == content["card_id"]
        row = rows[place[content["transaction_id"]]]
        given = row | {"event_time": round(row["event_time"].timestamp() * 1000)}
        assert content == {name: value for name, value in given.items() if value is not None}
    sent = [json.loads(record.payload) for record in topics.read(topics.labels)]
    last = max(row["event_time"] for row in rows)
    due = [row["label_id"] for row in labels if row["labelled_at"] <= last]
    assert [row["label_id"] for row in sent] == due
    assert told["labels"] == len(due)


def test_a_rate_spaces_the_schedule_evenly(
    topics: Topics, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    told = outcome(
        capsys, "--input", world.transactions, "--rate", 400, "--seconds", 1.5, *topics.options
    )
    assert told["sent"] == 600
    assert told["rate"] == pytest.approx(400, rel=0.1)
    due = sorted(record.due for record in topics.read(topics.transactions))
    assert {later - earlier for earlier, later in pairwise(due)} <= {2, 3}
    assert due[-1] - due[0] == pytest.approx(599 * 2.5, abs=1)


def test_lines_are_sent_as_they_are(
    topics: Topics, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [b"{", b'{"card_id": 1}', json.dumps(transaction(0)).encode(), b"\xff\xfe\x00"]
    file = tmp_path / "t.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")
    outcome(capsys, "--input", file, *topics.options)
    assert sorted(record.payload for record in topics.read(topics.transactions)) == sorted(lines)


def test_avro_is_read_by_another_with_what_the_registry_holds(
    topics: Topics,
    registry: Registry,
    world: World,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALCYON_REGISTRY__URL", registry.url)
    outcome(
        capsys, "--input", world.transactions, "--labels", world.labels, "--format", "avro",
        *topics.options,
    )  # fmt: skip
    rows = read(world.transactions)
    place = {row["transaction_id"]: i for i, row in enumerate(rows)}
    schema = fastavro.parse_schema(json.loads(transaction_schema()))
    records = topics.read(topics.transactions)
    assert len({record.payload[:5] for record in records}) == 1
    assert registered(registry, records[0].payload[1:5]) == json.loads(transaction_schema())

    def decoded(payload: bytes) -> Any:
        return fastavro.schemaless_reader(io.BytesIO(payload[5:]), schema, None)

    partitions = in_partitions(records, decoded)
    assert sorted(chain(*partitions), key=place.__getitem__) == list(place)
    assert all(sorted(ids, key=place.__getitem__) == ids for ids in partitions)
    for record in records[:500]:
        content = decoded(record.payload)
        row = rows[place[content["transaction_id"]]]
        assert {name: content[name] for name in row} == row
    labels = topics.read(topics.labels)
    assert registered(registry, labels[0].payload[1:5]) == json.loads(label_schema())


def registered(registry: Registry, schema_id: bytes) -> Any:
    import urllib.request

    url = f"{registry.url}/schemas/ids/{int.from_bytes(schema_id)}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(json.load(answer)["schema"])


def test_live_traffic_happens_when_it_is_due_and_never_has_an_id_twice(
    topics: Topics, capsys: pytest.CaptureFixture[str]
) -> None:
    before = time.time() * 1000
    for _ in range(2):
        told = outcome(
            capsys, "--generate", "--rate", 400, "--seconds", 2.5, "--label-delays", 1e-6,
            "--fraud-rate", 0.2, "--drift", 1, *topics.options,
        )  # fmt: skip
        assert told["sent"] == 1000 + told["labels"]
        assert told["labels"] > 0
    records = topics.read(topics.transactions)
    contents = [json.loads(record.payload) for record in records]
    assert [content["event_time"] for content in contents] == [record.due for record in records]
    assert len({content["transaction_id"] for content in contents}) == len(contents) == 2000
    assert min(record.due for record in records) >= before


def test_with_a_start_it_is_the_traffic_that_generate_makes(
    topics: Topics, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome(
        capsys, "--generate", "--transactions", 12_000, "--seed", 3, "--fraud-rate", 0.03,
        "--start", "2025-01-01", "--no-labels", *topics.options,
    )  # fmt: skip
    ids = chain(*in_partitions(topics.read(topics.transactions), json.loads))
    assert sorted(ids) == sorted(row["transaction_id"] for row in read(world.transactions))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_flushes_reports_and_is_no_failure(topics: Topics, number: signal.Signals) -> None:
    given = ["--generate", "--rate", "300", "--no-labels", "--json", *topics.options]
    command = [sys.executable, "-m", "alcyon.cli", "produce", *given]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while not topics.has_begun():
            assert running.poll() is None
            time.sleep(0.1)
        time.sleep(0.5)
        running.send_signal(number)
        out, said = running.communicate(timeout=30)
    finally:
        running.kill()
    assert running.returncode == 0, said
    told = json.loads(out)
    assert told["sent"] == told["acknowledged"] == len(topics.read(topics.transactions)) > 0
    assert len(said.splitlines()) == 1


def test_a_row_that_cannot_be_encoded_is_told_and_counted(
    topics: Topics,
    registry: Registry,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALCYON_REGISTRY__URL", registry.url)
    rows = [transaction(i, currency=None if i == 1 else "EUR") for i in range(5)]
    file = written(tmp_path / "t.parquet", rows)
    capsys.readouterr()
    assert run("produce", "--input", file, "--format", "avro", "--json", *topics.options) == 1
    said = capsys.readouterr()
    assert (json.loads(said.out)["sent"], json.loads(said.out)["refused"]) == (4, 1)
    assert "row 2: currency is missing" in said.err
    assert run("produce", "--input", file, *topics.options) == 0  # JSON holds it


def test_a_record_that_fails_is_told_and_is_a_failure(
    topics: Topics, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "t.jsonl"
    file.write_bytes(b"{}\n" + b"x" * 1_500_000 + b"\n{}\n")
    capsys.readouterr()
    assert run("produce", "--input", file, "--json", *topics.options) == 1
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert (told["sent"], told["acknowledged"], told["failed"]) == (3, 2, 1)
    assert "1 records failed: " in said.err
    assert "too large" in said.err


def test_what_was_sent_before_a_file_broke_is_told(
    topics: Topics, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path / "t.parquet", [transaction(i) for i in range(20)])
    file = tmp_path / "t.csv"
    rows = ["transaction_id,event_time,amount_minor,currency,card_id"]
    rows += [f"t{i},{1_735_689_600_000 + i},1,EUR,c" for i in range(60_000)]
    file.write_text("\n".join([*rows, "t,what,x,EUR,c", ""]))
    capsys.readouterr()
    assert run("produce", "--input", file, *topics.options) == 2
    said = capsys.readouterr().err
    assert "acknowledged, 0 failed" in said
    assert "t.csv" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((), "--input FILE and --generate"),
        (("--generate", "--input", "t.parquet"), "--input FILE and --generate"),
        (("--generate", "--rate", 0), "--rate 0"),
        (("--generate", "--rate", "nan"), "--rate nan"),
        (("--generate", "--seconds", -1), "--seconds -1"),
        (("--generate", "--labels", "l.parquet"), "--labels goes with --input"),
        (("--input", "t.parquet", "--seed", 0), "--seed goes with --generate"),
        (("--generate", "--rate", 1), "kafka.bootstrap is not set"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    given: tuple[object, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refused(capsys, "produce", *given)


def test_what_is_missing_is_one_line(
    topics: Topics,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def says(*given: object) -> str:
        return refused(capsys, "produce", *given, *topics.options)

    assert "no such file" in says("--input", tmp_path / "t.parquet")
    assert "suffix" in says("--input", tmp_path / "t.xml")
    file = written(tmp_path / "t.parquet", [transaction(0)])
    assert "no such file" in says("--input", file, "--labels", tmp_path / "l.parquet")
    labels = written(tmp_path / "l.parquet", [label(0)])
    assert "transaction_id" not in says("--input", labels).partition("no column")[0]
    assert "registry.url is not set" in says("--input", file, "--format", "avro")
    monkeypatch.setenv("ALCYON_REGISTRY__URL", "http://127.0.0.1:1")
    assert "registry at http://127.0.0.1:1" in says("--input", file, "--format", "avro")
    said = refused(capsys, "produce", "--input", file, "--topic", "nowhere")
    assert "--create --topic nowhere" in said
