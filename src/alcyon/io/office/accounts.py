"""Accounts: people's names and passwords, and the sessions in which they are signed in."""

from __future__ import annotations

import re
import secrets
from functools import cache
from threading import BoundedSemaphore
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, delete, func, insert, select, update

from alcyon.domain.errors import ConflictError, InputError
from alcyon.domain.office.access import PROGRAMS, Caller, Role, User
from alcyon.io.office.database import Change, Database
from alcyon.io.office.keys import hash_of
from alcyon.io.office.tables import SESSIONS, USERS
from alcyon.io.office.tries import clear, is_let_try

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
PASSWORD_LENGTH_MIN, PASSWORD_LENGTH_MAX = 12, 200
SESSION_MS, IDLE_MS = 12 * 3_600_000, 3_600_000
_USED_EVERY_MS = 60_000
_hasher = PasswordHasher()  # argon2id, RFC 9106's low-memory parameters: 64 MiB
_at_once = BoundedSemaphore(2)
"""How many passwords are checked at once: 64 MiB each, whatever comes from outside."""


def add(change: Change, by: Caller, name: str, hashed: str, role: Role) -> User:
    """Make an account. hashed: from `hash_password`. ConflictError: the name is taken."""
    if NAME.fullmatch(name) is None:
        raise InputError(
            "a user's name is 1 to 64 of a-z, 0-9, dot, dash and underscore, and begins with a "
            "letter or digit"
        )
    if role in PROGRAMS:
        raise InputError(f"{role.value} is for programs: alcyon keys create --role {role.value}")
    if _user(change.connection, name) is not None:
        raise ConflictError(f"there is a user {name} already")
    change.connection.execute(
        insert(USERS).values(
            name=name, role=role.value, password_hash=hashed, created_at=change.now
        )
    )
    change.tell(by.name, "user_added", name, role=role.value)
    return User(name, role, change.now, None)


def change_user(
    change: Change, by: Caller, name: str, role: Role | None, is_disabled: bool | None
) -> User:
    """Another role, or disabled: then all sessions end. InputError: no such user, or it would
    leave nobody who can administer."""
    row = _user(change.connection, name)
    if row is None:
        raise InputError(f"no user {name[:64]}")
    if role in PROGRAMS:
        raise InputError(f"{role.value} is for programs: alcyon keys create --role {role.value}")
    disabled_at: int | None = row.disabled_at
    if is_disabled is not None:
        disabled_at = (disabled_at or change.now) if is_disabled else None
    after = User(name, role or Role(row.role), row.created_at, disabled_at)
    before = User(name, Role(row.role), row.created_at, row.disabled_at)
    if after == before:
        return before
    _keep_an_administrator(change.connection, before, after)
    change.connection.execute(
        update(USERS).where(USERS.c.name == name)
        .values(role=after.role.value, disabled_at=after.disabled_at)
    )  # fmt: skip
    if after.disabled_at is not None:
        change.connection.execute(delete(SESSIONS).where(SESSIONS.c.name == name))
    if after.role is not before.role:
        change.tell(by.name, "user_role_changed", name, role=after.role.value)
    if after.disabled_at != before.disabled_at:
        change.tell(by.name, "user_enabled" if disabled_at is None else "user_disabled", name)
    return after


def all_users(connection: Connection) -> list[User]:
    """By name."""
    return [_shown(row) for row in connection.execute(select(USERS).order_by(USERS.c.name))]


def hash_password(name: str, password: str) -> str:
    """argon2id. InputError: too short, too long, or the name in it."""
    if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        raise InputError(
            f"a password has {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters"
        )
    if len(set(password)) < 4 or (len(name) >= 4 and name.lower() in password.lower()):
        raise InputError("that password is guessed at once: a few words in a row are a good one")
    with _at_once:
        return _hasher.hash(password)


def log_in(database: Database, name: str, password: str, address: str) -> str | None:
    """A session's secret. An unknown or disabled name takes as long as a wrong password."""
    name = name if NAME.fullmatch(name) else ""  # nobody's
    with database.changing() as change:
        # Counted before it is checked, so that a hundred tries at once are a hundred.
        if not is_let_try(change, name, address):
            return None
        row = _user(change.connection, name)
    is_known = row is not None and row.disabled_at is None
    hashed = row.password_hash if row is not None and is_known else _nobodys()
    if not _matches(hashed, password) or not is_known:
        return None
    with database.changing() as change:
        row = _user(change.connection, name)
        if row is None or row.disabled_at is not None:
            return None
        clear(change.connection, name, address)
        change.tell(name, "logged_in", name, address=address)
        return begin(change, name)


def begin(change: Change, name: str) -> str:
    """Begin a session of a user; its secret."""
    oldest = change.now - SESSION_MS
    change.connection.execute(delete(SESSIONS).where(SESSIONS.c.created_at <= oldest))
    secret = secrets.token_urlsafe(32)
    change.connection.execute(
        insert(SESSIONS).values(
            secret_hash=hash_of(secret), name=name, created_at=change.now, used_at=change.now
        )
    )
    return secret


def caller_of(database: Database, secret: str) -> Caller | None:
    """Who is signed in by it; None: it is over, or the account is disabled."""
    if len(secret) > 100:
        return None
    hashed, now = hash_of(secret), database.now()
    query = (
        select(SESSIONS.c.used_at, SESSIONS.c.created_at, USERS.c.name, USERS.c.role)
        .join(USERS, USERS.c.name == SESSIONS.c.name)
        .where(SESSIONS.c.secret_hash == hashed, USERS.c.disabled_at.is_(None))
    )
    with database.reading() as connection:
        row = connection.execute(query).one_or_none()
    if row is None or now >= row.created_at + SESSION_MS or now >= row.used_at + IDLE_MS:
        return None
    if now >= row.used_at + _USED_EVERY_MS:
        with database.noting() as connection:
            used = update(SESSIONS).where(SESSIONS.c.secret_hash == hashed).values(used_at=now)
            connection.execute(used)
    return Caller(row.name, Role(row.role), row.name)


def log_out(change: Change, secret: str) -> None:
    """End a session; nothing where there is none."""
    found = SESSIONS.c.secret_hash == hash_of(secret)
    name = change.connection.execute(select(SESSIONS.c.name).where(found)).scalar()
    if name is not None:
        change.connection.execute(delete(SESSIONS).where(found))
        change.tell(name, "logged_out", name)


def _keep_an_administrator(connection: Connection, before: User, after: User) -> None:
    was, is_still = _administers(before), _administers(after)
    if not was or is_still:
        return
    others = (
        select(func.count()).select_from(USERS)
        .where(USERS.c.role == Role.ADMIN.value, USERS.c.disabled_at.is_(None),
               USERS.c.name != before.name)
    )  # fmt: skip
    if not connection.execute(others).scalar():
        raise InputError(f"{before.name} is the last administrator: make another one first")


def _administers(user: User) -> bool:
    return user.role is Role.ADMIN and user.disabled_at is None


def _user(connection: Connection, name: str) -> Any:
    return connection.execute(select(USERS).where(USERS.c.name == name)).one_or_none()


def _shown(row: Any) -> User:
    return User(row.name, Role(row.role), row.created_at, row.disabled_at)


def _matches(hashed: str, password: str) -> bool:
    with _at_once:
        try:
            return _hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False


@cache
def _nobodys() -> str:
    return _hasher.hash(secrets.token_urlsafe(32))
