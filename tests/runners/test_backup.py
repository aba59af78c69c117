"""A backup holds all there is, is checked, and comes back the same into an empty place."""

from __future__ import annotations

import hashlib
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from alcyon.domain.errors import InputError
from alcyon.domain.office.access import Role
from alcyon.io import backup_folder
from alcyon.io.backup_folder import read_manifest, verify
from alcyon.io.office import Place, SqlOffice
from alcyon.io.postgres import PostgresStore
from alcyon.io.sqlite import SqliteStore
from alcyon.runners.care.backup import Kept, backup, restore
from services import Postgres
from tests.contracts.officing import SHELL
from tests.contracts.storing import RandomLog, empty_schema

OFFICE = "alcyon_test_office"
SEED = 5  # its sequences reach over two partitions


def quiet(_: int) -> None:
    """Nobody looks on."""


@contextmanager
def empty(postgres: Postgres | None, home: Path) -> Iterator[Kept]:
    """A place with nothing in it."""
    if postgres is None:
        yield Kept(home, None, is_embedded=True)
        return
    with empty_schema(postgres.dsn) as dsn:
        office = f"{OFFICE}_{random.randrange(10**9)}"
        yield Kept(home, dsn, is_embedded=False, office_schema=office)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {office} CASCADE".encode())


def filled(kept: Kept) -> None:
    """Commits of every kind, an office with an account, files of a registry."""
    store = (
        SqliteStore(kept.home / "alcyon.sqlite") if kept.dsn is None else PostgresStore(kept.dsn)
    )
    with closing(store):
        for projected in RandomLog(SEED, 60).commits[:40]:
            store.write(projected)
    place = Place(kept.home / "office.sqlite")
    if kept.dsn is not None:
        place = Place(dsn=kept.dsn, schema=kept.office_schema)
    with closing(SqlOffice(place)) as office:
        for number in range(3):
            office.create_key(SHELL, Role.INGEST, f"key {number}", None)
    (kept.home / "models" / "m1").mkdir(parents=True)
    (kept.home / "models" / "m1" / "model.onnx").write_bytes(random.Random(1).randbytes(300_000))


def contents(kept: Kept) -> dict[str, tuple[int, str]]:
    """Rows and digest of each table that there is, asked of the database itself."""
    if kept.dsn is not None:
        return dict(_of_postgres(kept.dsn, kept.office_schema))
    return dict(_of_sqlite(kept.home / name) for name in ("alcyon.sqlite", "office.sqlite"))


def _of_postgres(dsn: str, office: str) -> Iterator[tuple[str, tuple[int, str]]]:
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE table_schema IN (current_schema(), %s) AND table_type = 'BASE TABLE'", (office,)
        ).fetchall()  # fmt: skip
        for schema, table in found:
            row = connection.execute(
                "SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) "
                f'FROM "{schema}"."{table}" AS t'.encode()
            ).fetchone()
            assert row is not None
            yield f"{'office.' if schema == office else ''}{table}", (row[0], str(row[1]))


def _of_sqlite(file: Path) -> tuple[str, tuple[int, str]]:
    with closing(sqlite3.connect(file)) as connection:
        lines = list(connection.iterdump())
    return file.name, (len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest())


@pytest.fixture(params=["sqlite", "postgres"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Kept, Kept]]:
    """One that is filled, and an empty one."""
    server = request.getfixturevalue("postgres") if request.param == "postgres" else None
    (tmp_path / "one").mkdir()
    with empty(server, tmp_path / "one") as one, empty(server, tmp_path / "two") as two:
        filled(one)
        yield one, two


def test_what_was_backed_up_comes_back_row_for_row(
    places: tuple[Kept, Kept], tmp_path: Path
) -> None:
    one, two = places
    ticks: list[int] = []
    made = backup(one, tmp_path / "b", ticks.append)
    assert sum(ticks) > 0
    assert made == read_manifest(tmp_path / "b")
    assert made.next_index == 40
    restore(two, tmp_path / "b", quiet)
    wanted, found = contents(one), contents(two)
    assert {n: v for n, v in found.items() if v[0]} == {n: v for n, v in wanted.items() if v[0]}
    assert sum(rows for rows, _ in wanted.values()) > 200
    name = Path("models/m1/model.onnx")
    assert (two.home / name).read_bytes() == (one.home / name).read_bytes()


def test_a_restored_store_and_office_go_on(places: tuple[Kept, Kept], tmp_path: Path) -> None:
    """Partitions, keys and numbers that the database gives are as if nothing had happened."""
    one, two = places
    backup(one, tmp_path / "b", quiet)
    restore(two, tmp_path / "b", quiet)
    for kept in places:
        store = (
            SqliteStore(kept.home / "alcyon.sqlite")
            if kept.dsn is None
            else PostgresStore(kept.dsn)
        )
        with closing(store):
            for projected in RandomLog(SEED, 60).commits[40:]:
                store.write(projected)
            assert store.next_index() == 60
        place = Place(kept.home / "office.sqlite")
        if kept.dsn is not None:
            place = Place(dsn=kept.dsn, schema=kept.office_schema)
        with closing(SqlOffice(place)) as office:
            office.create_key(SHELL, Role.VIEWER, "later", None)
            assert office.walk_audit().broken is None
            assert office.walk_audit().count == 4
    stores = [{n: v for n, v in contents(k).items() if "office" not in n} for k in places]
    assert stores[0] == stores[1]


def test_a_backup_that_was_touched_is_refused(places: tuple[Kept, Kept], tmp_path: Path) -> None:
    one, two = places
    folder = tmp_path / "b"
    backup(one, folder, quiet)
    verify(folder, quiet)
    victim = folder / "models" / "m1" / "model.onnx"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(InputError, match=r"model\.onnx is not what was written"):
        restore(two, folder, quiet)
    victim.unlink()
    with pytest.raises(InputError, match=r"model\.onnx is missing"):
        verify(folder, quiet)
    victim.write_bytes(whole)
    (folder / "more").touch()
    with pytest.raises(InputError, match="added later"):
        verify(folder, quiet)
    assert not two.home.exists()


def test_nothing_is_restored_over_something(places: tuple[Kept, Kept], tmp_path: Path) -> None:
    one, _ = places
    backup(one, tmp_path / "b", quiet)
    before = contents(one)
    with pytest.raises(InputError, match="not empty"):
        restore(one, tmp_path / "b", quiet)
    with pytest.raises(InputError, match="not empty"):
        restore(replace(one, home=tmp_path / "other") if one.dsn else one, tmp_path / "b", quiet)
    assert contents(one) == before


def test_a_backup_that_was_cut_off_is_none(
    places: tuple[Kept, Kept], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = places

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup_folder, "_force_directory", full)
    with pytest.raises(InputError, match="No space left"):
        backup(one, tmp_path / "b", quiet)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith("b")) == []
    with pytest.raises(InputError, match="is no backup"):
        verify(tmp_path / "b", quiet)


def test_a_backup_of_the_other_kind_of_store_is_refused(tmp_path: Path) -> None:
    one = Kept(tmp_path / "one", None, is_embedded=True)
    one.home.mkdir()
    filled(one)
    backup(one, tmp_path / "b", quiet)
    other = Kept(tmp_path / "two", "postgresql://nobody@127.0.0.1:1/none", is_embedded=False)
    with pytest.raises(InputError, match="unset ALCYON_POSTGRES__DSN"):
        restore(other, tmp_path / "b", quiet)
    with pytest.raises(InputError, match="is there already"):
        backup(one, tmp_path / "b", quiet)
    with pytest.raises(InputError, match="nothing in"):
        backup(replace(one, home=tmp_path / "none"), tmp_path / "c", quiet)
