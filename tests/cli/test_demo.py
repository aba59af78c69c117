"""`alcyon demo` and `alcyon replay`."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from itertools import groupby
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from alcyon.cli.showing.live import drawn, line
from alcyon.domain.commit import Commit
from alcyon.domain.decision import Reason
from alcyon.io.log import EmbeddedCommits, EmbeddedDecisions
from alcyon.io.sqlite.newest import AlertRow
from alcyon.runners.demo.latencies import Percentiles
from alcyon.runners.demo.place import DemoPlace, only_one
from alcyon.runners.demo.scoreboard import Figures
from alcyon.runners.demo.view import View, alert_line
from tests.cli.running import refused, run
from tests.runners.demoing import copied

KEYS = {
    "transactions", "decisions", "alerts", "dead_letters", "recall", "false_positive_rate",
    "fraud_amount_minor", "fraud_amount_stopped_minor", "latency_ms", "transactions_per_second",
}  # fmt: skip


@pytest.fixture
def place(home: Path) -> DemoPlace:
    return copied(home)


def outcome(capsys: pytest.CaptureFixture[str], transactions: int) -> dict[str, object]:
    capsys.readouterr()
    assert run("demo", "--transactions", transactions, "--exit", "--json") == 0
    said = capsys.readouterr()
    found: dict[str, object] = json.loads(said.out)
    return found


def test_full_speed_prints_one_object_and_nothing_else(
    place: DemoPlace, capsys: pytest.CaptureFixture[str]
) -> None:
    found = outcome(capsys, 1_500)
    assert set(found) == KEYS
    assert isinstance(found["latency_ms"], dict)
    assert set(found["latency_ms"]) == {"p50", "p95", "p99"}
    with closing(sqlite3.connect(place.store)) as store:
        ((count, alerts),) = store.execute(
            "SELECT count(*), (SELECT count(*) FROM alerts) FROM decisions"
        ).fetchall()
    assert (found["transactions"], found["decisions"], found["alerts"]) == (1_500, count, alerts)


def test_replay_finds_no_difference_and_then_the_one_that_was_made(
    place: DemoPlace, capsys: pytest.CaptureFixture[str]
) -> None:
    for end in (300, 700, 1_200):  # the worker keeps two snapshots: the first is gone
        outcome(capsys, end)
    assert run("replay", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["compared"], found["differing"]) == (1_200, 0)
    with closing(EmbeddedCommits(place.decisions)) as log:
        commits = log.read(0, 64)
    decision = json.loads(next(c for c in commits if c.decisions).decisions[7])
    assert run("replay", decision["transaction_id"]) == 0
    assert "1 decisions compared, 0 differ" in capsys.readouterr().err
    sequence = decision["sequence"]
    within = range(sequence, sequence + 10)  # labels lie among them, as they happen to be given
    every = (json.loads(made)["sequence"] for commit in commits for made in commit.decisions)
    expected = sum(one in within for one in every)
    assert run("replay", "--from", within[0], "--to", within[-1], "--json") == 0
    assert json.loads(capsys.readouterr().out)["compared"] == expected
    tamper(place.decisions, commits, decision["transaction_id"])
    assert run("replay", "--json") == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["sequences"] == [sequence]
    assert "action differ" in said.err


def tamper(folder: Path, commits: list[Commit], transaction_id: str) -> None:
    """Write the log anew, one decision turned round."""
    shutil.rmtree(folder)
    for _, of_one_worker in groupby(commits, key=lambda commit: commit.epoch):
        with closing(EmbeddedDecisions(folder)) as log:
            for commit in of_one_worker:
                decisions = [
                    d.replace(b'"APPROVE"', b'"DECLINE"') if transaction_id.encode() in d else d
                    for d in commit.decisions
                ]
                log.append(msgspec.structs.replace(commit, decisions=tuple(decisions)))


def test_replay_says_what_it_cannot_do_in_one_line(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "start alcyon demo first" in refused(capsys, "replay")
    copied(home)
    assert run("demo", "--transactions", 10, "--exit") == 0
    assert "never decided" in refused(capsys, "replay", "t-unknown")
    assert "behind" in refused(capsys, "replay", "--from", 9, "--to", 8)
    assert "either" in refused(capsys, "replay", "t-1", "--from", 9)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--exit",), "go together"),
        (("--transactions", "5"), "go together"),
        (("--transactions", "0", "--exit"), "1 or more"),
        (("--rate", "0"), "--rate"),
        (("--seed", "4"), "has seed 3"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    place: DemoPlace, capsys: pytest.CaptureFixture[str], given: tuple[str, ...], said: str
) -> None:
    assert said in refused(capsys, "demo", *given)


def test_two_demos_in_one_place_are_one_line(
    place: DemoPlace, capsys: pytest.CaptureFixture[str]
) -> None:
    with only_one(place.folder):
        assert "another demo is running" in refused(capsys, "demo", "--transactions", 5, "--exit")


def test_a_full_disk_is_one_line(place: DemoPlace) -> None:
    """A limit on the size of files stands for it: the system refuses to write further."""
    command = (
        f"ulimit -f 2000; exec {sys.executable} -m alcyon.cli demo --transactions 20000 --exit"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    lines = [text for text in done.stderr.splitlines() if text.startswith("alcyon:")]
    assert (done.returncode, len(lines), done.stdout) == (2, 1, ""), done.stderr
    assert "Traceback" not in done.stderr


def test_by_the_clock_it_says_a_line_and_ctrl_c_ends_it_cleanly(place: DemoPlace) -> None:
    command = [sys.executable, "-m", "alcyon.cli", "demo", "--rate", "100"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        first = running.stdout.readline()
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert "simulated data" in first
    assert running.returncode == 0, said
    assert "Ended and saved" in said
    assert "Traceback" not in said


def test_q_ends_it_in_a_terminal(place: DemoPlace) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(sys.executable, [sys.executable, "-m", "alcyon.cli", "demo", "--rate", "50"])
    said, is_asked, until = b"", False, time.monotonic() + 60
    while time.monotonic() < until:
        try:
            said += os.read(terminal, 65_536)
        except OSError:  # it has ended
            break
        if not is_asked and said.count(b"latency") > 4:
            os.write(terminal, b"q")
            is_asked = True
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, said.decode()[-2000:]
    assert b"Ended and saved" in said


ROW = AlertRow(
    5, 1_735_689_600_000, 1951, "KWD", "c00004078", "DECLINE", 930, ("card_testing",),
    ("card_testing",),
    (
        Reason("velocity_card_1h", "card_count_10m", 5.0, 1.2),
        Reason("new_device", "is_new_device", 1.0, 2.0),
        Reason("other_features", None, None, 9.0),
        Reason("base_rate", None, None, -4.0),
    ),
)  # fmt: skip


def view(**given: object) -> View:
    figures = Figures(
        20_000, {"APPROVE": 19_800, "REVIEW": 150, "DECLINE": 50}, 1, 100, 70, 19_900, 130,
        1_234_500, 987_600, 12_300.0,
    )  # fmt: skip
    alert = alert_line(ROW, {"card_testing": "Many small [payments]"})
    whole = View(
        61.0, 50.2, Percentiles(3.1, 4.8, 7.2), figures, [alert] * 8, 75.0, 2, "0123456789", []
    )
    return View(**{**vars(whole), **given})


def test_an_alert_says_rules_first_then_the_strongest_reasons_in_words() -> None:
    alert = alert_line(ROW, {"card_testing": "Many small payments"})
    assert alert.amount == "KWD 1.951"
    assert alert.reasons == (
        "Many small payments; The payment comes from a device the card is not known with"
    )


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits(width: int) -> None:
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(drawn(view(warnings=["no model decides"])))
    text = console.export_text()
    assert all(len(row) <= width for row in text.splitlines())
    for part in ("simulated data", "50.2 /s", "p99 7.2 ms", "declined 0.25%", "70.0%", "0.65%",
                 "EUR 9,876 of 12,345", "KWD 1.951", "Many small [payments]", "1 min old",
                 "! no model decides"):  # fmt: skip
        assert part in text, part


def test_before_the_first_decision_the_table_says_so() -> None:
    none = Figures(0, {}, 0, 0, 0, 0, 0, 0, 0, 0.0)
    empty = view(figures=none, alerts=[], per_second=None, latency=None, snapshot_age_s=None)
    console = Console(width=80, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(drawn(empty))
    text = console.export_text()
    assert "No alert yet" in text
    assert "no fraud yet" in text
    assert "no snapshot yet" in text
    assert "0 decided" in line(empty)
