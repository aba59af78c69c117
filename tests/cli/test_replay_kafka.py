"""`alcyon replay` of what `alcyon run` decided."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.run_process import WORKER, Running, forget, kafka_settings, send
from tests.cli.running import refused, run
from tests.kafka import Broker

Settings = dict[str, object]
EACH, CONTROLS = 40, 3
Capsys = pytest.CaptureFixture[str]


@pytest.fixture
def named(broker: Broker, home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of this test's topics, in this process too."""
    settings = {"HOME": home} | kafka_settings(
        broker.connection.bootstrap, broker.names, broker.transactional_id
    )
    for name, value in settings.items():
        monkeypatch.setenv(f"ALCYON_{name}", str(value))
    return settings


@pytest.fixture
def lives(broker: Broker, named: Settings) -> Iterator[Callable[..., Running]]:
    """Workers, each with 40 payments more: two that were stopped, and one that runs."""
    workers: list[Running] = []

    def live(count: int, *arguments: str) -> Running:
        for i in range(count):
            workers.append(Running(named, *WORKER, *arguments))
            send(broker, i * EACH, EACH)
            workers[-1].comes_to((i + 1) * EACH + CONTROLS)
            if i + 1 < count:
                assert workers[-1].stop() == 0
        return workers[-1]

    yield live
    for each in workers:
        each.process.kill()
        each.process.wait()


def found(capsys: Capsys, code: int, *arguments: object) -> dict[str, object]:
    """What a replay finds."""
    capsys.readouterr()
    assert run("replay", "--json", *arguments) == code
    said = capsys.readouterr()
    shown: dict[str, object] = json.loads(said.out)
    return shown | {"said": said.err}


def test_nothing_differs_while_a_worker_writes_and_after_the_beginning_has_gone(
    broker: Broker, lives: Callable[..., Running], capsys: Capsys
) -> None:
    assert "start alcyon run first" in refused(capsys, "replay")
    worker = lives(3)
    send(broker, 3 * EACH, 2_000)
    whole = found(capsys, 0)
    assert (whole["snapshot"], whole["differing"]) == (None, 0)
    assert isinstance(compared := whole["compared"], int)
    assert compared >= 3 * EACH
    worker.comes_to(3 * EACH + 2_000 + CONTROLS)
    part = found(capsys, 0, "--from", 90, "--to", 99)
    assert (part["compared"], str(part["snapshot"]).endswith("0083.snapshot")) == (10, True)

    # Of the first life's records some are gone, so its snapshot at 43 is of no use any more.
    forget(broker, broker.names.transactions, EACH + 5)
    is_from_83(found(capsys, 0, "--from", 50))
    forget(broker, broker.names.commits, 4)  # and some of what says in which order they came
    is_from_83(found(capsys, 0))
    assert run("replay", "t100") == 0
    assert "1 decisions compared, 0 differ" in capsys.readouterr().err
    assert "cannot be recomputed; keep" in refused(capsys, "replay", "--to", 50)
    assert "from sequence 83 on" in refused(capsys, "replay", "t5")
    assert worker.stop() == 0


def is_from_83(rest: dict[str, object]) -> None:
    assert (rest["compared"], rest["differing"]) == (2_000 + EACH, 0)
    assert str(rest["snapshot"]).endswith("0083.snapshot")
    assert "decided before sequence 83 cannot be recomputed" in str(rest["said"])


def test_a_decision_that_comes_out_otherwise_is_named(
    lives: Callable[..., Running], tmp_path: Path, capsys: Capsys
) -> None:
    other = tmp_path / "other.py"
    other.write_text(
        "import re\n"
        "from alcyon.detectors.card import catalog\n"
        "from alcyon.runners.stream.worker import Worker\n"
        "hand_over = Worker._hand_over\n"
        "def changed(self, batch):\n"
        "    batch.made.decisions = [\n"
        '        re.sub(rb\'"action":"[A-Z_]*"\', rb\'"action":"STEP_UP"\', d)\n'
        "        if b'\"t7\"' in d else d for d in batch.made.decisions\n"
        "    ]\n"
        "    hand_over(self, batch)\n"
        "Worker._hand_over = changed\n"
    )
    assert lives(1, "--catalog", str(other)).stop() == 0
    assert found(capsys, 1)["sequences"] == [7 + CONTROLS]
    assert run("replay", "t7") == 1
    said = capsys.readouterr().err
    assert "sequence 10 (t7): action differ" in said
    assert "1 decisions compared, 1 differ" in said
    assert run("replay", "t8") == 0
