"""`alcyon keys`, `users`, `audit` and `proposals`"""

from __future__ import annotations

import io
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from alcyon.cli.opening.offices import FILES, office
from alcyon.cli.showing.options import settings
from alcyon.domain.office.access import Role
from alcyon.io.log import EmbeddedDecisions
from alcyon.io.office import SqlOffice
from tests.cli.running import refused, run
from tests.contracts.officing import PASSWORD, person
from tests.receiving import Receiver, receiver
from tests.runners.test_case_opening import Run

Capsys = pytest.CaptureFixture[str]
GROUPS = ("keys", "users", "audit", "proposals")


@pytest.fixture
def kept() -> Iterator[SqlOffice]:
    """The office that the commands work on."""
    with closing(office(settings())) as made:
        yield made


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """What comes on stdin, which is no terminal."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.mark.parametrize("name", GROUPS)
def test_each_command_of_a_group_shows_an_example(name: str, capsys: Capsys) -> None:
    commands = import_module(f"alcyon.cli.{name}").COMMANDS
    for command, (_, line) in commands.items():
        assert run(name, command, "--help") == 0
        shown = capsys.readouterr().out
        assert f"    alcyon {name} {command}" in shown
        assert line.removesuffix(".") in " ".join(shown.split())


def test_a_key_is_the_only_thing_on_stdout_and_it_works(capsys: Capsys, kept: SqlOffice) -> None:
    given = ("keys", "create", "--role", "ingest", "--note", "shop", "--expires-days", 90)
    assert run(*given) == 0
    out = capsys.readouterr().out
    caller = kept.caller_of_key(out.removesuffix("\n"))
    assert caller is not None
    assert (caller.role, "\n" in out.removesuffix("\n")) == (Role.INGEST, False)
    assert run("keys", "list", "--json") == 0
    (key,) = json.loads(capsys.readouterr().out)
    assert (key["note"], key["role"], "secret_hash" in key) == ("shop", "ingest", False)
    assert key["expires_at"] - key["created_at"] == pytest.approx(90 * 86_400_000, abs=60_000)
    assert run("keys", "revoke", key["key_id"]) == 0
    with closing(office(settings())) as again:
        assert again.caller_of_key(out.strip()) is None


def test_the_last_line_of_a_pipe_is_the_key(home: Path) -> None:
    command = [sys.executable, "-m", "alcyon.cli", "keys", "create", "--role", "viewer"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].startswith("alc_")
    assert (home / "office.sqlite").is_file()


def test_bad_keys_are_refused(capsys: Capsys) -> None:
    assert "role" in refused(capsys, "keys", "create", "--role", "root")
    assert "1 to" in refused(capsys, "keys", "create", "--role", "ingest", "--expires-days", 0)
    assert "no key" in refused(capsys, "keys", "revoke", "x")


def test_a_user_is_added_by_stdin_and_disabled(
    capsys: Capsys, kept: SqlOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, PASSWORD + "\nsecond line\n")
    assert run("users", "add", "ada", "--role", "lead") == 0
    assert PASSWORD not in "".join(capsys.readouterr())
    secret = kept.log_in("ada", PASSWORD, "")
    assert secret is not None
    made, _ = kept.create_key(person("ada", Role.ADMIN), Role.INGEST, "", None)
    assert run("users", "disable", "ada") == 0
    assert made.split("_")[1] in capsys.readouterr().err, "her keys go on, which is said"
    assert kept.caller_of_session(secret) is None
    assert run("users", "list", "--json") == 0
    (user,) = json.loads(capsys.readouterr().out)
    assert (user["name"], user["role"], user["disabled_at"] is None) == ("ada", "lead", False)
    assert "password" not in str(user)


def test_bad_users_are_refused(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "")
    assert "stdin" in refused(capsys, "users", "add", "ada", "--role", "lead")
    typed(monkeypatch, "short\n")
    assert "12" in refused(capsys, "users", "add", "ada", "--role", "lead")
    assert "no user" in refused(capsys, "users", "disable", "ada")
    assert "password" in refused(capsys, "users", "add", "ada", "--role", "lead", "--password", "x")


def test_the_audit_log_is_shown_and_checked(capsys: Capsys, home: Path) -> None:
    for _ in range(3):
        assert run("keys", "create", "--role", "ingest") == 0
    capsys.readouterr()
    assert run("audit", "show", "--limit", 2, "--json") == 0
    entries = json.loads(capsys.readouterr().out)
    assert [entry["number"] for entry in entries] == [3, 2]
    assert run("audit", "verify", "--json") == 0
    verified = json.loads(capsys.readouterr().out)
    assert (verified["audit"]["count"], verified["decisions"]) == (3, None)
    with closing(sqlite3.connect(home / "office.sqlite")) as connection:
        connection.execute("DROP TRIGGER audit_has_no_update")
        connection.execute("UPDATE audit SET by = 'eve' WHERE number = 2")
        connection.commit()
    assert run("audit", "verify") == 1
    assert "entry 2 was changed" in capsys.readouterr().err
    assert "1 to" in refused(capsys, "audit", "show", "--limit", 0)


@pytest.fixture
def decided(home: Path) -> Iterator[Run]:
    """Decisions in the home's logs, sealed."""
    with closing(Run(home)) as made:
        for i in range(4):
            made.commit((f"t{i}", "c1", "REVIEW", 1), (f"u{i}", "c2", "APPROVE", 1))
        with closing(office(settings(), FILES)) as kept:
            while made.opening(kept).step():
                pass
        yield made


def _rewritten(home: Path, run: Run, index: int, change: Any) -> None:
    """The decisions log anew, with one commit's decisions changed."""
    for file in (home / "decisions").iterdir():
        file.unlink()
    with closing(EmbeddedDecisions(home / "decisions", "never")) as log:
        for i, commit in enumerate(run.commits):
            import msgspec

            if i == index:
                commit = msgspec.structs.replace(commit, decisions=change(commit.decisions))  # noqa: PLW2901
            log.append(commit)


def test_decisions_are_checked_against_their_seals(
    capsys: Capsys, home: Path, decided: Run
) -> None:
    assert run("audit", "verify", "--json") == 0
    verified = json.loads(capsys.readouterr().out)
    assert (verified["seals"]["count"], verified["decisions"]["count"]) == (4, 4)
    _rewritten(home, decided, 2, lambda d: (d[0].replace(b"REVIEW", b"APPROV"), d[1]))
    assert run("audit", "verify") == 1
    assert "commit 2: its decision 0 was changed" in capsys.readouterr().err
    _rewritten(home, decided, 1, lambda d: d[:1])
    assert run("audit", "verify") == 1
    assert "commit 1: it holds 1 decisions, 2 were sealed" in capsys.readouterr().err


def test_an_erased_decision_leaves_the_chain_valid(
    capsys: Capsys, home: Path, decided: Run
) -> None:
    _rewritten(home, decided, 1, lambda d: (b"", d[1]))
    assert run("audit", "verify", "--json") == 0
    verified = json.loads(capsys.readouterr().out)
    assert verified["decisions"] == verified["decisions"] | {"count": 4, "broken": None}


def test_what_was_cut_off_the_decisions_log_is_found(
    capsys: Capsys, home: Path, decided: Run
) -> None:
    decided.commits.pop()
    _rewritten(home, decided, -1, None)
    assert run("audit", "verify") == 1
    assert "ends before commit 3" in capsys.readouterr().err


@pytest.fixture
def serving() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def test_proposals_are_asked_of_the_api_as_somebody_who_signs_in(
    capsys: Capsys, serving: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, PASSWORD)
    serving.answers = [200, 403]
    given = ("proposals", "approve", "5f0c2a9e", "--user", "ada", "--url", serving.url)
    assert "answers 403" in refused(capsys, *given)
    paths = [posted.path for posted in serving.posted]
    assert paths[:2] == ["/v1/session", "/v1/proposals/5f0c2a9e/decide"]
    assert json.loads(serving.posted[0].body) == {"name": "ada", "password": PASSWORD}
    typed(monkeypatch, PASSWORD)
    assert "no proposal" in refused(
        capsys, "proposals", "approve", "../x", "--user", "ada", "--url", serving.url
    )
    typed(monkeypatch, PASSWORD)
    nowhere = ("proposals", "list", "--user", "ada", "--url", "http://127.0.0.1:1")
    assert "start alcyon serve" in refused(capsys, *nowhere)


def test_wrong_channels_are_told_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    from contextlib import ExitStack

    from alcyon.cli.opening.offices import channels
    from alcyon.domain.errors import SettingsError

    monkeypatch.setenv("ALCYON_DELIVERY__SLACK_URL", "https://evil.example/services/geheim")
    with ExitStack() as files, pytest.raises(SettingsError, match=r"delivery\.hosts") as failed:
        channels(settings(), files)
    assert "geheim" not in str(failed.value)
    monkeypatch.setenv("ALCYON_DELIVERY__WEBHOOK_URL", "https://hooks.slack.com/x")
    assert "webhook_secret" in refused(capsys, "keys", "list")
    monkeypatch.setenv("ALCYON_DELIVERY__WEBHOOK_SECRET", "secret")
    monkeypatch.setenv("ALCYON_DELIVERY__HOSTS", '["hooks.slack.com", "evil.example"]')
    with ExitStack() as files, pytest.raises(SettingsError, match="whsec_"):
        channels(settings(), files)
    monkeypatch.delenv("ALCYON_DELIVERY__WEBHOOK_URL")
    with ExitStack() as files:
        assert [channel.target for channel in channels(settings(), files)] == ["slack"]


def test_what_closing_writes_reaches_the_homes_logs(home: Path, decided: Run) -> None:
    from contextlib import ExitStack

    from alcyon.cli.opening.offices import resolutions_channel
    from alcyon.domain.office.delivery import Channel
    from alcyon.domain.record import Topic
    from alcyon.io.log.resolutions import resolutions
    from alcyon.runners.serving.delivering import Appending, Delivering, Moving

    with ExitStack() as files:
        kept = files.enter_context(closing(office(settings())))
        (case,) = kept.cases(None, None, None, 9).items
        kept.close_case(person("ada"), case.case_id, "fraud", "cancel", "")
        labels = list[bytes]()

        def append(payloads: Sequence[bytes]) -> None:
            decided.intake.append(Topic.LABELS, payloads)
            labels.extend(payloads)

        moved: dict[str, str] = {}

        def move(ids: Sequence[str], status: str) -> int:
            moved.update(dict.fromkeys(ids, status))
            return len(ids)

        to_log = resolutions_channel(settings(), files)
        channels: list[Channel] = [Moving(move), Appending("labels", append), to_log]
        assert Delivering(kept.outbox, channels).step() == 3
    assert moved == {f"t{i}": "closed" for i in range(4)}
    assert len(labels) == len(resolutions(home / "resolutions")) == 4
