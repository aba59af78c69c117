"""Cursors: where a page ended, as a word that means nothing to whoever gives it back."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from struct import Struct, error

from alcyon.domain.errors import InputError

Position = tuple[int, int]
"""(rank, sequence): what follows comes after it in descending order."""
_layout = Struct("<cqq")
_CHECK_BYTES = 6


def cursor_of(kind: bytes, position: Position) -> str:
    """The word for a position. kind: one letter for what is paged.

    >>> position_of(b"d", cursor_of(b"d", (7, 1)))
    (7, 1)
    """
    packed = _layout.pack(kind, *position)
    return urlsafe_b64encode(packed + _check(packed)).decode().rstrip("=")


def position_of(kind: bytes, cursor: str) -> Position:
    """Inverse of `cursor_of`. InputError: it was not made here, or for another list."""
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        packed = raw[: _layout.size]
        of, first, second = _layout.unpack(packed)
    except (ValueError, error):
        of, packed, raw, first, second = b"", b"", b"-", 0, 0
    if of != kind or raw[len(packed) :] != _check(packed):
        raise InputError("cursor is none of this list's: take it from `next` as it is, or leave it")
    return first, second


def _check(packed: bytes) -> bytes:
    return blake2b(packed, digest_size=_CHECK_BYTES, person=b"alcyon-cursor").digest()
