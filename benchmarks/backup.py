"""Backup and restore of millions of decisions in Postgres: how long each takes, and how much.

    python benchmarks/backup.py [--decisions 5000000] [--folder F] [--beside WORDS]

Simulated traffic is written by the store's own write path (see benchmarks/search.py), with an
office beside it. Then `alcyon backup`, `alcyon backup --verify` and `alcyon restore` into a new
database run as commands. Each table of both databases is counted and digested by the server itself.
With a folder F the filled database is kept there and used again. Writes reports/backup.json.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from alcyon.io.office import Place, SqlOffice
from alcyon.io.postgres import PostgresStore
from report import write
from search import Writer, server

BAR_S = 300.0
RESTORED = "restored"


def commanded(dsn: str, home: Path, *arguments: object) -> float:
    """Seconds that an `alcyon` command took."""
    environment = {n: v for n, v in os.environ.items() if not n.startswith("ALCYON_")}
    environment |= {"ALCYON_HOME": str(home), "ALCYON_POSTGRES__DSN": dsn}
    begin = time.perf_counter()
    command = [sys.executable, "-m", "alcyon.cli", *map(str, arguments)]
    subprocess.run(command, env=environment, check=True)
    seconds = time.perf_counter() - begin
    print(f"alcyon {arguments[0]} {arguments[1]}: {seconds:,.1f} s", flush=True)
    return seconds


def digests(dsn: str) -> dict[str, tuple[int, int]]:
    """Rows of each table, and the sum of their hashes, which no order changes."""
    found = {}
    with psycopg.connect(dsn) as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN "
            "('public', 'office') AND table_type = 'BASE TABLE' ORDER BY 1, 2"
        ).fetchall()
        for schema, table in tables:
            row = connection.execute(
                "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) "
                f'FROM "{schema}"."{table}" AS t'.encode()
            ).fetchone()
            assert row is not None
            if row[0]:
                found[f"{schema}.{table}"] = (int(row[0]), int(row[1]))
    return found


def measured(folder: Path, decisions: int) -> dict[str, object]:
    """Fill, back up, check, restore, compare."""
    with server(folder) as dsn:
        with closing(PostgresStore(dsn)) as store:
            if store.next_index() == 0:
                print(f"filled in {Writer(decisions).fill(store):,.0f} s", flush=True)
        SqlOffice(Place(dsn=dsn)).close()
        target = make_conninfo(dsn, dbname=RESTORED)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {RESTORED}".encode())
            connection.execute(f"CREATE DATABASE {RESTORED}".encode())
        home, place = folder / "home", folder / "backup"
        shutil.rmtree(place, ignore_errors=True)
        taken = {
            "backup_s": commanded(dsn, home, "backup", "--to", place),
            "verify_s": commanded(dsn, home, "backup", "--verify", place),
            "restore_s": commanded(target, folder / "new", "restore", "--from", place),
        }
        one, other = digests(dsn), digests(target)
        if one != other:
            sys.exit(f"the restored database differs: {one} {other}")
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
        shutil.rmtree(folder / "new", ignore_errors=True)
        with psycopg.connect(dsn) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    rows = {name: count for name, (count, _) in one.items()}
    database = int(row[0]) if row else 0
    return {**taken, "backup_bytes": size, "database_bytes": database, "rows": rows}


def main(given: Sequence[str] | None = None) -> None:
    """Measure, print, write the report."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--decisions", type=int, default=5_000_000)
    arguments.add_argument("--folder", type=Path)
    arguments.add_argument("--beside", default="nothing", help="what else the machine did")
    chosen = arguments.parse_args(given)
    before = os.getloadavg()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = measured(folder, chosen.decisions)
    print(f"{chosen.decisions:,} decisions; equal rows and digests in every table")
    told = {"decisions": chosen.decisions, "bar_s": BAR_S, "beside": chosen.beside}
    loads = {"load_before": before, "load_after": os.getloadavg()}
    print(write("backup", {**told, **loads, **found}).name)


if __name__ == "__main__":
    main()
