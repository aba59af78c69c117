"""compose.yaml's own services do their work together, over real servers and without docker."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx2
import psycopg
import pytest

from services import Kafka, Postgres, Redis
from services.facts import ServiceError
from services.server import free_ports
from tests.card_models import card_models
from tests.deploy.composed import FIRST_MODEL, ROOT, SECRETS, Composed, composed, ours, until
from tests.kafka import Broker

STARTED = ("first-model", "worker", "generator", "learner", "projections", "api", "analytics")
PAYMENTS = 40


def row_of_ports(count: int) -> list[int]:
    """Ports in a row that nobody listens on, and no outgoing connection is given in between."""
    among = range(16_000, 19_000)
    for first in random.SystemRandom().sample(among, len(among)):
        row = list(range(first, first + count))
        if free_ports(among, *row) == row:
            return row
    raise ServiceError(f"no {count} ports in a row are free")


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """Of this test's own."""
    name = f"compose_{uuid4().hex[:12]}"
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
        yield name
        connection.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
def system(
    tmp_path: Path, kafka: Kafka, postgres: Postgres, redis: Redis, database: str
) -> Iterator[Composed]:
    """Nothing started yet."""
    names = Broker.of(kafka.bootstrap)
    status, projections, learner, _duties, api, analytics = row_of_ports(6)
    places = {
        "kafka:29092": kafka.bootstrap,
        "postgres:5432/alcyon": f"{postgres.host}:{postgres.port}/{database}",
        "redis:6379/0": f"{redis.host}:{redis.port}/9",
        "/var/lib/alcyon": str(tmp_path / "home"),
        "worker:9464": f"127.0.0.1:{status}",
        "projections:9465": f"127.0.0.1:{projections}",
        "0.0.0.0": "127.0.0.1",
        ":9464/": f":{status}/",
        ":9465/": f":{projections}/",
        ":9466/": f":{learner}/",
        ":8080/": f":{api}/",
        ":8501/": f":{analytics}/",
    }
    topics = {n: getattr(names.names, n) for n in names.names.__dataclass_fields__}
    more = {f"ALCYON_KAFKA__{name.upper()}": topic for name, topic in topics.items()}
    more |= {
        "ALCYON_KAFKA__TRANSACTIONAL_ID": names.transactional_id,
        "ALCYON_STATUS__PORT": str(status),
        "ALCYON_SERVE__PORT": str(api),
        "ANALYTICS_PORT": str(analytics),
    }
    # There is a model, so that none is trained; see below.
    shutil.copytree(card_models()[0], tmp_path / "home/first-model")
    made = Composed(tmp_path, places, more)
    made.made.mkdir()
    # The servers are there already, with passwords of their own.
    (made.made / "postgres_password").write_text(f"{postgres.password}\n")
    (made.made / "redis_password").write_text(f"{redis.password}\n")
    subprocess.run(["sh", SECRETS, made.made], check=True)
    yield made
    made.close()


def test_payments_come_out_as_decisions_in_postgres_and_through_the_api(
    system: Composed, postgres: Postgres, database: str
) -> None:
    assert set(STARTED) == set(ours()) - {"airflow"}
    for name in STARTED:
        system.start(name, *_more(system, name))
    for name in STARTED[1:]:
        if name != "generator":
            until(lambda name=name: system.is_healthy(name))  # type: ignore[misc]

    dsn = postgres.dsn.rpartition("/")[0] + f"/{database}"
    with psycopg.connect(dsn, autocommit=True) as store:

        def decided(where: str = "") -> int:
            found = store.execute(f"select count(*) from decisions {where}".encode()).fetchone()
            return 0 if found is None else int(found[0])

        until(lambda: decided() >= PAYMENTS)
        assert decided("where score is null") == 0, "the first model decides from the start"

        shop, viewer = (
            system.run("api", "keys", "create", "--role", role) for role in ("ingest", "viewer")
        )
        address = f"http://127.0.0.1:{system.more['ALCYON_SERVE__PORT']}"
        with httpx2.Client(base_url=address, timeout=60) as client:
            asked = client.post("/v1/decisions", headers={"X-API-Key": shop}, json=payment())
            assert asked.status_code == 200, asked.text
            known = {"X-API-Key": viewer}
            until(lambda: client.get("/v1/decisions/ours", headers=known).status_code == 200)
            page = client.get("/v1/decisions", headers=known).json()
            assert len(page["items"]) >= PAYMENTS
        assert decided("where transaction_id = 'ours'") == 1

    for name in ("generator", "analytics", "api", "learner", "projections", "worker"):
        assert system.stop(name) == 0, system.log(name).read_text()


def test_a_first_model_is_made_once(tmp_path: Path) -> None:
    folder, path = tmp_path / "model", Path(sys.executable).parent
    env = {k: v for k, v in os.environ.items() if not k.startswith("ALCYON_")}
    env |= {"PATH": f"{path}{os.pathsep}{env['PATH']}", "ALCYON_HOME": str(tmp_path)}
    env |= {"FIRST_MODEL_TRANSACTIONS": "150000", "TMPDIR": str(tmp_path)}
    subprocess.run(["sh", FIRST_MODEL, folder], env=env, check=True)
    subprocess.run(["alcyon", "doctor", "--model", folder], env=env, check=True)
    before = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    subprocess.run(["sh", FIRST_MODEL, folder], env=env, check=True)
    assert before == {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("tmp")] == []


def _more(system: Composed, name: str) -> tuple[str, ...]:
    """Its port is an option, not a setting."""
    return ("--port", system.more["ANALYTICS_PORT"]) if name == "analytics" else ()


def payment() -> dict[str, object]:
    """A plain payment of now."""
    return {
        "transaction_id": "ours", "event_time": round(time.time() * 1000), "amount_minor": 4_200,
        "currency": "EUR", "card_id": "c-ours", "merchant_id": "m1", "country": "FR",
    }  # fmt: skip


def test_profiles_are_those_that_the_documentation_names_and_the_core_is_in_none() -> None:
    found = dict[str, set[str]]()
    for name, service in composed()["services"].items():
        for profile in service.get("profiles", ["core"]):
            found.setdefault(profile, set()).add(name)
    assert found == {
        "core": {
            "kafka", "postgres", "redis", "first-model", "worker", "projections", "learner", "api",
            "generator",
        },
        "observability": {"prometheus", "alertmanager", "grafana"},
        "mlops": {"mlflow", "airflow"},
        "analytics": {"analytics"},
        "avro": {"registry"},
    }  # fmt: skip
    rows = re.findall(r"^\| (.*?) \| (.*?) \|", (ROOT / "docs/deploy.md").read_text(), re.MULTILINE)
    told = {
        name: re.findall(r"profile `(\w+)`", what) or ["core"]
        for names, what in rows
        for name in re.findall(r"`([\w-]+)`", names)
        if name in composed()["services"]
    }
    assert told == {name: [profile] for profile, names in found.items() for name in names}


def test_who_needs_no_profile_waits_for_nobody_of_one() -> None:
    services = composed()["services"]
    for name, service in services.items():
        own = set(service.get("profiles", ()))
        for other in service.get("depends_on", {}):
            theirs = set(services[other].get("profiles", ()))
            assert not theirs or theirs & own, f"{name} waits for {other}"


def test_services_wait_only_for_what_can_be_waited_for() -> None:
    services = composed()["services"]
    for name, service in services.items():
        for other, needs in service.get("depends_on", {}).items():
            if needs["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{name} waits for {other}"
            else:
                assert services[other]["restart"] == "no", f"{other} must end"


def test_what_is_mounted_is_declared_and_what_is_published_is_on_loopback() -> None:
    file = composed()
    for name, service in file["services"].items():
        assert set(service.get("secrets", ())) <= set(file["secrets"]), name
        named = [v.partition(":")[0] for v in service.get("volumes", ()) if v[0] not in "./"]
        assert set(named) <= set(file["volumes"]), name
        assert all(str(p).startswith("127.0.0.1:") for p in service.get("ports", ())), name
    published = [
        str(p).split(":")[1] for s in file["services"].values() for p in s.get("ports", ())
    ]
    assert len(set(published)) == len(published)


def test_images_are_pinned_and_no_password_is_written_down() -> None:
    file = composed()
    for name, service in file["services"].items():
        _, _, tag = service["image"].rpartition(":")
        assert re.fullmatch(r"v?\d+(\.\d+)+", tag) or "build" in service, name
        secret = re.compile(r"PASSWORD|SECRET|TOKEN|KEY")
        given = {k: v for k, v in service.get("environment", {}).items() if secret.search(k)}
        assert all(str(v).startswith("/run/secrets") for v in given.values()), name


def test_no_container_has_rights_that_it_does_not_need_or_fills_the_disk_with_its_log() -> None:
    for name, service in composed()["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"] == {"driver": "local"}, name
        assert not {"privileged", "network_mode", "pid", "user"} & set(service), name
        assert "docker.sock" not in str(service), name
        # Those two begin as root, and become their own user.
        assert ("cap_add" in service) is (name in ("postgres", "redis")), name
        assert service.get("read_only", False) is (name in ours() and name != "airflow"), name


def test_whatever_goes_on_says_whether_it_is_well() -> None:
    without = {n for n, s in composed()["services"].items() if "healthcheck" not in s}
    assert without == {"first-model", "generator"}, "one ends, of one nothing depends"


def test_no_image_of_ours_runs_as_root() -> None:
    users, stage = dict[str, str](), ""
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stage = name or "unnamed"
            users[stage] = users.get(base, "root")
        elif word == "USER":
            users[stage] = rest
    assert {users[stage] for stage in ("alcyon", "airflow", "unnamed")} == {"10001"}


def test_prometheus_asks_services_that_there_are() -> None:
    services = composed()["services"]
    files = (ROOT / "deploy/prometheus/targets-compose").glob("*.yml")
    targets = re.findall(r'"([\w-]+):(\d+)"', "".join(file.read_text() for file in files))
    assert targets
    for host, port in targets:
        assert host in services, host
        asked = str(services[host]["healthcheck"]["test"])
        assert f":{port}/" in asked or port in services[host].get("expose", ()), (host, port)


def test_the_api_asks_the_worker_and_the_projections_where_they_are() -> None:
    services = composed()["services"]
    for name in ("worker", "projections"):
        place = services["api"]["environment"][f"ALCYON_SERVE__{name.upper()}_AT"]
        host, _, port = place.partition(":")
        assert host == name
        assert f":{port}/" in str(services[host]["healthcheck"]["test"])
