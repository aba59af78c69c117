"""Erasures: which ids were erased, in a list that does not hold them.

An entry is a salted SHA-256 of the id as the stores held it: a card's token, or another id as it
came. A token cannot be guessed; a short id of another kind can, by whoever has the list.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from alcyon.domain.errors import InputError

FILE = "erasures.json"
"""In the home, in every backup, and wherever the operator keeps another copy."""
_SALT_BYTES = 16


class Erased(msgspec.Struct, frozen=True):
    """One erasure: of the payments under an id with sequences before that."""

    salt: str
    digest: str
    before_sequence: int
    at: int
    """UTC ms."""


def entry_of(value: str, before_sequence: int, at: int, known: Iterable[Erased]) -> Erased:
    """An entry for an id; its salt is that of those known, so that a list has few."""
    salt = next((entry.salt for entry in known), None) or secrets.token_hex(_SALT_BYTES)
    return Erased(salt, _digest(salt, value), before_sequence, at)


def matched(values: Iterable[str], entries: Iterable[Erased]) -> Iterator[tuple[str, Erased]]:
    """Those of these ids that were erased, each with its entry."""
    by_salt: dict[str, dict[str, Erased]] = {}
    for entry in entries:
        by_salt.setdefault(entry.salt, {})[entry.digest] = entry
    for value in values:
        for salt, of_digest in by_salt.items():
            if (found := of_digest.get(_digest(salt, value))) is not None:
                yield value, found


def read_erasures(path: Path) -> tuple[Erased, ...]:
    """The list in a file; empty where there is none. InputError: it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Erased, ...])
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(
            f"{path} is no list of erasures: {error}; restore it from a backup, for what it "
            "names must not come back"
        ) from None


def write_erasures(path: Path, entries: Iterable[Erased]) -> tuple[Erased, ...]:
    """The list anew: of two entries on one id, that which reaches further."""
    newest: dict[tuple[str, str], Erased] = {}
    for entry in entries:
        before = newest.get((entry.salt, entry.digest))
        if before is None or before.before_sequence < entry.before_sequence:
            newest[entry.salt, entry.digest] = entry
    kept = tuple(newest.values())
    unfinished = path.with_name(path.name + ".unfinished")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123  # a descriptor has no path
        file.write(msgspec.json.format(msgspec.json.encode(kept), indent=2))
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    return kept


def _digest(salt: str, value: str) -> str:
    return hashlib.sha256(f"{salt}:{value}".encode()).hexdigest()
