"""`alcyon learn`: over the demo's logs, and beside `alcyon run` on a broker."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alcyon.codecs.decisions import decode
from alcyon.io.log import EmbeddedCommits
from alcyon.learning.history import Bounds
from alcyon.runners.demo.place import DemoPlace
from tests.cli.run_process import Start, send, until
from tests.cli.running import refused, run
from tests.kafka import Broker
from tests.runners.demoing import copied, run_to

DECIDED = 1_500


@pytest.fixture
def place(home: Path, monkeypatch: pytest.MonkeyPatch) -> DemoPlace:
    """A demo that has decided on some payments, and is not running."""
    monkeypatch.setenv("ALCYON_STATUS__PORT", "0")
    # Whether a day has passed since the champion began hangs on the hour this runs at.
    monkeypatch.setenv("ALCYON_LEARN__ONLINE_EVERY_DAYS", "900")
    monkeypatch.setenv("ALCYON_LEARN__RETRAIN_EVERY_DAYS", "900")
    found = copied(home)
    run_to(found, DECIDED)
    return found


def report(capsys: pytest.CaptureFixture[str], *given: object) -> dict[str, object]:
    capsys.readouterr()
    assert run("learn", "--once", "--json", *given) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def labels_file(file: Path, ids: list[str]) -> Path:
    columns = {
        "label_id": [f"f{k}" for k in range(len(ids))],
        "transaction_id": ids,
        "is_fraud": [True] * len(ids),
        "source": ["chargeback"] * len(ids),
        "labelled_at": pa.array([1_735_689_600_000] * len(ids), pa.timestamp("ms", "UTC")),
    }
    pq.write_table(pa.table(columns), file)
    return file


def test_once_reads_the_demo_to_its_end_and_reports(
    place: DemoPlace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = report(capsys)
    assert (found["decisions"], found["other_catalog"], found["challenger"]) == (DECIDED, 0, "none")
    assert found["published"] is None  # nothing was due
    assert len(str(found["champion"])) == 16
    file = labels_file(tmp_path / "l.parquet", ["nobody", "knows", "these"])
    before = found["unknown_labels"]
    assert isinstance(before, int)
    assert report(capsys, "--labels", file)["unknown_labels"] == before + 3
    assert run("learn", "--once") == 0
    assert f"{DECIDED:,}" in capsys.readouterr().out


def test_all_labels_of_a_file_wait_for_their_payments_however_many_they_are(
    place: DemoPlace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = report(capsys)["unknown_labels"]
    assert isinstance(before, int)
    with closing(EmbeddedCommits(place.decisions)) as commits:
        (decided, *_) = decode(commits.read(0, 10**6)[-1].decisions)
    others = [f"of-another-bank-{k}" for k in range(Bounds.waiting_max)]
    file = labels_file(tmp_path / "l.parquet", [decided.transaction_id, *others])
    assert report(capsys, "--labels", file)["unknown_labels"] == before + len(others)


def test_a_labels_file_that_cannot_be_read_is_told_and_nothing_is_learnt(
    place: DemoPlace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    half = labels_file(tmp_path / "l.parquet", ["a"])
    half.write_bytes(half.read_bytes()[:-40])
    for file, complaint in ((tmp_path / "none.parquet", "no such file"), (half, "l.parquet")):
        capsys.readouterr()
        assert run("learn", "--once", "--labels", file) == 1
        said = capsys.readouterr()
        assert complaint in said.err
        assert "Traceback" not in said.err
        assert said.out == ""


def test_without_logs_it_is_one_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "start alcyon serve or alcyon demo first" in refused(capsys, "learn", "--once")


def test_it_follows_a_worker_until_it_is_stopped(
    broker: Broker, of_broker: dict[str, object], start: Start
) -> None:
    worker = start(of_broker)
    worker.line("worker started")
    send(broker, 0, 30)
    worker.comes_to(33)
    learner = start(of_broker, command="learn")
    until(lambda: learner.metric("learner_decisions_total") == 30)
    assert learner.get("/readyz")[0] == 200
    assert learner.metric("learner_promotions_total") == 0
    send(broker, 30, 5)
    until(lambda: learner.metric("learner_history_rows") == 35)
    assert learner.stop() == 0
    assert worker.stop() == 0


def test_a_broker_that_is_away_is_one_line_and_it_waits(start: Start) -> None:
    learner = start({"KAFKA__BOOTSTRAP": "127.0.0.1:1"}, command="learn")
    assert "127.0.0.1:1" in learner.line("learner waits")["why"]
    assert learner.get("/healthz")[0] == 200
    assert learner.metric("learner_away_bool") == 1
    assert learner.stop() == 0
    assert len(learner.lines("learner waits")) == 1
