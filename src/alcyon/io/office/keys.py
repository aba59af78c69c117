"""Keys: what programs show. `alc_<key_id>_<random>`; only its SHA-256 is kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from threading import Lock
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, update

from alcyon.domain.errors import InputError
from alcyon.domain.office.access import Caller, Key, Role
from alcyon.io.office.database import Change, Database
from alcyon.io.office.tables import KEYS

PREFIX = "alc"
CACHED_S = 3.0
"""A key that was revoked elsewhere is refused here after so long at the latest; the API's door adds
two seconds of its own."""
USED_EVERY_MS = 60_000
_CACHED_MAX = 4096
_KEY_ID = re.compile("[0-9a-f]{12}")
_SECRET_BYTES_MAX = 200


def create(
    change: Change, by: Caller, role: Role, note: str, expires_at: int | None
) -> tuple[str, Key]:
    """(the secret, the key)."""
    from alcyon.domain.tokens import mask

    if expires_at is not None and expires_at <= change.now:
        raise InputError("expires_at is over already: give a later time")
    key_id = secrets.token_hex(6)
    secret = f"{PREFIX}_{key_id}_{secrets.token_urlsafe(32)}"
    key = Key(key_id, role, mask(note), by.person, change.now, expires_at, None, None)
    change.connection.execute(
        insert(KEYS).values(
            key_id=key_id, secret_hash=hash_of(secret), role=role.value, note=key.note,
            created_by=by.person, created_at=change.now, expires_at=expires_at,
        )
    )  # fmt: skip
    change.tell(by.name, "key_created", key_id, role=role.value, expires_at=expires_at)
    return secret, key


def revoke(change: Change, by: Caller, key_id: str) -> None:
    """End a key; once. InputError: there is none."""
    found = change.connection.execute(select(KEYS.c.revoked_at).where(KEYS.c.key_id == key_id))
    row = found.one_or_none()
    if row is None:
        raise InputError(f"no key {key_id[:40]}: alcyon keys list names them")
    if row.revoked_at is not None:
        return
    ended = update(KEYS).where(KEYS.c.key_id == key_id).values(revoked_at=change.now)
    change.connection.execute(ended)
    change.tell(by.name, "key_revoked", key_id)


def all_keys(connection: Connection) -> list[Key]:
    """The newest first."""
    query = select(KEYS).order_by(KEYS.c.created_at.desc(), KEYS.c.key_id)
    return [
        Key(
            row.key_id, Role(row.role), row.note, row.created_by, row.created_at,
            row.expires_at, row.revoked_at, row.last_used_at,
        )
        for row in connection.execute(query)
    ]  # fmt: skip


def hash_of(secret: str) -> bytes:
    """What is kept of a secret: with 256 random bits in it, a slow hash would add nothing."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


class _Known(NamedTuple):
    caller: Caller
    expires_at: int | None
    until: float


class KeyRing:
    """Tells callers by their keys; what it knows it looks up again after `CACHED_S`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[bytes, _Known] = {}
        self._lock = Lock()

    def caller_of(self, secret: str) -> Caller | None:
        """None: there is no such key, or it is over."""
        parts = secret.split("_", 2) if len(secret) <= _SECRET_BYTES_MAX else []
        if len(parts) != 3 or parts[0] != PREFIX or not _KEY_ID.fullmatch(parts[1]):
            return None
        hashed = hash_of(secret)
        known = self._known.get(hashed)
        if known is None or known.until < time.monotonic():
            known = self._looked_up(parts[1], hashed)
        if known is None or not _is_valid(known.expires_at, self._database.now()):
            return None
        return known.caller

    def forget(self) -> None:
        """Look all of them up again: one was revoked by this process."""
        with self._lock:
            self._known.clear()

    def _looked_up(self, key_id: str, hashed: bytes) -> _Known | None:
        with self._database.reading() as connection:
            row = connection.execute(select(KEYS).where(KEYS.c.key_id == key_id)).one_or_none()
        stored = bytes(row.secret_hash) if row is not None else bytes(len(hashed))
        if not hmac.compare_digest(stored, hashed) or row is None or row.revoked_at is not None:
            with self._lock:
                self._known.pop(hashed, None)
            return None
        caller = Caller(f"key:{key_id}", Role(row.role), row.created_by)
        known = _Known(caller, row.expires_at, time.monotonic() + CACHED_S)
        with self._lock:
            if len(self._known) >= _CACHED_MAX:
                self._known.clear()
            self._known[hashed] = known
        self._note_use(row)
        return known

    def _note_use(self, row: Any) -> None:
        """At most once a minute, whoever uses it."""
        now = self._database.now()
        if row.last_used_at is not None and row.last_used_at > now - USED_EVERY_MS:
            return
        with self._database.noting() as connection:
            used = update(KEYS).where(KEYS.c.key_id == row.key_id).values(last_used_at=now)
            connection.execute(used)


def _is_valid(expires_at: int | None, now: int) -> bool:
    return expires_at is None or now < expires_at
