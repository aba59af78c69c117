"""What every office does about proposals, whatever keeps it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from alcyon.domain.errors import AccessError, ConflictError, InputError, UnreachableError
from alcyon.domain.office.access import Role
from alcyon.domain.office.proposals import Proposal
from alcyon.io.office import SqlOffice
from alcyon.io.office.proposals import APPLYING_MS_MAX
from tests.contracts.officing import KINDS, SHELL, Opened, opened, person

ADA, BOB = person("ada", Role.ADMIN), person("bob", Role.LEAD)
HOUR_MS = 3_600_000


@pytest.fixture(params=KINDS)
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    with opened(request.param, tmp_path, request) as made:
        yield made


@pytest.fixture
def office(at: Opened) -> SqlOffice:
    return at.office()


def proposed(office: SqlOffice, by: object = BOB) -> Proposal:
    """A proposal of Bob's."""
    change = {"text": "[[rules]]"}
    return office.propose(by, "rules", change, "too many", base_version="v1", diff="+x")  # type: ignore[arg-type]


def taken(_: Proposal) -> dict[str, Any]:
    """It took effect."""
    return {}


def test_another_person_approves_once(office: SqlOffice) -> None:
    wanted = proposed(office)
    assert office.proposals("open") == [wanted]
    decided, outcome = office.approve(ADA, wanted.proposal_id, lambda p: {"of": p.kind})
    assert (decided.status, decided.decided_by) == ("approved", "ada")
    assert outcome == {"of": "rules"}
    assert (office.proposals("open"), office.proposals(None)) == ([], [decided])
    with pytest.raises(ConflictError, match="approved"):
        office.reject(ADA, wanted.proposal_id)
    with pytest.raises(InputError, match="no proposal"):
        office.approve(ADA, "x", taken)


def test_the_proposer_approves_by_no_key_and_no_role(office: SqlOffice) -> None:
    boss = person("bob", Role.ADMIN)
    own = [office.create_key(boss, Role.ADMIN, "", None)[0] for _ in range(2)]
    shell = office.create_key(SHELL, Role.ADMIN, "", None)[0]
    first, second = (office.caller_of_key(secret) for secret in own)
    unknown = office.caller_of_key(shell)
    assert first is not None
    for proposer in (boss, first):
        wanted = proposed(office, proposer)
        for caller in (boss, first, second, unknown, SHELL):
            assert caller is not None
            with pytest.raises(AccessError):
                office.approve(caller, wanted.proposal_id, taken)
        assert office.proposals("open") == [wanted]
        office.reject(boss, wanted.proposal_id)
        assert office.proposals(None)[0].status == "withdrawn"
        office.approve(ADA, proposed(office, proposer).proposal_id, taken)
        office.reject(ADA, proposed(office, unknown).proposal_id)
        at = office.proposals("open")
        assert at == []
        office._database._clock.now += 1  # type: ignore[attr-defined]


def test_who_is_no_lead_decides_nothing_but_withdraws_his_own(office: SqlOffice) -> None:
    vic, eve = person("vic"), person("eve")
    wanted = proposed(office, vic)
    for tried in (
        lambda: office.approve(eve, wanted.proposal_id, taken),
        lambda: office.reject(eve, wanted.proposal_id),
    ):
        with pytest.raises(AccessError, match="a lead decides"):
            tried()
    assert office.proposals("open") == [wanted]
    assert office.reject(vic, wanted.proposal_id).status == "withdrawn"
    with pytest.raises(ConflictError, match="withdrawn"):
        office.approve(ADA, wanted.proposal_id, taken)


def test_of_two_who_decide_at_once_one_does(office: SqlOffice) -> None:
    wanted = proposed(office)

    def decide(name: str) -> str:
        try:
            office.approve(person(name, Role.LEAD), wanted.proposal_id, taken)
        except ConflictError:
            return "late"
        return name

    with ThreadPoolExecutor(6) as pool:
        said = list(pool.map(decide, "uvwxyz"))
    assert said.count("late") == 5


def test_of_two_upon_the_same_base_one_takes_effect(at: Opened) -> None:
    offices = [at.office() for _ in range(4)]  # as that many processes
    wanted = [proposed(offices[0]).proposal_id for _ in offices]
    in_force, together = ["v1"], Barrier(len(offices))

    def approve(number: int) -> str:
        def apply(one: Proposal) -> dict[str, Any]:
            if in_force != [one.base_version]:
                raise ConflictError("it changed since")
            time.sleep(0.05)  # time for another one to look as well
            in_force.append(one.proposal_id)
            return {}

        together.wait()
        try:
            return offices[number].approve(ADA, wanted[number], apply)[0].status
        except ConflictError:
            return "refused"

    with ThreadPoolExecutor(len(offices)) as pool:
        said = list(pool.map(approve, range(len(offices))))
    assert sorted(said) == ["approved", "refused", "refused", "refused"]
    won = wanted[said.index("approved")]
    assert in_force == ["v1", won]
    still = {one.proposal_id: one.status for one in offices[1].proposals("open")}
    assert still == dict.fromkeys(set(wanted) - {won}, "open")


def test_what_could_not_take_effect_is_open_again_and_told(office: SqlOffice) -> None:
    wanted = proposed(office)

    def away(_: Proposal) -> dict[str, Any]:
        raise UnreachableError("the broker is away; card 4111 1111 1111 1111")

    with pytest.raises(UnreachableError, match="broker"):
        office.approve(ADA, wanted.proposal_id, away)
    assert office.proposals("open") == [wanted]
    (told,) = office.audit(None, 1).items
    assert (told.by, told.what, told.subject) == ("ada", "proposal_not_applied", wanted.proposal_id)
    assert "the broker is away" in told.detail["why"]
    assert "1111 1111" not in told.detail["why"]
    assert office.approve(ADA, wanted.proposal_id, taken)[0].status == "approved"
    assert [entry.what for entry in office.audit(None, 2).items] == [
        "proposal_approved", "proposal_not_applied",
    ]  # fmt: skip


def test_an_error_that_nobody_thought_of_is_kept_by_its_kind_alone(office: SqlOffice) -> None:
    """Its message may quote a payment."""
    wanted = proposed(office)

    def broken(_: Proposal) -> dict[str, Any]:
        raise RuntimeError("Luxe Watches, Lagos")

    with pytest.raises(RuntimeError):
        office.approve(ADA, wanted.proposal_id, broken)
    (told,) = office.audit(None, 1).items
    assert (told.what, told.detail["why"]) == ("proposal_not_applied", "RuntimeError")
    assert office.proposals("open") == [wanted]


def test_what_was_broken_off_may_be_approved_after_a_minute(at: Opened) -> None:
    office = at.office()
    wanted = proposed(office).proposal_id
    other = proposed(office).proposal_id

    def killed(_: Proposal) -> dict[str, Any]:
        raise KeyboardInterrupt  # nothing is put right after it, as after a kill

    with pytest.raises(KeyboardInterrupt):
        office.approve(ADA, wanted, killed)
    for proposal_id in (wanted, other):
        with pytest.raises(ConflictError, match="taking effect"):
            office.approve(ADA, proposal_id, taken)
    with pytest.raises(ConflictError, match="taking effect"):
        office.reject(BOB, wanted)
    shown = {one.proposal_id: one.status for one in office.proposals("open")}
    assert shown == {wanted: "applying", other: "open"}
    at.clock.now += APPLYING_MS_MAX
    assert office.approve(ADA, other, taken)[0].status == "approved"
    assert office.approve(ADA, wanted, taken)[0].status == "approved"


def test_a_proposal_with_a_card_number_is_refused(office: SqlOffice) -> None:
    change = {"name": "block", "column": "card_id", "value": "4111 1111 1111 1111"}
    with pytest.raises(InputError, match="card number"):
        office.propose(BOB, "list", change, "", base_version="v1")
    made = office.propose(BOB, "rules", {"text": ""}, "4111111111111111 again", base_version="v1")
    assert "4111111111111111" not in made.why
