"""`alcyon rules`"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from alcyon.detectors.loading import load_detector
from alcyon.domain.control import AddToList, SetRules, encode_control
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.record import Topic
from alcyon.io.log import EmbeddedIntake
from alcyon.runners.stream.in_force import bootstrap_controls
from alcyon.scoring.policy import Policy
from tests.cli.running import refused, run
from tests.kafka import Broker

Capsys = pytest.CaptureFixture[str]
CARD = load_detector("card").rules
OWN = CARD.replace('status = "shadow"', 'status = "off"')


def begun(folder: Path) -> None:
    """Logs in which the card detector's rules were set, then others."""
    controls = bootstrap_controls(CARD, Policy(), DEFAULT_RATES)
    controls += [encode_control(SetRules(OWN)), encode_control(AddToList("block", "card_id", "c"))]
    with closing(EmbeddedIntake(folder / "intake", "never")) as intake:
        intake.append(Topic.CONTROL, controls)


def test_each_command_shows_an_example(capsys: Capsys) -> None:
    from alcyon.cli.rules import COMMANDS

    for name in COMMANDS:
        assert run("rules", name, "--help") == 0
        assert f"    alcyon rules {name}" in capsys.readouterr().out


@pytest.mark.parametrize("where", [".", "demo"])
def test_what_is_in_force_is_shown_and_exported(
    where: str, home: Path, tmp_path: Path, capsys: Capsys
) -> None:
    begun(home / where)
    assert run("rules", "show") == 0
    told = capsys.readouterr()
    assert "card_testing" in told.out
    assert "1 entries on the lists" in told.err
    assert run("rules", "show", "--json") == 0
    in_force = json.loads(capsys.readouterr().out)
    assert run("rules", "export") == 0
    assert capsys.readouterr().out == in_force["rules_text"]
    assert run("rules", "export", "--out", tmp_path / "r.toml") == 0
    assert (tmp_path / "r.toml").read_text() == in_force["rules_text"]
    assert 'status = "off"' in in_force["rules_text"]
    assert run("rules", "check", tmp_path / "r.toml") == 0


def test_over_kafka_they_are_the_topics(
    broker: Broker, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALCYON_KAFKA__BOOTSTRAP", broker.connection.bootstrap)
    monkeypatch.setenv("ALCYON_KAFKA__CONTROL", broker.names.control)
    with broker.intake() as intake:
        intake.append(Topic.CONTROL, bootstrap_controls(OWN, Policy(), DEFAULT_RATES))
    assert run("rules", "export") == 0
    assert 'status = "off"' in capsys.readouterr().out


def test_where_nobody_decides_it_says_so(capsys: Capsys) -> None:
    assert "nothing decides in" in refused(capsys, "rules", "show")


def test_what_is_wrong_is_named_as_compilers_do(tmp_path: Path, capsys: Capsys) -> None:
    file = tmp_path / "r.toml"
    file.write_text(CARD.replace("card_small_amounts_1h >= 5", "card_smal_amounts_1h >= 5"))
    assert run("rules", "check", file) == 1
    told = capsys.readouterr().err.splitlines()
    line = CARD[: CARD.index("card_small_amounts_1h >= 5")].count("\n") + 1
    assert told[0].startswith(f"{file}:{line}:9: rule card_testing: unknown column")
    assert run("rules", "check", file, "--json") == 1
    (problem,) = json.loads(capsys.readouterr().out)
    assert (problem["rule"], problem["line"]) == ("card_testing", line)
    assert "cannot be read" in refused(capsys, "rules", "check", tmp_path / "none.toml")


@contextmanager
def serving(status: int, answer: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """A server that answers so to proposals, and what it was asked."""
    heard: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            heard.append((self.path, json.loads(self.rfile.read(size))))
            is_session = self.path.endswith("/session")
            body = json.dumps({} if is_session else answer).encode()
            self.send_response(201 if is_session else status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_DELETE(self) -> None:
            heard.append((self.path, "ended"))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", heard
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize("command", ["propose", "import"])
def test_a_file_is_proposed_by_whoever_signs_in(
    command: str, tmp_path: Path, capsys: Capsys
) -> None:
    (tmp_path / "r.toml").write_text(CARD)
    given = ("--why", "a look", "--user", "ada")
    with serving(201, {"proposal_id": "p1"}) as (url, heard):
        assert run("rules", command, tmp_path / "r.toml", *given, "--url", url) == 0
    assert "p1 waits for another person" in " ".join(capsys.readouterr().err.split())
    assert heard == [
        ("/v1/session", {"name": "ada", "password": "correct horse"}),
        ("/v1/proposals", {"kind": "rules", "change": {"text": CARD}, "why": "a look"}),
        ("/v1/session", "ended"),
    ]


@pytest.mark.usefixtures("password")
def test_what_the_server_refuses_is_one_line(tmp_path: Path, capsys: Capsys) -> None:
    (tmp_path / "r.toml").write_text(CARD)
    given = ("rules", "propose", tmp_path / "r.toml", "--why", "w", "--user", "ada", "--url")
    with serving(422, {"detail": "these are the rules in force"}) as (url, _):
        assert "these are the rules in force" in refused(capsys, *given, url)


@pytest.mark.usefixtures("password")
def test_nobody_serves(tmp_path: Path, capsys: Capsys) -> None:
    (tmp_path / "r.toml").write_text(CARD)
    given = ("--why", "w", "--user", "ada", "--url", "http://127.0.0.1:1")
    assert "start alcyon serve" in refused(capsys, "rules", "propose", tmp_path / "r.toml", *given)
