"""Ids from integers: whole columns of fixed-width strings without a Python object per value.

No id holds more than ten digits in a row, so none can be taken for a card number.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.columns import Strings

Ints = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Bytes = NDArray[np.uint8]

_FOUR_DIGITS = np.frombuffer(b"".join(b"%04d" % i for i in range(10_000)), np.uint32)
_HEX_PAIRS = np.frombuffer(b"".join(b"%02x" % i for i in range(256)), np.uint16)
# Sixteen letters for the sixteen nibbles: an id without digits.
_LETTERS = b"bcdfghjkmnpqrstv"
_LETTER_PAIRS = np.frombuffer(b"".join(bytes((a, b)) for a in _LETTERS for b in _LETTERS), "u2")
# Octets 100 … 255 only: every address has the same width.
_OCTETS = np.frombuffer(b"".join(b"%03d." % (100 + i % 156) for i in range(256)), np.uint32)


def mixed(*keys: Ints | int) -> Ints:
    """A 64-bit hash of the keys (splitmix64's finisher), the same on every machine.

    >>> bool(mixed(1, 2) == mixed(1, 2)), bool(mixed(1, 2) == mixed(2, 1))
    (True, False)
    """
    state: NDArray[np.uint64] = np.zeros(1, np.uint64)
    for key in keys:
        state = state + np.asarray(key, np.int64).view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return state.view(np.int64)


def unit(hashed: Ints) -> NDArray[np.float64]:
    """A hash as a number in [0, 1)."""
    return (hashed.view(np.uint64) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def fixed(matrix: Bytes, valid: Booleans | None = None) -> Strings:
    """Strings of one width from uint8[n, width]; where not valid: null."""
    n, width = matrix.shape
    if valid is None:
        return Strings(np.arange(n + 1, dtype=np.int64) * width, matrix.reshape(-1))
    offsets = np.zeros(n + 1, np.int64)
    np.cumsum(valid, out=offsets[1:])
    return Strings(offsets * width, matrix[valid].reshape(-1), valid)


def scattered(rows: Bytes, valid: Booleans) -> Strings:
    """Like `fixed`, where `rows` holds only the valid values: uint8[sum(valid), width]."""
    offsets = np.zeros(len(valid) + 1, np.int64)
    np.cumsum(valid, out=offsets[1:])
    return Strings(offsets * rows.shape[1], rows.reshape(-1), valid)


def prefixed(prefix: str, body: Bytes) -> Bytes:
    """uint8[n, len(prefix) + width]: the same prefix before every row."""
    head = np.frombuffer(prefix.encode(), np.uint8)
    matrix = np.empty((len(body), len(head) + body.shape[1]), np.uint8)
    matrix[:, : len(head)] = head
    matrix[:, len(head) :] = body
    return matrix


def decimal(numbers: Ints, digits: int) -> Bytes:
    """uint8[n, digits]: zero-padded decimals, the last `digits` of each number.

    >>> decimal(np.array([42, 123456]), 5).tobytes()
    b'0004223456'
    """
    groups = -(-digits // 4)
    out = np.empty((len(numbers), groups), np.uint32)
    rest = numbers
    for group in range(groups - 1, -1, -1):
        head = rest // 10_000
        out[:, group] = _FOUR_DIGITS[rest - head * 10_000]
        rest = head
    return out.view(np.uint8).reshape(len(numbers), groups * 4)[:, groups * 4 - digits :]


def hexadecimal(keys: Ints) -> Bytes:
    """uint8[n, 16]: the keys' bytes in hexadecimal."""
    return _HEX_PAIRS[_octets_of(keys)].view(np.uint8).reshape(len(keys), 16)


def lettered(keys: Ints) -> Bytes:
    """uint8[n, 16]: the keys' bytes as letters."""
    return _LETTER_PAIRS[_octets_of(keys)].view(np.uint8).reshape(len(keys), 16)


def address(keys: Ints) -> Bytes:
    """uint8[n, 15]: the low four bytes of each key, highest first, as a dotted IPv4 address."""
    octets = _octets_of(keys)[:, 3::-1]
    return _OCTETS[octets].view(np.uint8).reshape(len(keys), 16)[:, :15]


def _octets_of(keys: Ints) -> Bytes:
    return np.ascontiguousarray(keys, "<i8").view(np.uint8).reshape(len(keys), 8)
