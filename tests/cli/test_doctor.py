"""`alcyon doctor`"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from services import Postgres, Redis, Registry
from tests.cli.running import run
from tests.kafka import Broker


def test_a_machine_that_runs_the_tests_is_ready(
    model: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("doctor", "--model", model) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert str(home) in said.out
    assert "models.registry=folder" in said.out
    assert "development-token-key" not in said.out  # masked


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
    assert set(wrong) == {"home", "disk", "model"}
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
