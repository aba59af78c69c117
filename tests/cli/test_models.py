"""`alcyon models`"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from alcyon.cli.opening.offices import office
from alcyon.cli.showing.options import settings
from alcyon.codecs.decisions import decode
from alcyon.domain.moves import MoveState, Wanted
from alcyon.domain.office.access import Role
from alcyon.io.kafka.control import control_payloads
from alcyon.io.log import EmbeddedCommits
from alcyon.io.model_folder import FolderRegistry
from alcyon.runners.demo.place import DemoPlace, only_one
from tests.cli.conftest import World
from tests.cli.run_process import WORKER, Start, send
from tests.cli.running import refused, run
from tests.contracts.officing import PASSWORD, SHELL
from tests.kafka import Broker
from tests.models import damaged
from tests.runners.demoing import copied, run_to

Capsys = pytest.CaptureFixture[str]
Ask = Callable[..., Any]


@pytest.fixture(scope="session")
def other(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model of the same catalog."""
    folder = tmp_path_factory.mktemp("other") / "m"
    given = ("--input", world.transactions, "--labels", world.labels, "--members", "xgboost")
    assert run("train", *given, "--label-delay", "5d", "--seed", 8, "--out", folder) == 0
    return folder


@pytest.fixture
def ask(capsys: Capsys) -> Ask:
    """What `alcyon models … --json` prints."""

    def asked(*arguments: object) -> Any:
        capsys.readouterr()
        assert run("models", *arguments, "--json") == 0
        return json.loads(capsys.readouterr().out)

    return asked


def version(folder: Path) -> str:
    """As a decision names it."""
    digest = json.loads((folder / "manifest.json").read_text())["model_sha256"]
    assert isinstance(digest, str)
    return digest[:16]


def test_each_command_shows_an_example(capsys: Capsys) -> None:
    from alcyon.cli.models import COMMANDS

    for name in COMMANDS:
        assert run("models", name, "--help") == 0
        assert f"    alcyon models {name}" in capsys.readouterr().out


def test_what_is_registered_is_listed_with_its_figures(
    model: Path, home: Path, ask: Ask, capsys: Capsys
) -> None:
    assert ask("list") == []
    assert ask("register", model)["name"] == version(model)
    assert ask("register", model)["name"] == version(model)
    (listed,) = ask("list")
    manifest = json.loads((model / "manifest.json").read_text())
    assert listed["model"]["metrics"] == manifest["metrics"]
    assert listed["aliases"] == []
    assert ask("show", version(model)) == listed | {"moves": []}
    assert run("models", "show", version(model)) == 0
    assert "average precision" in capsys.readouterr().out
    assert run("models", "list") == 0
    said = capsys.readouterr()
    assert version(model) in said.out
    assert f"1 in the models in {home / 'models'}" in said.err


def test_what_is_not_fit_is_refused_in_one_line(
    model: Path, tmp_path: Path, ask: Ask, capsys: Capsys
) -> None:
    for kind, said in {
        "corrupt": "hash differs",
        "nan": "not finite",
        "external": "another file",
    }.items():
        bad = damaged(kind, tmp_path / kind, model)
        assert said in refused(capsys, "models", "register", bad)
    other_catalog = ("models", "register", model, "--catalog", "handbook")
    assert "this is catalog" in refused(capsys, *other_catalog)
    none = tmp_path / "none"
    assert f"there is no manifest.json in {none}" in refused(capsys, "models", "register", none)
    assert "no name" in refused(capsys, "models", "register", model, "--name", "a/b")
    assert ask("list") == []


def test_without_a_worker_there_is_nobody_to_tell(
    model: Path, home: Path, ask: Ask, capsys: Capsys
) -> None:
    name = ask("register", model)["name"]
    assert "nobody to tell" in refused(capsys, "models", "promote", name)
    assert "there is no model m9" in refused(capsys, "models", "promote", "m9")
    assert "no champion before" in refused(capsys, "models", "roll-back")
    assert "no challenger yet" in refused(capsys, "models", "promote", "challenger")
    assert "there is no model m9" in refused(capsys, "models", "show", "m9")
    assert FolderRegistry(home / "models").moves("champion") == []


def demo_versions(place: DemoPlace) -> list[str]:
    """Of the decisions so far, by sequence."""
    with closing(EmbeddedCommits(place.decisions)) as log:
        decisions = decode([d for commit in log.read(0, 10**6) for d in commit.decisions])
    return [decision.versions.model for decision in decisions]


def test_the_demo_decides_by_what_was_promoted_and_rolled_back(
    model: Path, home: Path, ask: Ask, capsys: Capsys
) -> None:
    place = copied(home)
    first = version(place.models / "card-1")
    run_to(place, 300)
    name = ask("register", model, "--name", "new")["name"]
    with only_one(place.folder):
        assert "another demo is running" in refused(capsys, "models", "promote", name)
    move = ask("promote", name, "--by", "ada", "--why", "better")
    assert not (home / "office.sqlite").exists()  # nobody was there who could approve it
    assert set(move["wanted"]["evidence"]) == {"card-1", "new"}
    run_to(place, 600)
    assert ask("roll-back")["wanted"]["model"] == "card-1"
    run_to(place, 900)
    assert demo_versions(place) == [first] * 300 + [version(model)] * 300 + [first] * 300
    shown = ask("show", "champion")
    assert shown["model"]["name"] == "card-1"
    assert [m["wanted"]["kind"] for m in shown["moves"]] == ["promote", "roll_back"]
    assert run("models", "show", "champion") == 0
    assert "roll back" in capsys.readouterr().out


def test_where_there_is_a_lead_nobody_promotes_alone(
    model: Path, home: Path, ask: Ask, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = copied(home)
    ask("register", model, "--name", "new")
    with closing(office(settings())) as kept:
        kept.add_user(SHELL, "ada", PASSWORD, Role.ANALYST)
        assert run("models", "promote", "new") == 0
        assert "nobody had to approve it" in capsys.readouterr().err
        kept.add_user(SHELL, "leo", PASSWORD, Role.LEAD)
        for command in (("promote", "card-1"), ("roll-back",)):
            assert "another person must approve" in refused(capsys, "models", *command)
        kept.change_user(SHELL, "leo", role=None, is_disabled=True)
        assert "another person must approve" in refused(capsys, "models", "promote", "card-1")
    assert "say --why" in refused(capsys, "models", "roll-back", "--user", "ada")
    moves = FolderRegistry(place.models).moves("champion")
    assert [move.wanted.model for move in moves] == ["card-1", "new"]


def test_a_promotion_that_was_broken_off_is_told(
    model: Path, home: Path, ask: Ask, capsys: Capsys
) -> None:
    place = copied(home)
    ask("register", model, "--name", "new")
    registry = FolderRegistry(place.models)
    move = registry.begin_move(Wanted("champion", "new", 1, by="bob"))
    assert "being moved to new by bob" in refused(capsys, "models", "promote", "new")
    assert run("models", "list") == 0
    assert "champion is being moved to new, or that was broken off" in capsys.readouterr().err
    registry.end_move(move, MoveState.FAILED)
    assert ask("promote", "new")["number"] == 3


def test_two_models_are_compared_on_what_neither_has_seen(
    model: Path, other: Path, world: World, ask: Ask, capsys: Capsys
) -> None:
    ask("register", model, "--name", "one")
    given = ("--input", world.transactions, "--labels", world.labels, "--label-delay", "5d")
    found = ask("compare", "one", other, *given, "--draws", 50)
    assert found["names"] == ["one", str(other)]
    cells = [n for row in found["agreement"].values() for n in row.values()]
    assert sum(cells) == found["transactions"]
    assert run("evaluate", "--model", model, *given, "--json") == 0
    judged = json.loads(capsys.readouterr().out)
    assert found["frauds"] == judged["frauds"]
    first, blend = found["first"], judged["rows"][0]["ranking"]
    assert first["average_precision"]["value"] == pytest.approx(blend["average_precision"])
    assert first["money_lost_minor"]["value"] == pytest.approx(judged["money"]["lost_minor"])
    assert run("models", "compare", "one", other, *given, "--draws", 50) == 0
    said = capsys.readouterr()
    assert "average precision" in said.out
    assert "simulated" in said.err


def versions_of(broker: Broker, alias: str = "model") -> list[str]:
    """By sequence."""
    with closing(broker.commits()) as log:
        commits = log.read(0, 500) if log.last() else []
    decisions = decode([d for commit in commits for d in commit.decisions])
    return [getattr(decision.versions, alias) for decision in decisions]


@pytest.fixture
def named(of_broker: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Settings of this test's topics, in this process too."""
    for name, value in of_broker.items():
        monkeypatch.setenv(f"ALCYON_{name}", str(value))
    return of_broker


def test_a_running_worker_takes_what_is_promoted(
    model: Path,
    other: Path,
    broker: Broker,
    named: dict[str, object],
    start: Start,
    ask: Ask,
    capsys: Capsys,
) -> None:
    old = ask("register", model)["name"]
    assert "start alcyon run --model first" in refused(capsys, "models", "promote", old)
    worker = start(named, *WORKER, "--model", str(model))
    worker.line("worker started")
    send(broker, 0, 5)
    worker.comes_to(4 + 5)
    new = ask("register", other, "--alias", "challenger")["name"]
    send(broker, 5, 5)
    worker.comes_to(4 + 5 + 1 + 5)
    assert ask("promote", "challenger")["wanted"]["model"] == new
    send(broker, 10, 5)
    worker.comes_to(4 + 5 + 1 + 5 + 1 + 5)
    ask("roll-back")
    send(broker, 15, 5)
    worker.comes_to(4 + 5 + 1 + 5 + 1 + 5 + 1 + 5)
    assert worker.stop() == 0
    assert versions_of(broker) == [old] * 10 + [new] * 5 + [old] * 5
    assert versions_of(broker, "challenger") == ["none"] * 5 + [new] * 15
    assert len(control_payloads(broker.connection, broker.names)) == 4 + 3
    aliases = {m["model"]["name"]: m["aliases"] for m in ask("list")}
    assert aliases == {old: ["champion"], new: ["challenger"]}


def test_a_damaged_registry_is_one_line(model: Path, home: Path, ask: Ask, capsys: Capsys) -> None:
    ask("register", model)
    shutil.rmtree(home / "models")
    (home / "models").touch()
    assert "see to the disk" in refused(capsys, "models", "register", model)
