"""Over HTTP, all parts real: what one proposes and another approves decides, and is explained."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from alcyon.cli.opening.learn_logs import intake_of
from alcyon.cli.opening.models_place import Place
from alcyon.cli.opening.offices import office, shell
from alcyon.cli.opening.parts import open_parts
from alcyon.cli.opening.serving import around, bound, opened_app, running
from alcyon.cli.showing.options import settings
from alcyon.codecs.decisions import decode
from alcyon.detectors.loading import load_detector
from alcyon.domain.control import CHALLENGER, CHAMPION
from alcyon.domain.errors import AccessError, ConflictError, InputError
from alcyon.domain.office.access import Caller, Role
from alcyon.io.log import EmbeddedCommits
from alcyon.io.model_folder import FolderRegistry
from alcyon.runners.learning.learnt import LEARNER
from alcyon.runners.learning.models import Moving, loader, promote, roll_back
from alcyon.settings import load_settings
from alcyon.telemetry.lines import make_log
from alcyon.telemetry.metrics import Telemetry
from tests.cli.run_process import until
from tests.cli.running import refused, run
from tests.cli.served import worker

PASSWORD = "correct horse battery"
RULE = """
[[rule]]
id = "night"
name = "Nobody buys here at night"
when = "merchant_id = 'm-night'"
action = "DECLINE"
reason_code = "night"
priority = 999
status = "live"
"""


@dataclass
class Api:
    """What is served, as one person or program."""

    address: str
    key: str

    @contextmanager
    def of(self, name: str) -> Iterator[httpx2.Client]:
        with httpx2.Client(base_url=self.address, timeout=60) as client:
            client.post("/v1/session", json={"name": name, "password": PASSWORD}).raise_for_status()
            yield client

    def decide(self, name: str, **given: Any) -> dict[str, Any]:
        payment = {
            "transaction_id": name, "event_time": round(time.time() * 1000), "amount_minor": 1234,
            "currency": "EUR", "card_id": "c-1", "merchant_id": "m-1", "country": "FR",
        } | given  # fmt: skip
        headers = {"X-API-Key": self.key}
        place = f"{self.address}/v1/decisions"
        answer = httpx2.post(place, json=payment, headers=headers, timeout=60)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def api(home: Path, model: Path) -> Iterator[Api]:
    set_to = load_settings(
        home=home, serve={"decision_timeout_ms": 60_000}, status={"port": 0},
        learn={"approval": home / "approval.json"},
    )  # fmt: skip
    with closing(office(set_to)) as kept:
        for name, role in (("ada", Role.ANALYST), ("leo", Role.LEAD), ("max", Role.ADMIN)):
            kept.add_user(shell(), name, PASSWORD, role)
        key, _ = kept.create_key(shell(), Role.INGEST, "shop", None)
    with closing(bound("127.0.0.1", 0)) as listening, ExitStack() as files:
        log = make_log(io.StringIO(), is_terminal=False, on_lost=lambda: None)
        shared = around(set_to, load_detector("card"), model, (Telemetry(), log), files)
        files.enter_context(worker(home))
        with running(opened_app(shared, open_parts), listening):
            yield Api(f"http://127.0.0.1:{listening.getsockname()[1]}", key)


def test_rules_decide_once_a_second_person_has_approved_them(
    api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api.decide("before", merchant_id="m-night")["rule_hits"] == []
    assert run("rules", "export", "--out", tmp_path / "r.toml") == 0
    (tmp_path / "r.toml").write_text((tmp_path / "r.toml").read_text() + RULE)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    given = ("--why", "thefts", "--user", "ada", "--url", api.address)
    assert run("rules", "propose", tmp_path / "r.toml", *given) == 0
    with api.of("ada") as ada, api.of("leo") as leo:
        (proposal,) = ada.get("/v1/proposals?status=open").json()
        assert (proposal["by"], proposal["why"]) == ("ada", "thefts")
        assert '+id = "night"' in proposal["diff"]
        place = f"/v1/proposals/{proposal['proposal_id']}/decide"
        assert ada.post(place, json={"is_approved": True}).status_code == 403
        judged = leo.post(place, json={"is_approved": True})
        assert judged.status_code == 200, judged.text
        in_force = ada.get("/v1/rules").json()
        assert judged.json()["outcome"] == {"rules": in_force["rules"]["version"]}
        assert "night" in [rule["id"] for rule in in_force["rules"]["rules"]]
    decided = api.decide("after", merchant_id="m-night")
    assert (decided["action"], decided["rule_hits"]) == ("DECLINE", ["night"])
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    again = refused(capsys, "rules", "propose", tmp_path / "r.toml", *given)
    assert "these are the rules in force" in again


def test_whoever_proposes_a_promotion_on_the_command_line_approves_it_in_no_way(
    api: Api, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*arguments: object, user: str) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
        return run(*arguments, "--user", user, "--url", api.address)

    def opened() -> Any:
        return leo.get("/v1/proposals?status=open").json()

    first = FolderRegistry(settings().home / "models").models()[0].name
    assert run("models", "register", model, "--name", "new") == 0
    for command in (("promote", "new"), ("roll-back",)):
        assert "another person must approve" in refused(capsys, "models", *command)
    given = ("models", "promote", "new", "--why", "better")
    assert "--user or --by" in refused(capsys, *given, "--user", "max", "--by", "leo")
    assert said(*given, user="max") == 0
    with closing(office(settings())) as kept:
        own = Caller("max", Role.ADMIN, "max")
        keys = [kept.create_key(by, Role.ADMIN, "", None)[0] for by in (own, own, shell())]
    with api.of("leo") as leo, api.of("max") as boss:
        (proposal,) = opened()
        assert (proposal["kind"], proposal["by"]) == ("promotion", "max")
        place = f"/v1/proposals/{proposal['proposal_id']}/decide"
        ways = [dict[str, str](), *({"X-API-Key": key} for key in keys)]
        for headers in ways:
            client = boss if not headers else httpx2
            path = place if not headers else f"{api.address}{place}"
            answer = client.post(path, json={"is_approved": True}, headers=headers)
            assert answer.status_code == 403, answer.text
        assert said("proposals", "approve", proposal["proposal_id"], user="max") != 0
        assert leo.get("/v1/models").json()["champion"] == first
        assert said("proposals", "approve", proposal["proposal_id"], user="leo") == 0
        assert leo.get("/v1/models").json()["champion"] == "new"
        assert said("models", "roll-back", "--why", "worse", user="max") == 0
        assert leo.get("/v1/models").json()["champion"] == "new"
        (proposal,) = opened()
        assert said("proposals", "approve", proposal["proposal_id"], user="leo") == 0
        assert leo.get("/v1/models").json()["champion"] == first


def test_the_learner_publishes_through_it_and_promotes_by_a_standing_approval_only(
    api: Api, model: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(office(settings())) as kept:
        learner, _ = kept.create_key(shell(), Role.LEARNER, "", None)
        boss, _ = kept.create_key(shell(), Role.ADMIN, "", None)
    monkeypatch.setenv("ALCYON_LEARN__URL", api.address)
    registry = FolderRegistry(home / "models")
    first = registry.models()[0].name
    registry.register(model, "new")

    def moving() -> Moving:
        of_learner = intake_of(settings(), Place.of(settings()))
        return Moving(registry, loader(registry, load_detector("card").catalog), of_learner)

    def names() -> tuple[str, str | None]:
        with api.of("leo") as leo:
            found = leo.get("/v1/models").json()
        return found["champion"], found["challenger"]

    with pytest.raises(InputError, match="keys create --role learner"):
        promote(moving(), "new", CHALLENGER, LEARNER)
    monkeypatch.setenv("ALCYON_LEARN__KEY", boss)
    with pytest.raises(AccessError, match="role learner"):
        promote(moving(), "new", CHALLENGER, LEARNER)
    monkeypatch.setenv("ALCYON_LEARN__KEY", learner)
    assert names() == (first, None)
    promote(moving(), "new", CHALLENGER, LEARNER)
    assert names() == (first, "new")
    api.decide("beside")
    with closing(EmbeddedCommits(home / "decisions")) as log:
        (decided,) = decode([d for commit in log.read(0, 100) for d in commit.decisions])
    assert decided.versions.challenger == decided.versions.model  # the same bytes

    headers, told = {"X-API-Key": learner}, {"alias": "champion", "model": "new"}
    alone = httpx2.post(f"{api.address}/v1/models/moves", json=told, headers=headers)
    assert (alone.status_code, names()[0]) == (409, first)  # nothing was begun in the registry
    assert httpx2.get(f"{api.address}/v1/models", headers=headers).status_code == 403
    with pytest.raises(ConflictError, match="no standing approval"):
        promote(moving(), "new", CHAMPION, LEARNER)

    approval = {"by": "leo", "given_at": 1_000, "expires_at": 3_000}
    finding = {"promote": True, "approval": approval, "evidence": {}, "at": 2_000}
    (home / "learner").mkdir()
    (home / "learner" / "2000-new.json").write_text(json.dumps(finding))
    for other in ({"by": "max"}, {"expires_at": 1_500}):
        (home / "approval.json").write_text(json.dumps(approval | other))
        with pytest.raises(ConflictError, match="no standing approval"):
            promote(moving(), "new", CHAMPION, LEARNER)
    assert names() == (first, "new")
    (home / "approval.json").write_text(json.dumps(approval))
    promote(moving(), "new", CHAMPION, LEARNER)
    assert names() == ("new", "new")
    roll_back(moving(), LEARNER, "it left its band")
    assert names() == (first, "new")


def test_a_decision_is_explained_labelled_and_its_card_blocked(api: Api) -> None:
    for number in range(4):
        api.decide(f"small-{number}", amount_minor=150)
    declined = api.decide("large", amount_minor=150)
    assert "card_testing" in declined["rule_hits"]
    with api.of("ada") as ada, api.of("leo") as leo:
        place = "/v1/decisions/large/explanation"
        until(lambda: ada.get(place).status_code == 200)
        plain = ada.get(place).json()
        assert plain["headline"] == "€ 1.50 at m-1, FR · DECLINED"
        total = sum(part["log_odds"] for part in plain["contributions"])
        assert abs(total - plain["log_odds"]) < 1e-9
        until(
            lambda: (
                ada.get(f"{place}?counterfactual=true").json()["counterfactual_status"] != "pending"
            )
        )
        found = ada.get(f"{place}?counterfactual=true").json()
        assert found["counterfactual_status"] == "found", found["counterfactual_why"]
        assert found["counterfactual"]["changes"][0]["column"] == "event_time"
        assert "would have been approved" in found["prose"]
        label = {"transaction_id": "large", "is_fraud": True}
        assert ada.post("/v1/labels", json=label).json() == {"accepted": 1}
        assert ada.post("/v1/labels", json=label | {"source": "issuer"}).status_code == 403
        until(lambda: ada.get("/v1/decisions/large/labels").json() != [])
        assert ada.get("/v1/decisions/large/labels").json()[0]["author"] == "ada"
        change = {"name": "block", "column": "card_id", "value": "4111 1111 1111 1111"}
        wanted = {"kind": "list", "change": change, "why": "stolen"}
        proposal = ada.post("/v1/proposals", json=wanted).json()
        assert "4111" not in str(proposal)
        place = f"/v1/proposals/{proposal['proposal_id']}/decide"
        assert leo.post(place, json={"is_approved": True}).status_code == 200
    blocked = api.decide("blocked", card_id="4111111111111111")
    assert (blocked["action"], blocked["rule_hits"]) == ("DECLINE", ["block_list"])
