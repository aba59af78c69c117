"""What every office does about access and its audit log, whatever keeps it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from alcyon.domain.errors import ConflictError, InputError, UnreachableError
from alcyon.domain.office.access import Role
from alcyon.domain.office.ports import Office
from alcyon.io.office import Place, SqlOffice, keys
from alcyon.io.office.database import Database
from alcyon.io.office.migrating import HEAD, configured
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
