"""`alcyon doctor`"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from alcyon.cli.subcommands.doctor_servers import servers
from alcyon.detectors.loading import load_detector
from alcyon.domain.record import Topic
from alcyon.io.kafka import KafkaIntake
from alcyon.io.model_folder import FolderRegistry
from alcyon.io.postgres import PostgresStore
from alcyon.runners.care.diagnosis import Check, State
from alcyon.runners.learning.models import begun_with
from alcyon.settings import load_settings
from services import Postgres, Redis, Registry
from tests.cli.conftest import World
from tests.cli.running import run
from tests.kafka import Broker


def test_a_machine_that_runs_the_tests_is_ready(
    model: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("doctor", "--model", model) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert str(home) in said.out
    assert "development-token-key" not in said.out


def test_what_is_wrong_is_named_with_a_remedy(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("ALCYON_HOME", str(blocked / "home"))
    assert run("doctor", "--model", model, "--catalog", "handbook", "--json") == 1
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert not found["is_ready"]
    wrong = {c["name"]: c["found"] for c in found["checks"] if c["state"] == "wrong"}
    assert set(wrong) == {"home", "disk", "model", "probe"}
    assert "set ALCYON_HOME" in wrong["home"]
    assert "not ready: home, disk, model" in said.err


def test_settings_and_catalogs_that_are_wrong_are_findings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALCYON_NONSENSE", "1")
    assert run("doctor", "--catalog", "none.py") == 1
    assert "not ready: settings, catalog" in capsys.readouterr().err


def servers_found(
    said: str, names: tuple[str, ...] = ("broker", "topics", "postgres", "redis", "registry")
) -> dict[str, dict[str, str]]:
    return {c["name"]: c for c in json.loads(said)["checks"] if c["name"] in names}


def test_servers_that_are_named_are_asked(
    broker: Broker,
    postgres: Postgres,
    redis: Redis,
    registry: Registry,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALCYON_KAFKA__BOOTSTRAP", broker.connection.bootstrap)
    monkeypatch.setenv("ALCYON_POSTGRES__DSN", postgres.dsn)
    monkeypatch.setenv("ALCYON_REDIS__URL", redis.url)
    monkeypatch.setenv("ALCYON_REGISTRY__URL", registry.url)
    topics = {f.upper(): getattr(broker.names, f) for f in broker.names.__dataclass_fields__}
    for name, topic in topics.items():
        monkeypatch.setenv(f"ALCYON_KAFKA__{name}", topic)
    assert run("doctor", "--json") == 0
    said = capsys.readouterr().out
    assert {c["state"] for c in servers_found(said).values()} == {"fine"}
    assert len(servers_found(said)) == 5
    assert not {postgres.password, redis.password} & set(re.split(r"[^0-9a-zA-Z_-]+", said))
    monkeypatch.setenv("ALCYON_KAFKA__LABELS", "not-there-yet")
    assert run("doctor", "--json") == 0
    found = servers_found(capsys.readouterr().out)["topics"]
    assert (found["state"], "alcyon run makes them" in found["found"]) == ("warning", True)
    monkeypatch.setenv("ALCYON_ENVIRONMENT", "production")
    monkeypatch.setenv("ALCYON_TOKEN__KEY", "a-key-of-this-test-alone")
    assert run("doctor", "--json") == 1
    found = servers_found(capsys.readouterr().out)["topics"]
    assert "kafka-topics.sh --bootstrap-server" in found["found"]


def test_servers_out_of_reach_are_each_one_line_with_a_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALCYON_KAFKA__BOOTSTRAP", "127.0.0.1:9")
    monkeypatch.setenv("ALCYON_POSTGRES__DSN", "postgresql://u:secret-one@127.0.0.1:9/d")
    monkeypatch.setenv("ALCYON_REDIS__URL", "redis://:secret-two@127.0.0.1:9/0")
    monkeypatch.setenv("ALCYON_REGISTRY__URL", "http://u:secret-three@127.0.0.1:9")
    assert run("doctor", "--json") == 1
    said = capsys.readouterr().out
    found = servers_found(said)
    assert {name: c["state"] for name, c in found.items()} == dict.fromkeys(found, "wrong")
    looks = {
        "broker": "kafka.bootstrap", "postgres": "postgres.dsn", "redis": "redis.url",
        "registry": "registry.url",
    }  # fmt: skip
    assert looks == {name: look for name, look in looks.items() if look in found[name]["found"]}
    assert "secret-" not in said  # as those above begin; a setting has it in its name


def test_the_model_registry_is_asked(
    model: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("models", "register", model, "--name", "m1") == 0
    capsys.readouterr()
    assert run("doctor", "--json") == 0
    found = servers_found(capsys.readouterr().out, ("models",))["models"]
    assert found["state"] == "fine"
    assert found["found"].startswith("1 in the models in")
    assert found["found"].endswith("; champion none, challenger none")
    monkeypatch.setenv("ALCYON_MODELS__REGISTRY", "http://127.0.0.1:1")
    assert run("doctor", "--json") == 1
    found = servers_found(capsys.readouterr().out, ("models",))["models"]
    assert found["state"] == "wrong"
    assert "models.registry" in found["found"]


def of(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_a_probe_is_decided_and_leaves_nothing(
    model: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found.json"
    assert run("doctor", "--model", model, "--json", "--out", out) == 0
    assert json.loads(out.read_text()) == json.loads(capsys.readouterr().out)
    found = {c["name"]: c for c in json.loads(out.read_text())["checks"]}
    assert found["probe"]["state"] == "fine"
    assert re.match(r"(APPROVE|REVIEW|DECLINE) by \S+, score \d+;", found["probe"]["found"])
    assert list(home.iterdir()) == []


def test_a_champion_whose_file_was_changed_is_found(
    model: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = FolderRegistry(home / "models")
    detector = load_detector("card")
    name = begun_with(place, detector.catalog, model).version
    [graph] = place.fetch(name).glob("*.onnx")
    graph.chmod(0o644)
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    assert run("doctor", "--json") == 1
    found = {c["name"]: c for c in json.loads(capsys.readouterr().out)["checks"]}
    assert found["champion"]["state"] == found["probe"]["state"] == "wrong"
    assert "promote another model" in found["champion"]["found"]


def test_a_snapshot_is_read_to_its_end(
    world: World, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = home / "snapshots"
    assert run("warm", "--input", world.transactions, "--snapshot", folder) == 0
    capsys.readouterr()
    [path] = folder.iterdir()
    assert run("doctor", "--json") == 0
    found = {c["name"]: c for c in json.loads(capsys.readouterr().out)["checks"]}
    assert (found["snapshot"]["state"], found["probe"]["state"]) == ("fine", "fine")
    os.utime(path, (0, 0))
    assert run("doctor", "--json") == 0
    found = {c["name"]: c for c in json.loads(capsys.readouterr().out)["checks"]}
    assert found["snapshot"]["state"] == "warning"
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    assert run("doctor", "--json") == 1
    found = {c["name"]: c for c in json.loads(capsys.readouterr().out)["checks"]}
    assert "corrupt" in found["snapshot"]["found"]


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """An empty database of this test's own."""
    name = f"doctor_{uuid4().hex[:8]}"
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield make_conninfo(postgres.dsn, dbname=name)
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}"')


def test_migrations_are_current_pending_or_newer(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALCYON_POSTGRES__DSN", database)
    assert of(servers(load_settings()))["migrations"].state is State.WARNING
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT to_regclass('projection_migrations')").fetchone() == (
            None,
        )
    PostgresStore(database).next_index()  # which migrates
    assert of(servers(load_settings()))["migrations"].state is State.FINE
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DELETE FROM projection_migrations WHERE number > 1")
    pending = of(servers(load_settings()))["migrations"]
    assert pending.state is State.WRONG
    assert "0002_search.sql, 0003_daily.sql: pending" in pending.found
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO projection_migrations SELECT n, 'later' FROM generate_series(2, 99) AS n"
        )
    newer = of(servers(load_settings()))["migrations"]
    assert (newer.state, "use the newer one" in newer.found) == (State.WRONG, True)


def test_a_wrong_password_is_told_and_not_shown(
    postgres: Postgres, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALCYON_REDIS__URL", redis.url.replace(redis.password, "not-this-one"))
    found = of(servers(load_settings()))["redis"]
    assert found.state is State.WRONG
    assert "refuses user or password: see the setting redis.url" in found.found
    assert "not-this-one" not in found.found


def test_a_clock_apart_from_the_servers_is_wrong(
    broker: Broker, postgres: Postgres, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALCYON_KAFKA__BOOTSTRAP", broker.connection.bootstrap)
    monkeypatch.setenv("ALCYON_POSTGRES__DSN", postgres.dsn)
    monkeypatch.setenv("ALCYON_REDIS__URL", redis.url)
    for name in broker.names.__dataclass_fields__:
        monkeypatch.setenv(f"ALCYON_KAFKA__{name.upper()}", getattr(broker.names, name))
    with closing(KafkaIntake(broker.connection, broker.names)) as intake:
        intake.append(Topic.TRANSACTIONS, [b"{}"])
    assert of(servers(load_settings()))["clocks"].state is State.FINE
    behind = of(servers(load_settings(), lambda: time.time_ns() // 1_000_000 - 600_000))["clocks"]
    assert behind.state is State.WRONG
    for name in ("broker", "postgres", "redis"):
        assert re.search(rf"{name} \+(59|60)\d\.\d s", behind.found)
    assert "time service" in behind.found
