"""A folder with running servers: what `up` starts there, `down` stops."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from services.cache import locked
from services.environment import write_environment
from services.facts import Facts, Kafka, Postgres, Redis, Registry, ServiceError
from services.kafka import KafkaServer
from services.postgres import PostgresServer
from services.process import Process, log_tail, start
from services.redis import RedisServer
from services.registry import RegistryServer
from services.server import Options, Server, remove_folder, write_secret

_KINDS: dict[str, tuple[Server[Any], type[Facts]]] = {
    "kafka": (KafkaServer(), Kafka),
    "postgres": (PostgresServer(), Postgres),
    "redis": (RedisServer(), Redis),
    "registry": (RegistryServer(), Registry),
}
NAMES = tuple(_KINDS)
_GRACE_SECONDS = 15.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Status:
    """One server of a folder."""

    name: str
    process: Process | None
    """None if it does not run."""
    facts: Facts | None
    """None if it never ran here."""
    log: Path


class Folder:
    """Servers by name, each with `<folder>/<name>/{server.json,log,data}`.

    `server.json` holds the process (pid and start time) and the facts. Commands on one folder wait
    for each other.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def up(self, only: Sequence[str] = NAMES, options: Options | None = None) -> dict[str, Facts]:
        """Install, start, and wait until each answers; what already runs is left as it is.

        Raises ServiceError with the end of the log; what was started by then keeps running.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        for name in only:
            _KINDS[name][0].install()
        with locked(self.path / "lock"):
            try:
                running = {name: self._launch(name, options or Options()) for name in only}
                return {name: self._wait(name, process) for name, process in running.items()}
            finally:
                write_environment(self.path, self._facts_of_running())

    def down(self, only: Sequence[str] = NAMES, *, keep: bool = False) -> list[str]:
        """Stop what `up` started here, and unless `keep` remove its data; names what it stopped."""
        if not self.path.is_dir():
            return []
        with locked(self.path / "lock"):
            stopped = [name for name in only if self._stop(name)]
            if not keep:
                for name in only:
                    _KINDS[name][0].remove(self.path / name)
            write_environment(self.path, self._facts_of_running())
            # Ours alone; a folder that holds anything else stays, whatever was given as --folder.
            if not keep and not any((self.path / name).exists() for name in NAMES):
                remove_folder(self.path / "home")
                (self.path / "lock").unlink()
                if not any(self.path.iterdir()):
                    self.path.rmdir()
        return stopped

    def status(self) -> list[Status]:
        """Every server, running or not."""
        return [self._status(name) for name in NAMES]

    def _status(self, name: str) -> Status:
        process, facts = self._read(name)
        lives = process is not None and process.lives()
        return Status(name, process if lives else None, facts, self.path / name / "log")

    def _facts_of_running(self) -> list[Facts]:
        return [s.facts for s in self.status() if s.process is not None and s.facts is not None]

    def _launch(self, name: str, options: Options) -> Process:
        before = self._status(name)
        if before.process is not None:
            return before.process
        server = _KINDS[name][0]
        folder = self.path / name
        folder.mkdir(exist_ok=True)
        facts = server.facts(folder, before.facts)
        # Written before the data are: without the password in it they would be lost.
        self._write(name, None, facts)
        command = server.command(folder, facts, options)
        process = start(command, folder, before.log)
        self._write(name, process, facts)
        return process

    def _wait(self, name: str, process: Process) -> Facts:
        server = _KINDS[name][0]
        status = self._status(name)
        if status.facts is None:
            raise ServiceError(f"{name}: {self.path / name} was removed while it started")
        deadline = time.monotonic() + server.seconds
        while process.lives():
            if server.answers(status.facts):
                return status.facts
            if time.monotonic() > deadline:
                process.end(_GRACE_SECONDS)
                said = f"gave no answer in {server.seconds:.0f} s"
                raise ServiceError(f"{name} {said}; {status.log} ends:\n{log_tail(status.log)}")
            time.sleep(_POLL_SECONDS)
        raise ServiceError(f"{name} ended at once; {status.log} ends:\n{log_tail(status.log)}")

    def _stop(self, name: str) -> bool:
        process = self._status(name).process
        if process is None:
            return False
        process.end(_GRACE_SECONDS)
        if process.lives():
            raise ServiceError(f"{name}: process {process.pid} cannot be killed")
        return True

    def _read(self, name: str) -> tuple[Process | None, Facts | None]:
        file = self.path / name / "server.json"
        if not file.exists():
            return None, None
        written = json.loads(file.read_text())
        process = Process(**written["process"]) if written["process"] else None
        return process, _KINDS[name][1](**written["facts"])

    def _write(self, name: str, process: Process | None, facts: Facts) -> None:
        written = {"process": asdict(process) if process else None, "facts": asdict(facts)}
        write_secret(self.path / name / "server.json", json.dumps(written, indent=2))
