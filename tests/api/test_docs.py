"""Every example of docs/api.md, run as it is written, against the app on a real port."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import uvicorn

from alcyon.api.app import create_app
from alcyon.api.desk import Desk
from alcyon.domain.office.access import Caller, Role
from alcyon.domain.office.asking import Answer
from alcyon.io.searching import StoreSearcher, sqlite
from alcyon.io.sqlite import SqliteStore
from alcyon.telemetry.metrics import Telemetry
from tests.contracts.searched import World

DOCS = Path(__file__).resolve().parents[2] / "docs" / "api.md"
_BLOCK = re.compile(r"(<!-- not run -->\n)?```(sh|python)\n(.*?)```", re.DOTALL)
BLOCKS = [(kind, text) for skip, kind, text in _BLOCK.findall(DOCS.read_text()) if not skip]
NAMES = {"transaction_id": "t-1001", "card_id": "c-77", "merchant_id": "m-17"}


class Standing:
    """What the other ports say, for one caller who may do everything."""

    def caller_of_key(self, secret: str) -> Caller | None:
        return Caller("key:k", Role.ADMIN, "ada") if secret == "secret" else None

    async def ask(self, payloads: Sequence[bytes]) -> list[Answer]:
        ids = [json.loads(one)["transaction_id"] for one in payloads]
        return [Answer(i, "APPROVE", 12, 90, (), (), False, False, 7) for i in ids]

    def label(self, labels: list[dict[str, Any]], by: Caller) -> int:
        return len(labels)

    def subscribe(self, feed: str) -> Standing:
        return self

    async def next(self) -> bytes:
        await asyncio.sleep(0.01)
        return b'{"rate": 1}'

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("store") / "alcyon.sqlite"
    world, standing = World(seed=4, n=60), cast(Any, Standing())
    paid = world.paid[-1]
    paid.columns.update(NAMES)
    paid.decision = msgspec.structs.replace(paid.decision, transaction_id=NAMES["transaction_id"])
    with closing(SqliteStore(path)) as store:
        for projected in world.commits():
            store.write(projected)
    with closing(StoreSearcher(sqlite(path))) as searcher:
        ports = dict.fromkeys(Desk.__dataclass_fields__, standing)
        own = {
            "searcher": searcher, "origins": (), "answered": lambda _: None,
            "telemetry": Telemetry(),
        }  # fmt: skip
        desk = Desk(**ports | own)
        server = uvicorn.Server(uvicorn.Config(create_app(desk), port=0, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        (port,) = {s.getsockname()[1] for one in server.servers for s in one.sockets}
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize(("kind", "text"), BLOCKS, ids=range(len(BLOCKS)))
def test_an_example_works_as_it_is_written(
    kind: str, text: str, url: str, tmp_path: Path, client: Callable[[str, str], str]
) -> None:
    client("curl", "curl")
    command = (
        [sys.executable, "-c", text]
        if kind == "python"
        else ["bash", "-euo", "pipefail", "-c", text]
    )
    done = subprocess.run(
        command, env={**os.environ, "URL": url, "KEY": "secret"}, cwd=tmp_path,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stdout + "".join(file.read_text() for file in tmp_path.iterdir())
    assert said.strip()
    if "guessed" in text:
        assert json.loads(said)["type"].endswith("invalid-input")
    else:
        assert "problems/" not in said
