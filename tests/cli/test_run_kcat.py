"""`alcyon run` between two others: kcat writes JSON and Avro, kcat reads what was decided."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.request import Request, urlopen

import fastavro
import pytest

from services import Registry
from tests.cli.run_process import Start
from tests.cli.running import transaction
from tests.kafka import Broker

Client = Callable[[str, str], str]
BEFORE = {
    "transaction_id": "string", "event_time": "long", "amount_minor": "long",
    "currency": "string", "card_id": "string",
}  # fmt: skip
ADDED: list[dict[str, object]] = [
    {"name": "merchant_id", "type": ["null", "string"], "default": None},
    {"name": "loyalty_points", "type": "int", "default": 0},
]


def schema(added: list[dict[str, object]]) -> dict[str, object]:
    fields = [{"name": name, "type": kind} for name, kind in BEFORE.items()]
    return {"type": "record", "name": "Payment", "fields": [*fields, *added]}


class Foreign:
    """kcat and the registry, as somebody else's programs use them."""

    def __init__(self, kcat: str, broker: Broker, registry: Registry) -> None:
        self._command = [kcat, "-b", broker.connection.bootstrap]
        self._subject = f"{registry.url}/subjects/{broker.names.transactions}-value/versions"

    def registered(self, of: Mapping[str, object]) -> int:
        """The schema's id."""
        body = json.dumps({"schema": json.dumps(of)}).encode()
        asked = Request(self._subject, body, {"Content-Type": "application/json"})
        with urlopen(asked, timeout=10) as answer:
            return int(json.load(answer)["id"])

    def write(self, topic: str, *files: Path) -> None:
        """Each file as a record."""
        subprocess.run(
            [*self._command, "-P", "-t", topic, *files], check=True, timeout=30, capture_output=True
        )

    def write_lines(self, topic: str, lines: list[bytes]) -> None:
        """Each line as a record."""
        subprocess.run(
            [*self._command, "-P", "-t", topic], check=True, timeout=30, capture_output=True,
            input=b"\n".join(lines) + b"\n",
        )  # fmt: skip

    def read(self, topic: str) -> list[tuple[str, dict[str, object]]]:
        """(key, content) of each record that was committed."""
        given = ["-C", "-e", "-q", "-t", topic, "-X", "isolation.level=read_committed"]
        done = subprocess.run(
            [*self._command, *given, "-f", "%k %s\n"], check=True, timeout=60, capture_output=True
        )
        parts = (line.partition(" ") for line in done.stdout.decode().splitlines())
        return [(key, json.loads(content)) for key, _, content in parts]


@pytest.fixture
def foreign(broker: Broker, registry: Registry, client: Client) -> Foreign:
    return Foreign(client("kcat", "kcat"), broker, registry)


def avro(folder: Path, schema_id: int, of: Mapping[str, object], row: dict[str, object]) -> Path:
    """A file with one record in the registry's wire format."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(dict(of)), row)
    file = folder / f"{row['transaction_id']}.avro"
    file.write_bytes(b"\0" + schema_id.to_bytes(4, "big") + body.getvalue())
    return file


def test_others_write_both_formats_and_read_each_decision_once(
    broker: Broker,
    registry: Registry,
    of_broker: dict[str, object],
    start: Start,
    foreign: Foreign,
    tmp_path: Path,
) -> None:
    topic, before, after = broker.names.transactions, schema([]), schema(ADDED)
    run = start(of_broker | {"REGISTRY__URL": registry.url})
    run.line("worker started")
    rows = [transaction(i) for i in range(12)]
    foreign.write_lines(topic, [json.dumps(row).encode() for row in rows[:5]])
    old, garbage = foreign.registered(before), tmp_path / "garbage"
    foreign.write(topic, *(avro(tmp_path, old, before, row) for row in rows[5:8]))
    run.comes_to(3 + 8)
    # A field is added with a default while the worker runs, and who wrote before goes on.
    new = foreign.registered(after)
    more = [{**row, "loyalty_points": 7} for row in rows[8:10]]
    garbage.write_bytes(b"\0" + (10**6).to_bytes(4, "big") + b"\0")
    foreign.write(
        topic, *(avro(tmp_path, new, after, row) for row in more), garbage,
        avro(tmp_path, old, before, rows[10]),
    )  # fmt: skip
    foreign.write_lines(topic, [json.dumps(rows[11]).encode()])
    run.comes_to(3 + 13)
    assert run.stop() == 0
    decisions = foreign.read(broker.names.decisions)
    assert [key for key, _ in decisions] == [row["transaction_id"] for row in rows]
    assert [decision["transaction_id"] for _, decision in decisions] == [
        key for key, _ in decisions
    ]
    alerts = foreign.read(broker.names.alerts)
    wanted = [key for key, decision in decisions if decision["action"] != "APPROVE"]
    assert [key for key, _ in alerts] == wanted
    ((_, letter),) = foreign.read(broker.names.dead_letters)
    assert (letter["reason"], letter["topic"]) == ("unknown_schema", "TRANSACTIONS")
    assert len(run.lines("worker started")) == 1
