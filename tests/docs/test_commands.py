"""The commands that the README and the how-to pages show are run as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from services import Kafka
from services.server import free_ports
from tests.card_models import card_models
from tests.cli.run_process import kafka_settings, until
from tests.kafka import Broker

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "docs" / "index.md",
    *sorted((ROOT / "docs/howto").glob("*.md")),
]
_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`(\w+\.(?:py|toml))`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = {
    "make demo": "`.ci/run` and tests/cli/test_demo.py do what it does",
    "make test": "it would run itself",
    "make demo-services": "tests/services runs it",
    "make services-up": "tests/services starts them; here is one for all tests",
}
SERVERS = ".services/env"
"""What `make services-up` leaves, and a page reads before what needs it."""
GOES_ON = re.compile(r"alcyon (run|serve)\b")
"""It is stopped at the end of the page, once it was ready."""
GIVEN = {"model": 0, "better": 1}
"""Models that a page may begin with, where it does not train them."""
WAIT_S = 120.0


def commands(page: Path) -> list[str]:
    """What its `sh` blocks say, without comments; a quoted one may have several lines."""
    found = list[str]()
    for kind, block in _BLOCK.findall(page.read_text().replace("\\\n", " ")):
        if kind == "sh":
            found += [""]
            for line in block.splitlines():
                found[-1] += line.partition("  #")[0].rstrip()
                found += [""] if found[-1].count("'") % 2 == 0 else []
    return [line.strip() for line in found if line.strip()]


@dataclass
class Shell:
    """Where a page's commands are run, one after the other."""

    folder: Path
    environment: dict[str, str]
    ports: dict[str, int]
    """By the port that pages show, the one that is free here."""
    before: str = ""
    """What this shell was told that lasts: settings."""

    def run(self, command: str) -> None:
        """AssertionError where it does not end well."""
        done = subprocess.run(
            ["sh", "-ec", self._here(command)], cwd=self.folder, env=self.environment,
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        if command.startswith("set -a"):
            self.before = f"{command}; "

    @contextmanager
    def going_on(self, command: str) -> Iterator[None]:
        """Beside what follows, once it is ready."""
        shown = "8080" if "serve" in command else "9464"
        log = self.folder / f"going-on-{shown}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["sh", "-ec", self._here(f"exec {command}")], cwd=self.folder,
                env=self.environment, stdout=output, stderr=output,
            )  # fmt: skip
        try:
            until(lambda: self._is_ready(shown) or process.poll() is not None, WAIT_S)
            assert process.poll() is None, f"{command}\n{log.read_text()[-2000:]}"
            yield
        finally:
            process.terminate()
            process.wait(30)

    def _here(self, command: str) -> str:
        for shown, port in self.ports.items():
            command = command.replace(f"127.0.0.1:{shown}", f"127.0.0.1:{port}")
        return f"{self.before}{command}"

    def _is_ready(self, shown: str) -> bool:
        try:
            address = f"http://127.0.0.1:{self.ports[shown]}/readyz"
            with urllib.request.urlopen(address, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """With `alcyon` on its path, and no settings but those of its own."""
    shim = tmp_path / "bin" / "alcyon"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m alcyon.cli "$@"\n')
    shim.chmod(0o755)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("ALCYON_")}
    serve, status, *_ = free_ports(range(24_000, 27_000), None, None)
    own = {
        "PATH": f"{shim.parent}{os.pathsep}{plain['PATH']}",
        "ALCYON_HOME": str(tmp_path / "home"),
        "ALCYON_SERVE__PORT": str(serve),
        "ALCYON_STATUS__PORT": str(status),
    }
    return Shell(tmp_path, plain | own, {"8080": serve, "9464": status})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_can_be_done(
    page: Path, shell: Shell, request: pytest.FixtureRequest
) -> None:
    """In one folder, one after the other."""
    shown = commands(page)
    assert shown
    for name, text in _FILE.findall(page.read_text()):
        (shell.folder / name).write_text(text)
    for name, which in GIVEN.items():
        if not any(f"--out {name}" in command for command in shown):
            shutil.copytree(card_models()[which], shell.folder / name)
    if any(SERVERS in command for command in shown):
        _write_servers(shell.folder / SERVERS, request.getfixturevalue("kafka"))
    _run_all(shell, [command for command in shown if command not in NOT_RUN])


def _run_all(shell: Shell, shown: list[str]) -> None:
    for at, command in enumerate(shown):
        if GOES_ON.match(command):
            with shell.going_on(command):
                return _run_all(shell, shown[at + 1 :])
        shell.run(command)
    return None


def _write_servers(file: Path, kafka: Kafka) -> None:
    """A broker, with topics of this page's own."""
    broker = Broker.of(kafka.bootstrap)
    given = kafka_settings(kafka.bootstrap, broker.names, broker.transactional_id)
    lines = [f"ALCYON_{name}={shlex.quote(str(value))}\n" for name, value in given.items()]
    file.parent.mkdir()
    file.write_text("".join(lines))


def test_a_python_block_of_the_readme_is_python_that_works(tmp_path: Path) -> None:
    blocks = [b for kind, b in _BLOCK.findall((ROOT / "README.md").read_text()) if kind == "python"]
    for block in blocks:
        ran = subprocess.run(
            [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
    assert blocks
