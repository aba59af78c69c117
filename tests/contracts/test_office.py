"""What every office does about access, proposals and its audit log, whatever keeps it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import text

from alcyon.domain.errors import AccessError, ConflictError, InputError, UnreachableError
from alcyon.domain.office.access import Role
from alcyon.domain.office.ports import Office
from alcyon.domain.office.proposals import Proposal
from alcyon.io.office import Place, SqlOffice, keys
from alcyon.io.office.database import Database
from alcyon.io.office.migrating import HEAD, configured
from alcyon.io.office.proposals import APPLYING_MS_MAX
from alcyon.io.office.tries import ADDRESS_TRIES, NAME_TRIES
from tests.contracts.discovery import implementers
from tests.contracts.officing import KINDS, PASSWORD, SHELL, START, Opened, opened, person

ADA, BOB = person("ada", Role.ADMIN), person("bob", Role.LEAD)
HOUR_MS = 3_600_000


@pytest.fixture(params=KINDS)
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    with opened(request.param, tmp_path, request) as made:
        yield made


@pytest.fixture
def office(at: Opened) -> SqlOffice:
    return at.office()


def test_every_implementer_is_checked_here() -> None:
    assert implementers(Office) == {SqlOffice}


def test_the_newest_migration_is_the_one_that_opening_asks_for() -> None:
    from alembic.script import ScriptDirectory

    assert ScriptDirectory.from_config(configured(None)).get_current_head() == HEAD


def test_several_processes_open_it_for_the_first_time_at_once(at: Opened) -> None:
    place = (str(at.place.file or ""), at.place.dsn or "", at.place.schema)
    code = (
        "import sys; from pathlib import Path; from alcyon.io.office import *;"
        "f, d, s = sys.argv[1:]; SqlOffice(Place(Path(f) if f else None, d or None, s)).close()"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, *place]) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert at.office().walk_audit().count == 0


def test_a_database_of_a_newer_alcyon_is_refused(at: Opened) -> None:
    with at.office()._database.noting() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConflictError, match="9999"):
        at.office()


def test_what_cannot_be_reached_is_one_line_without_the_password() -> None:
    with pytest.raises(UnreachableError) as failed:
        Database(Place(dsn="postgresql://ada:geheim@127.0.0.1:1/x"))
    assert "geheim" not in str(failed.value)
    assert "\n" not in str(failed.value)


def test_a_key_tells_who_made_it_and_its_secret_is_kept_nowhere(
    office: SqlOffice, at: Opened
) -> None:
    secret, key = office.create_key(ADA, Role.INGEST, "shop 4111111111111111", None)
    caller = office.caller_of_key(secret)
    assert caller is not None
    assert (caller.role, caller.person) == (Role.INGEST, "ada")
    assert "4111111111111111" not in key.note
    kept = office._database
    with kept.reading() as connection:
        rows = repr(connection.execute(text("SELECT * FROM keys")).all())
    assert secret not in rows
    assert secret.split("_", 2)[2] not in rows
    assert at.office().caller_of_key(secret) == caller


@pytest.mark.parametrize(
    "given", ["", "alc", "alc__", "alc_x_y", "alc_\0_y", "a" * 5000, "alc_é_é"]
)
def test_what_is_no_key_is_nobodys(office: SqlOffice, given: str) -> None:
    secret, _ = office.create_key(ADA, Role.ADMIN, "", None)
    assert office.caller_of_key(given) is None
    assert office.caller_of_key(secret[:-1]) is None
    assert office.caller_of_key(secret + "x") is None


def test_a_key_that_expired_is_refused_though_it_was_just_known(
    office: SqlOffice, at: Opened
) -> None:
    secret, _ = office.create_key(ADA, Role.INGEST, "", START + 1000)
    assert office.caller_of_key(secret) is not None
    at.clock.now += 1000
    assert office.caller_of_key(secret) is None
    with pytest.raises(InputError, match="expires_at"):
        office.create_key(ADA, Role.INGEST, "", START + 1000)


def test_a_revoked_key_is_refused_here_at_once_and_elsewhere_after_seconds(
    office: SqlOffice, at: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = at.office()
    secret, key = office.create_key(ADA, Role.INGEST, "", None)
    assert elsewhere.caller_of_key(secret) is not None
    office.revoke_key(ADA, key.key_id)
    assert office.caller_of_key(secret) is None
    later = time.monotonic() + keys.CACHED_S + 0.1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert elsewhere.caller_of_key(secret) is None
    with pytest.raises(InputError, match="no key"):
        office.revoke_key(ADA, "nonesuch")


def test_a_keys_use_is_noted_once_a_minute(office: SqlOffice, at: Opened) -> None:
    secret, _ = office.create_key(ADA, Role.INGEST, "", None)
    noted = []
    for passed in (0, 30_000, 60_000):
        at.clock.now = START + passed
        at.office().caller_of_key(secret)
        noted.append(office.keys()[0].last_used_at)
    assert noted == [START, START, START + 60_000]


def test_a_user_signs_in_and_is_who_the_session_says(office: SqlOffice) -> None:
    office.add_user(SHELL, "ada", PASSWORD, Role.ADMIN)
    secret = office.log_in("ada", PASSWORD, "192.0.2.1")
    assert secret is not None
    assert office.caller_of_session(secret) == ADA
    office.log_out(secret)
    assert office.caller_of_session(secret) is None
    assert office.log_in("ada", PASSWORD + "!", "192.0.2.1") is None
    assert office.log_in("eve", PASSWORD, "192.0.2.1") is None


@pytest.mark.parametrize(
    ("name", "password", "role"),
    [
        ("bob", "short", Role.LEAD),
        ("bob", "x" * 201, Role.LEAD),
        ("bob", "aaaaaaaaaaaaaa", Role.LEAD),
        ("robert", "robert-robert-1", Role.LEAD),
        ("Bob", PASSWORD, Role.LEAD),
        ("operator:root", PASSWORD, Role.LEAD),
        ("bob", PASSWORD, Role.INGEST),
    ],
)
def test_a_bad_account_is_refused(office: SqlOffice, name: str, password: str, role: Role) -> None:
    with pytest.raises(InputError):
        office.add_user(ADA, name, password, role)
    assert office.users() == []
    assert office.walk_audit().count == 0


def test_a_name_is_taken_once(office: SqlOffice) -> None:
    office.add_user(ADA, "bob", PASSWORD, Role.LEAD)
    with pytest.raises(ConflictError, match="bob"):
        office.add_user(ADA, "bob", PASSWORD, Role.ADMIN)
    assert [user.role for user in office.users()] == [Role.LEAD]


def test_a_session_ends_after_an_hour_unused_and_after_twelve_in_all(
    office: SqlOffice, at: Opened
) -> None:
    office.add_user(SHELL, "ada", PASSWORD, Role.ADMIN)
    unused = office.log_in("ada", PASSWORD, "")
    used = office.log_in("ada", PASSWORD, "")
    assert unused is not None
    assert used is not None
    for minutes in range(0, 12 * 60, 50):
        at.clock.now = START + minutes * 60_000
        assert office.caller_of_session(used) is not None, minutes
    assert office.caller_of_session(unused) is None
    at.clock.now = START + 12 * HOUR_MS
    assert office.caller_of_session(used) is None


def test_a_disabled_user_is_out_at_once_and_another_role_counts_at_once(office: SqlOffice) -> None:
    office.add_user(SHELL, "ada", PASSWORD, Role.ADMIN)
    office.add_user(ADA, "bob", PASSWORD, Role.LEAD)
    secret = office.log_in("bob", PASSWORD, "")
    assert secret is not None
    office.change_user(ADA, "bob", role=Role.VIEWER, is_disabled=None)
    caller = office.caller_of_session(secret)
    assert caller is not None
    assert caller.role is Role.VIEWER
    office.change_user(ADA, "bob", role=None, is_disabled=True)
    assert office.caller_of_session(secret) is None
    assert office.log_in("bob", PASSWORD, "") is None
    office.change_user(ADA, "bob", role=None, is_disabled=False)
    assert office.caller_of_session(secret) is None
    assert office.log_in("bob", PASSWORD, "") is not None


def test_the_last_administrator_stays(office: SqlOffice) -> None:
    office.add_user(SHELL, "ada", PASSWORD, Role.ADMIN)
    for change in ({"role": Role.LEAD, "is_disabled": None}, {"role": None, "is_disabled": True}):
        with pytest.raises(InputError, match="last administrator"):
            office.change_user(ADA, "ada", **change)


def test_log_ins_are_slowed_by_name_whoever_asks_and_whether_there_is_one(
    office: SqlOffice, at: Opened
) -> None:
    office.add_user(SHELL, "ada", PASSWORD, Role.ADMIN)
    for name in ("ada", "nobody"):
        for i in range(NAME_TRIES):
            assert office.log_in(name, "wrong password", f"192.0.2.{i}") is None
    assert office.log_in("ada", PASSWORD, "198.51.100.7") is None, "it has to wait"
    with at.office()._database.reading() as connection:
        counts = connection.execute(
            text("SELECT failed_count FROM tries WHERE subject IN ('name:ada', 'name:nobody')")
        )
        assert [row[0] for row in counts] == [NAME_TRIES, NAME_TRIES]
    at.clock.now += 1000
    assert office.log_in("ada", PASSWORD, "198.51.100.7") is not None
    for _ in range(NAME_TRIES):
        assert office.log_in("ada", PASSWORD, "198.51.100.7") is not None


def test_log_ins_are_slowed_by_address_and_ones_own_makes_no_room(office: SqlOffice) -> None:
    office.add_user(SHELL, "ada", PASSWORD, Role.ADMIN)
    for i in range(ADDRESS_TRIES):
        assert office.log_in(f"u{i}", "wrong password", "192.0.2.1") is None
    assert office.log_in("ada", PASSWORD, "192.0.2.1") is None
    assert office.log_in("ada", PASSWORD, "192.0.2.2") is not None


def test_tries_at_once_are_counted_before_they_are_checked(office: SqlOffice) -> None:
    office.add_user(SHELL, "ada", PASSWORD, Role.ADMIN)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: office.log_in("ada", "wrong password", ""), range(12)))
    with office._database.reading() as connection:
        count = connection.execute(text("SELECT failed_count FROM tries")).scalar()
    assert count == NAME_TRIES


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


def test_every_change_is_told_and_chained_and_the_newest_comes_first(office: SqlOffice) -> None:
    office.add_user(SHELL, "ada", PASSWORD, Role.ADMIN)
    _, key = office.create_key(ADA, Role.INGEST, "", None)
    office.revoke_key(ADA, key.key_id)
    first = office.audit(None, 2)
    assert [(e.what, e.by, e.subject) for e in first.items] == [
        ("key_revoked", "ada", key.key_id), ("key_created", "ada", key.key_id),
    ]  # fmt: skip
    rest = office.audit(first.next, 2)
    assert ([e.what for e in rest.items], rest.next) == (["user_added"], None)
    walked = office.walk_audit()
    assert (walked.count, walked.digest, walked.broken) == (3, first.items[0].digest, None)
    for cursor in ("x", "-1", "9" * 30):
        with pytest.raises(InputError, match="cursor"):
            office.audit(cursor, 2)


def test_the_audit_log_cannot_be_changed_by_who_uses_it(office: SqlOffice) -> None:
    office.add_user(SHELL, "ada", PASSWORD, Role.ADMIN)
    for statement in ("UPDATE audit SET by = 'eve'", "DELETE FROM audit"):
        with (
            pytest.raises(ConflictError if _is_sqlite(office) else UnreachableError, match="only"),
            office._database.noting() as connection,
        ):
            connection.execute(text(statement))
    assert office.walk_audit() == at_rest(office)


def _is_sqlite(office: SqlOffice) -> bool:
    return office._database._place.file is not None


def at_rest(office: SqlOffice) -> object:
    """The walk once more: what a check finds does not depend on when."""
    return office.walk_audit()


@pytest.mark.parametrize(
    ("tampering", "broken"),
    [
        ("UPDATE audit SET by = 'eve' WHERE number = 3", 3),
        ("UPDATE audit SET detail = '{' WHERE number = 3", 3),
        ("UPDATE audit SET at = at + 1 WHERE number = 3", 3),
        ("DELETE FROM audit WHERE number = 3", 3),
        ("DELETE FROM audit WHERE number = 5", 5),
        ("UPDATE audit SET number = 9 WHERE number = 5", 5),
    ],
)
def test_what_was_tampered_with_is_named(at: Opened, tampering: str, broken: int) -> None:
    office = at.office()
    for i in range(5):
        office.create_key(ADA, Role.INGEST, str(i), None)
    assert office.walk_audit().count == 5
    at.tamper(tampering)
    walked = office.walk_audit()
    assert (walked.count, walked.broken) == (broken - 1, broken)


def test_changes_at_once_make_one_chain(at: Opened) -> None:
    offices = [at.office(), at.office()]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: offices[i % 2].create_key(ADA, Role.INGEST, "", None), range(40)))
    walked = offices[0].walk_audit()
    assert (walked.count, walked.broken) == (40, None)
    assert len(offices[0].keys()) == 40


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    office = Opened(Place(tmp_path / "office.sqlite")).office()
    office.close()
    assert (tmp_path / "office.sqlite").stat().st_mode & 0o077 == 0
