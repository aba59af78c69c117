"""One small simulated world for all commands."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.run_process import of_broker, start
from tests.cli.running import run

__all__ = ["home", "of_broker", "start", "world"]


class World(NamedTuple):
    """Files of one simulation."""

    transactions: Path
    labels: Path
    truth: Path


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, so that nobody's own settings are read."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("ALCYON_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """12,000 transactions of 30 days, one in fifty a fraud."""
    folder = tmp_path_factory.mktemp("world")
    files = World(folder / "t.parquet", folder / "l.parquet", folder / "k.parquet")
    code = run(
        "generate", "--transactions", 12_000, "--seed", 3, "--fraud-rate", 0.03,
        "--out", files.transactions, "--labels-out", files.labels, "--truth-out", files.truth,
    )  # fmt: skip
    assert code == 0
    return files


@pytest.fixture(scope="session")
def model(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the card catalog, trained on that world."""
    folder = tmp_path_factory.mktemp("model") / "m"
    given = ("--input", world.transactions, "--labels", world.labels)
    # 100 reviews a day, as is usual, would be a quarter of this small traffic.
    chosen = ("--label-delay", "5d", "--reviews-per-day", 20)
    assert run("train", *given, *chosen, "--out", folder) == 0
    return folder
