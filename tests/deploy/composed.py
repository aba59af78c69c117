"""The services of compose.yaml that are ours, started without docker as they stand there.

Commands, settings, secrets and health checks are the file's; only places differ: a host is mapped
to a server of the test's, a folder to one of the test's, a port to a free one.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "compose.yaml"
SECRETS = ROOT / "deploy/docker/secrets.sh"
FIRST_MODEL = ROOT / "deploy/docker/first_model.sh"
PROGRAMS = {"first-model": ["sh", str(FIRST_MODEL)]}
"""Entry points that are files of ours."""
WAIT_S = 600.0
_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


def composed() -> dict[str, Any]:
    """compose.yaml, its variables at their defaults."""
    read: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(r"\2", COMPOSE.read_text()))
    return read


def ours() -> dict[str, Any]:
    """The services whose image is built here."""
    return {name: s for name, s in composed()["services"].items() if "build" in s}


def until(holds: Callable[[], bool], within_s: float = WAIT_S) -> None:
    """Wait for it; TimeoutError."""
    latest = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > latest:
            raise TimeoutError
        time.sleep(0.2)


@dataclass
class Composed:
    """What a test starts and asks."""

    folder: Path
    places: Mapping[str, str]
    """Text of compose.yaml or of a secret, and what it is here."""
    more: Mapping[str, str]
    """Variables beside those of compose.yaml: what tests must have of their own."""
    services: dict[str, Any] = field(default_factory=ours)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def made(self) -> Path:
        """The secrets, as the script makes them."""
        return self.folder / "secrets"

    def log(self, name: str) -> Path:
        """What a service told."""
        return self.folder / f"{name}.log"

    def environment(self, name: str) -> dict[str, str]:
        """A service's, with its secrets and no others'."""
        service = self.services[name]
        mounted = self.folder / f"secrets-{name}"
        if not mounted.is_dir():
            mounted.mkdir()
            for secret in service["secrets"]:
                text = (self.made / secret).read_text()
                (mounted / secret).write_text(self._here(text))
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ALCYON_")}
        kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        given = {k: self._here(str(v)) for k, v in service["environment"].items()}
        home = {"ALCYON_HOME": self._here("/var/lib/alcyon")}
        return {**kept, **home, **given, **self.more, "ALCYON_SECRETS": str(mounted)}

    def command(self, name: str) -> list[str]:
        """What a service runs."""
        service = self.services[name]
        program = PROGRAMS[service["entrypoint"][0]] if "entrypoint" in service else ["alcyon"]
        return [*program, *(self._here(str(part)) for part in service["command"])]

    def start(self, name: str, *more: str) -> None:
        """Start it, after what it depends on."""
        for other, needs in self.services[name].get("depends_on", {}).items():
            if other in self.services:
                assert other in self.processes, f"{name} before {other}"
                self._await(other, needs["condition"])
        with self.log(name).open("wb") as told:
            self.processes[name] = subprocess.Popen(
                [*self.command(name), *more], env=self.environment(name),
                stdin=subprocess.DEVNULL, stdout=told, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    def is_healthy(self, name: str) -> bool:
        """Whether its health check passes now. AssertionError: it ended."""
        assert self.processes[name].poll() is None, self.log(name).read_text()
        kind, program, *arguments = self.services[name]["healthcheck"]["test"]
        assert (kind, program) == ("CMD", "python")
        mapped = [self._here(part) for part in arguments]
        asked = subprocess.run([sys.executable, *mapped], capture_output=True, check=False)
        return asked.returncode == 0

    def run(self, name: str, *arguments: str) -> str:
        """As `docker compose exec NAME alcyon …`: what it writes to stdout."""
        done = subprocess.run(
            ["alcyon", *arguments], env=self.environment(name), capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def stop(self, name: str) -> int:
        """Its exit code after SIGTERM, within what compose.yaml grants."""
        grace_s = float(self.services[name]["stop_grace_period"].removesuffix("s"))
        self.processes[name].send_signal(signal.SIGTERM)
        return self.processes[name].wait(grace_s)

    def close(self) -> None:
        """Nothing of it runs on."""
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _await(self, name: str, condition: str) -> None:
        if condition == "service_healthy":
            return until(lambda: self.is_healthy(name))
        assert condition == "service_completed_successfully"
        assert self.processes[name].wait(WAIT_S) == 0, self.log(name).read_text()
        return None

    def _here(self, text: str) -> str:
        for place, mapped in self.places.items():
            text = text.replace(place, mapped)
        return text
