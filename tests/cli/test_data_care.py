"""`alcyon backup`, `restore`, `retention` and `erase`"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest

from alcyon.cli.opening.logs import log_files
from alcyon.cli.opening.offices import FILES, office
from alcyon.cli.showing.options import settings
from alcyon.domain.columns import Strings
from alcyon.domain.control import (
    AddToList,
    Control,
    ForgetEntity,
    RemoveFromList,
    SetRules,
    decode_control,
    encode_control,
)
from alcyon.domain.decision import Decision
from alcyon.domain.record import Topic
from alcyon.domain.tokens import TokenKeys
from alcyon.features.transfer import id_key
from alcyon.io.kafka.control import control_payloads
from alcyon.io.sqlite import SqliteStore
from alcyon.runners.care.erasing import stored_value
from tests.cli.running import refused, run
from tests.contracts.storing import decision, projected, transactions_of
from tests.kafka import Broker
from tests.runners.test_case_opening import Run

Capsys = pytest.CaptureFixture[str]
NUMBER = "4111111111111111"
DAY_MS = 86_400_000
LOGS = ("decisions", "intake")


def token() -> str:
    keys: TokenKeys = settings().token.keys()
    return stored_value(NUMBER, keys)


@pytest.fixture
def filled(home: Path) -> Path:
    """A home with both logs, sealed; four payments of the card, four of another, 40 days old."""
    with closing(Run(home)) as made:
        for i in range(4):
            made.commit((f"t{i}", token(), "REVIEW", 1), (f"u{i}", "c2", "APPROVE", 1))
        with closing(office(settings(), FILES)) as kept:
            while made.opening(kept).step():
                pass
    at = round(time.time() * 1000) - 40 * DAY_MS
    decisions = [
        replace_time(decision(500 + i, f"{'tu'[i % 2]}{i // 2}", "REVIEW"), at) for i in range(8)
    ]
    batch = transactions_of(decisions)
    cards = Strings.from_list([token() if i % 2 == 0 else "c2" for i in range(8)])
    one = projected(0, decisions, [type(batch)({**batch.columns, "card_id": cards})])
    labels = type(one.labels)({**one.labels.columns, "labelled_at": np.array([at], np.int64)})
    with closing(SqliteStore(home / "alcyon.sqlite")) as store:
        store.write(replace(one, labels=labels))
    return home


def replace_time(made: Decision, at: int) -> Decision:
    return msgspec.structs.replace(made, event_time=at)


def counted(home: Path, table: str) -> int:
    with closing(sqlite3.connect(home / "alcyon.sqlite")) as store:
        return int(store.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_home_is_backed_up_checked_and_restored(
    filled: Path, tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "b"
    assert run("backup", "--to", folder, "--json") == 0
    said = capsys.readouterr()
    manifest = json.loads(said.out)
    assert manifest["store"] == "sqlite"
    assert "token.key" in said.err
    assert run("backup", "--verify", folder) == 0
    assert "is whole" in capsys.readouterr().err
    secret = settings().token.key.get_secret_value().encode()
    assert not any(secret in p.read_bytes() for p in folder.rglob("*") if p.is_file())
    assert "is there already" in refused(capsys, "backup", "--to", folder)
    assert "not empty" in refused(capsys, "restore", "--from", folder)
    monkeypatch.setenv("ALCYON_HOME", str(tmp_path / "new"))
    assert "is no file" in refused(
        capsys, "restore", "--from", folder, "--erasures", tmp_path / "x"
    )
    assert run("restore", "--from", folder) == 0
    for log in LOGS:
        segments = [p.name for p in (filled / log).glob("*.segment")]
        assert segments
        for name in segments:
            assert (tmp_path / "new" / log / name).read_bytes() == (
                filled / log / name
            ).read_bytes()
    assert run("audit", "verify") == 0
    assert "whole" in capsys.readouterr().err


def test_one_of_two_is_wanted(capsys: Capsys, tmp_path: Path) -> None:
    assert "either" in refused(capsys, "backup")
    assert "either" in refused(capsys, "backup", "--to", tmp_path / "a", "--verify", tmp_path / "b")
    assert "no backup" in refused(capsys, "backup", "--verify", tmp_path)
    assert "nothing in" in refused(capsys, "backup", "--to", tmp_path / "a")


def test_retention_shows_then_removes_and_tells_the_audit_log(filled: Path, capsys: Capsys) -> None:
    assert run("retention", "--older-than", "30d", "--dry-run", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["rows"]["transactions"], shown["is_dry_run"]) == (8, True)
    assert counted(filled, "transactions") == 8
    assert run("retention", "--older-than", "50d") == 0
    assert counted(filled, "transactions") == 8
    assert run("retention", "--older-than", "30d", "--json") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == shown["rows"]
    tables = ("transactions", "decisions", "labels", "alerts")
    assert [counted(filled, t) for t in tables] == [0] * 4
    assert run("audit", "show", "--limit", 1, "--json") == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert (entry["what"], entry["detail"]["transactions"]) == ("retention", 8)
    assert "--older-than" in refused(capsys, "retention", "--older-than", "soon")


def test_a_card_number_is_erased_and_the_chain_holds(filled: Path, capsys: Capsys) -> None:
    assert "--yes" in refused(capsys, "erase", NUMBER)
    assert counted(filled, "transactions") == 8
    assert run("erase", NUMBER, "--yes", "--json") == 0
    said = capsys.readouterr()
    (told,) = json.loads(said.out)
    assert (told["rows"]["transactions"], told["case_alerts"], told["topics_until"]) == (4, 4, None)
    assert "embedded log" in said.err
    assert token() not in said.out + said.err
    kept = [p for p in filled.rglob("*") if p.is_file() and p.parent.name not in LOGS]
    assert [p.name for p in kept if token().encode() in p.read_bytes()] == []
    assert [p.name for p in kept if NUMBER.encode() in p.read_bytes()] == []
    assert run("audit", "verify") == 0
    assert "whole" in capsys.readouterr().err
    payloads = log_files(settings()).control_payloads()
    assert isinstance(decode_control(payloads[-1]), ForgetEntity)
    assert run("erase", "--again") == 0
    assert "0 ids" in capsys.readouterr().err


def test_an_id_that_a_list_or_a_rule_names_is_refused_until_it_is_taken_out(
    filled: Path, capsys: Capsys
) -> None:
    """To take it out changes what is decided, so another person has to approve that."""

    def append(*controls: Control) -> None:
        with closing(log_files(settings()).open_intake()) as intake:
            intake.append(Topic.CONTROL, [encode_control(control) for control in controls])

    rule = f"when = \"card_id = '{token()}'\""
    append(
        AddToList("block", "card_id", token()), AddToList("watch", "card_id", token(), 1),
        AddToList("watch", "card_id", "c2"), AddToList("allow", "card_id", token()),
        RemoveFromList("allow", "card_id", token()), SetRules(rule),
    )  # fmt: skip
    said = refused(capsys, "erase", NUMBER, "--yes")
    assert "the list block (card_id) and a rule would go on naming it" in said
    assert token() not in said
    assert counted(filled, "transactions") == 8
    assert not (filled / "erasures.json").exists()
    append(RemoveFromList("block", "card_id", token()), SetRules(""))
    assert run("erase", NUMBER, "--yes") == 0


def test_while_another_process_holds_the_intake_nothing_is_erased(
    filled: Path, capsys: Capsys
) -> None:
    with closing(log_files(settings()).open_intake()):
        assert "another process" in refused(capsys, "erase", NUMBER, "--yes")
    assert counted(filled, "transactions") == 8
    assert not (filled / "erasures.json").exists()


def test_an_office_that_cannot_be_opened_is_not_passed_over(
    filled: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra its cases would keep what is said to be erased."""
    monkeypatch.setitem(sys.modules, "alcyon.io.office", None)
    before = (filled / "alcyon.sqlite").read_bytes()
    assert "alcyon[api]" in refused(capsys, "erase", NUMBER, "--yes")
    assert (filled / "alcyon.sqlite").read_bytes() == before
    assert not (filled / "erasures.json").exists()


def test_what_cannot_be_erased_is_refused(capsys: Capsys) -> None:
    assert "--again" in refused(capsys, "erase")
    assert "--again" in refused(capsys, "erase", "c1", "--again")
    assert "name an id" in refused(capsys, "erase", " ", "--yes")


def test_over_a_broker_the_worker_is_told_and_the_topics_let_go_of_it(
    broker: Broker, of_broker: dict[str, object], capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in of_broker.items():
        monkeypatch.setenv(f"ALCYON_{name}", str(value))
    assert run("erase", "c1", "--yes") == 0  # nothing was ever decided: nobody is to be told
    assert control_payloads(broker.connection, broker.names) == []
    with broker.intake() as intake:
        intake.append(Topic.CONTROL, [encode_control(SetRules(""))])
    capsys.readouterr()
    begin = time.time()
    assert run("erase", "c1", "--yes", "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)
    until = datetime.fromisoformat(told["topics_until"]).timestamp()
    assert begin + 3540 < until < time.time() + 3601, "its topics keep records for an hour"
    _, last = control_payloads(broker.connection, broker.names)
    assert decode_control(last) == ForgetEntity(*id_key("c1"))
