"""A store of each kind that holds `WORLD`, and what asks it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from alcyon.io.postgres import PostgresStore
from alcyon.io.searching import (
    StoreSearcher,
    postgres,
    sqlite,
)
from alcyon.io.sqlite import SqliteStore
from tests.contracts.searched import (
    WORLD,
)
from tests.contracts.storing import empty_schema, server


@contextmanager
def filled(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """(a way to open the database, a way to ask it) of a store that holds the world."""
    with ExitStack() as stack:
        if kind == "sqlite":
            path = folder / "alcyon.sqlite"
            stack.enter_context(closing(SqliteStore(path)))
            made: Any = SqliteStore(path)

            def opened(**given: bool) -> Any:
                return sqlite(path, **given)

        else:
            dsn = stack.enter_context(empty_schema(server(request)))
            made = PostgresStore(dsn)

            def opened(**given: bool) -> Any:
                return postgres(dsn, **given)

        stack.enter_context(closing(made))
        for projected in WORLD.commits():
            made.write(projected)
        yield opened


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    with filled(request.param, tmp_path_factory.mktemp("store"), request) as opens:
        yield opens


@pytest.fixture(scope="module")
def searcher(opened: Any) -> Iterator[StoreSearcher]:
    with closing(StoreSearcher(opened(), names={"catalog": ("a", "b")}.get)) as made:
        yield made
