"""Each server answers to a client that is not ours."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from services import Kafka, Postgres, Redis, Registry

Client = Callable[[str, str], str]


def said(*command: str, given: str = "", **environment: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        command,
        input=given,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def topic(kafka: Kafka) -> str:
    name = f"test-{uuid4()}"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic(name, 2)])[name].result(10)
    return name


def test_kcat_lists_the_broker(kafka: Kafka, client: Client, topic: str) -> None:
    listed = json.loads(said(client("kcat", "kcat"), "-b", kafka.bootstrap, "-L", "-J"))
    assert [broker["name"] for broker in listed["brokers"]] == [kafka.bootstrap]
    partitions = {t["topic"]: len(t["partitions"]) for t in listed["topics"]}
    assert partitions[topic] == 2


def test_kcat_reads_what_kcat_wrote(kafka: Kafka, client: Client, topic: str) -> None:
    kcat = [client("kcat", "kcat"), "-b", kafka.bootstrap, "-t", topic, "-p", "1"]
    said(*kcat, "-P", given="one\ntwo\n")
    assert said(*kcat, "-C", "-e", "-q").splitlines() == ["one", "two"]


def test_a_topic_nobody_made_is_not_made_by_asking(kafka: Kafka) -> None:
    name = f"test-{uuid4()}"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.list_topics(name, timeout=10)
    assert name not in admin.list_topics(timeout=10).topics


def test_psql_queries(postgres: Postgres, client: Client) -> None:
    psql = [client("psql", "postgresql-client"), "--no-psqlrc", "--tuples-only", "--no-align"]
    shown = said(*psql, "--command", "select current_user, current_database()", postgres.dsn)
    assert shown.strip() == "alcyon|alcyon"


def test_psql_with_a_wrong_password_is_refused(postgres: Postgres, client: Client) -> None:
    wrong = postgres.dsn.replace(postgres.password, "wrong")
    psql = client("psql", "postgresql-client")
    refused = subprocess.run(
        [psql, "--command", "select 1", wrong], capture_output=True, text=True, check=False
    )
    assert "password authentication failed" in refused.stderr


def test_redis_cli_sets_and_gets(redis: Redis, client: Client) -> None:
    cli = [client("redis-cli", "redis-tools"), "-h", redis.host, "-p", str(redis.port)]
    key = f"test-{uuid4()}"
    assert said(*cli, "set", key, "value", REDISCLI_AUTH=redis.password).strip() == "OK"
    assert said(*cli, "get", key, REDISCLI_AUTH=redis.password).strip() == "value"
    assert "NOAUTH" in said(*cli, "get", key)


def test_curl_registers_and_reads_a_schema(registry: Registry, client: Client) -> None:
    curl = [client("curl", "curl"), "--silent", "--noproxy", "*"]
    subject = f"test-{uuid4()}-value"
    field = {"name": "amount", "type": "long"}
    schema = json.dumps({"type": "record", "name": "Payment", "fields": [field]})
    content = "Content-Type: application/vnd.schemaregistry.v1+json"
    versions = f"{registry.url}/subjects/{subject}/versions"
    body = json.dumps({"schema": schema})
    made = json.loads(said(*curl, "--header", content, "--data", body, versions))
    read = json.loads(said(*curl, f"{registry.url}/schemas/ids/{made['id']}"))
    assert json.loads(read["schema"]) == json.loads(schema)
    latest = json.loads(said(*curl, f"{versions}/latest"))
    assert (latest["subject"], latest["version"], latest["id"]) == (subject, 1, made["id"])


def test_the_registry_names_its_errors(registry: Registry, client: Client) -> None:
    curl = [client("curl", "curl"), "--silent", "--noproxy", "*"]
    no_schema = json.loads(said(*curl, f"{registry.url}/schemas/ids/1000000"))
    no_subject = json.loads(said(*curl, f"{registry.url}/subjects/none/versions/latest"))
    assert no_schema["error_code"] == 40403
    assert no_subject["error_code"] == 40401
