"""Fixtures of real servers, each started at most once per session, when a test first asks.

A server that cannot be started skips the tests that need it, or with ALCYON_TEST_SERVERS=required
fails them. They are never those of `.services`: a test may do to them what it likes.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

from services import Folder, Kafka, Postgres, Redis, Registry, ServiceError
from services.cache import locked, program
from services.process import Process, started

_REQUIRED = pytest.StashKey[bool]()
_SWITCH = "ALCYON_TEST_SERVERS"
_OF_A_SHELL = tuple(f"ALCYON_{name}" for name in ("HOME", "KAFKA", "POSTGRES", "REDIS", "REGISTRY"))

F = TypeVar("F")


def pytest_configure(config: pytest.Config) -> None:
    """Read our switch, and forget the servers that the shell may know."""
    # Taken out: it is no setting, and the settings refuse variables that they do not know.
    switch = os.environ.pop(_SWITCH, "")
    if switch not in ("", "required"):
        raise pytest.UsageError(f"{_SWITCH} is {switch!r}: set it to 'required' or unset it")
    config.stash[_REQUIRED] = bool(switch)
    for name in [name for name in os.environ if name.startswith(_OF_A_SHELL)]:
        del os.environ[name]


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Callable[[str, type[F]], F]]:
    """Starts a server by name and gives its facts; stops all at the end of the session."""
    folder = _new_folder()

    def start(name: str, kind: type[F]) -> F:
        try:
            facts = folder.up([name])[name]
        except ServiceError as error:
            cannot(request.config, f"no {name} for tests: {error}")
        assert isinstance(facts, kind)
        return facts

    yield start
    folder.down()
    shutil.rmtree(folder.path, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka(servers: Callable[[str, type[Kafka]], Kafka]) -> Kafka:
    """A broker, empty at first. Other tests use it too: name topics so that none meet."""
    return servers("kafka", Kafka)


@pytest.fixture(scope="session")
def postgres(servers: Callable[[str, type[Postgres]], Postgres]) -> Postgres:
    """A cluster, as its superuser: make a database or a schema per test."""
    return servers("postgres", Postgres)


@pytest.fixture(scope="session")
def redis(servers: Callable[[str, type[Redis]], Redis]) -> Redis:
    """Redis: sixteen databases, and prefixes."""
    return servers("redis", Redis)


@pytest.fixture(scope="session")
def registry(servers: Callable[[str, type[Registry]], Registry]) -> Registry:
    """A schema registry: name subjects so that none meet."""
    return servers("registry", Registry)


@pytest.fixture(scope="session")
def client(request: pytest.FixtureRequest) -> Callable[[str, str], str]:
    """A foreign client program, by its name and Debian package; as with servers if it lacks."""

    def find(name: str, package: str) -> str:
        found = program(name, package)
        return str(found or cannot(request.config, f"no {name} for tests: install {package}"))

    return find


def cannot(config: pytest.Config, reason: str) -> NoReturn:
    """Skip the test, or fail it where servers are required."""
    if config.stash[_REQUIRED]:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _new_folder() -> Folder:
    """A folder of this session, after those of sessions that were killed are cleared away.

    Not pytest's: PostgreSQL runs as another user if we are root, who may not look into it.
    """
    root = Path(tempfile.gettempdir()) / f"alcyon-servers-{os.geteuid()}"
    root.mkdir(mode=0o711, exist_ok=True)
    if root.stat().st_uid != os.geteuid():
        raise PermissionError(f"{root} is somebody else's")
    with locked(root / "lock"):
        for owner in root.glob("*/owner.json"):
            if not Process(**json.loads(owner.read_text())).lives():
                Folder(owner.parent).down()
                shutil.rmtree(owner.parent)
        path = Path(tempfile.mkdtemp(dir=root))
        path.chmod(0o711)
        we = Process(os.getpid(), started(os.getpid()) or "", stop=0)
        (path / "owner.json").write_text(json.dumps(asdict(we)))
    return Folder(path)
