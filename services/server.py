"""What each server module offers, and what it is given."""

from __future__ import annotations

import random
import secrets
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from services.facts import Facts
from services.process import Command

HOST = "127.0.0.1"

F = TypeVar("F", bound=Facts)


@dataclass(frozen=True)
class Options:
    """How servers are run."""

    throughput: bool = False
    """For benchmarks: more memory, and Java's better compiler; slower to start."""


class Server(Protocol, Generic[F]):
    """One technology. `up` calls install, facts, command, then answers until it is true."""

    name: str
    seconds: float
    """It answers within, or did not start."""

    def install(self) -> None:
        """Get what the machine lacks."""

    def facts(self, folder: Path, before: F | None) -> F:
        """New facts, or those of `before` with ports that are free now.

        `folder` is the server's own, and made.
        """

    def command(self, folder: Path, facts: F, options: Options) -> Command:
        """Write the configuration, and the data's beginnings where there are none."""

    def answers(self, facts: F) -> bool:
        """Whether it serves a client now; never raises for one that does not."""

    def remove(self, folder: Path) -> None:
        """Remove all data, of a server that is stopped."""


def remove_folder(folder: Path) -> None:
    """A server's folder and all in it."""
    shutil.rmtree(folder, ignore_errors=True)


def free_ports(among: range, *wanted: int | None) -> list[int]:
    """As many different ports that nobody listens on: those wanted where they are free.

    Below 32,768, so that no outgoing connection is given one in between; `among` is another range
    for each server, for one that was just started may not listen yet.
    """
    chosen: list[int] = []
    candidates = random.SystemRandom().sample(among, len(among))
    for port in wanted:
        first = candidates if port is None else [port, *candidates]
        chosen.append(next(p for p in first if p not in chosen and _is_free(p)))
    return chosen


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
    return True


def new_password() -> str:
    """Only letters and digits, for it goes into URLs and configuration files."""
    return secrets.token_hex(16)


def write_secret(file: Path, text: str) -> None:
    """A file for its owner's eyes only."""
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_text(text)
