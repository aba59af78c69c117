"""Tokens: a raw card number in an id column is replaced at the first hop and never kept.

A value counts as a card number when it holds 12 to 19 digits, nothing else but spaces and dashes,
and passes Luhn's check (ISO/IEC 7812-1). The token is `k{version}_` and 32 hex digits of
HMAC-SHA256 over the digits, so one card has one token however it was grouped. One in ten
digit-only ids of other kinds passes Luhn as well; it is replaced too, which changes no equality.
An id column that holds text with spaces, as a merchant's name, is masked as text is; other ids are
not, for one UUID in some hundreds would be.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import AnyStr

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from alcyon.domain.columns import Batch, Column, Strings
from alcyon.domain.token_keys import TokenKeys
from alcyon.domain.transaction import ID_COLUMNS

__all__ = [
    "BIN_DIGITS",
    "DIGITS_MAX",
    "DIGITS_MIN",
    "TokenKeys",
    "mask",
    "tokenise",
    "tokenise_ids",
]

DIGITS_MIN, DIGITS_MAX = 12, 19
"""How many digits a card number has."""
BIN_DIGITS = 6
"""The issuer's digits that are kept apart; together with the last four they name no card."""

_Offsets = types.Array(types.int64, 1, "C", readonly=True)
_Bytes = types.Array(types.uint8, 1, "C", readonly=True)


def tokenise(batch: Batch, keys: TokenKeys) -> Batch:
    """`batch` with every card number in an id column replaced; the same object if there is none.

    The issuer's digits and the last four of a `card_id` go to `card_bin` and `card_last4` where
    these are absent or null.
    """
    replaced: dict[str, Column] = {}
    for name in ID_COLUMNS:
        if name not in batch:
            continue
        ids = batch.strings(name)
        numbers = dict(_card_numbers(ids))
        tokens = {row: keys.token(digits) for row, digits in numbers.items()}
        if not (changed := {**dict(_masked_texts(ids)), **tokens}):
            continue
        replaced[name] = _with(ids, changed)
        if name == "card_id" and numbers:
            replaced |= _kept_apart(batch, numbers)
    return Batch({**batch.columns, **replaced}) if replaced else batch


def tokenise_ids(ids: Strings, keys: TokenKeys) -> Strings:
    """One column's card numbers replaced; the same object if there is none."""
    tokens = {row: keys.token(digits) for row, digits in _card_numbers(ids)}
    changed = {**dict(_masked_texts(ids)), **tokens}
    return _with(ids, changed) if changed else ids


def _kept_apart(batch: Batch, numbers: Mapping[int, str]) -> dict[str, Column]:
    parts = {
        "card_bin": {row: digits[:BIN_DIGITS] for row, digits in numbers.items()},
        "card_last4": {row: digits[-4:] for row, digits in numbers.items()},
    }
    kept: dict[str, Column] = {}
    for name, values in parts.items():
        present = batch.strings(name) if name in batch else Strings.nulls(len(batch))
        known = present.is_valid
        kept[name] = _with(present, {row: v for row, v in values.items() if not known[row]})
    return kept


def _with(column: Strings, values: Mapping[int, str]) -> Strings:
    """`column` with some rows' values replaced."""
    changed = column.to_list()
    for row, value in values.items():
        changed[row] = value
    return Strings.from_list(changed)


def _card_numbers(ids: Strings) -> Iterator[tuple[int, str]]:
    """(row, bare digits) of each value that is a card number."""
    row = _next_card_number(ids.offsets, ids.data, 0)
    while row >= 0:
        value = ids.data[ids.offsets[row] : ids.offsets[row + 1]].tobytes()
        yield row, _bare(value.decode("ascii"))
        row = _next_card_number(ids.offsets, ids.data, row + 1)


def _masked_texts(ids: Strings) -> Iterator[tuple[int, str]]:
    """(row, masked value) of each value that is a text with a card number in it."""
    if not (ids.data == _SPACE).any() or _RUN_OF_BYTES.search(ids.data.tobytes()) is None:
        return
    for row, value in enumerate(ids.to_list()):
        if value is not None and " " in value and (masked := mask(value)) != value:
            yield row, masked


@njit(types.int64(_Offsets, _Bytes, types.int64), cache=True)
def _next_card_number(
    offsets: NDArray[np.int64], data: NDArray[np.uint8], start: int
) -> int:  # pragma: no cover
    """The first row from `start` on that holds a card number, or −1."""
    for row in range(start, len(offsets) - 1):
        if offsets[row + 1] - offsets[row] < DIGITS_MIN:
            continue
        # Luhn doubles every second digit from the right: both sums run until the end is known.
        digits, last_plain, last_doubled = 0, 0, 0
        for i in range(offsets[row], offsets[row + 1]):
            c = data[i]
            if 48 <= c <= 57:
                value = int(np.int64(c)) - 48  # int(c) would be unsigned
                doubled = 2 * value - 9 if value > 4 else 2 * value
                last_plain, last_doubled = last_doubled + value, last_plain + doubled
                digits += 1
                if digits > DIGITS_MAX:
                    break
            elif c not in (32, 45):
                digits = 0
                break
        if DIGITS_MIN <= digits <= DIGITS_MAX and last_plain % 10 == 0:
            return row
    return -1


# A digit may stand as \u0034 in JSON: unescaped first, or a number would slip through.
_ESCAPED = re.compile(r"\\u00(2[0dD]|3[0-9])")
_RUN = re.compile(r"[0-9](?:[ -]?[0-9]){11,}")
_RUN_OF_BYTES = re.compile(_RUN.pattern.encode())
_SPACE = 32
_GROUP = re.compile(r"[0-9]+")
_GROUPS_MAX = 8  # bounds the work that a hostile payload can cause


def mask(text: AnyStr) -> AnyStr:
    """`text` with every card number in it masked but for its first six and last four digits.

    Rather too much than too little: more than 19 digits in a row are masked as well, and so are
    more than 8 groups of digits.

    >>> mask("card 4111 1111 1111 1111 refused")
    'card 4111 11** **** 1111 refused'
    """
    if isinstance(text, bytes):
        # latin-1 maps each byte to one character, so bytes that are no UTF-8 survive.
        return _masked(text.decode("latin-1")).encode("latin-1")
    return _masked(text)


def _masked(text: str) -> str:
    plain = _ESCAPED.sub(lambda m: chr(int(m[1], 16)), text) if "\\u00" in text else text
    return _RUN.sub(_masked_run, plain)


def _masked_run(match: re.Match[str]) -> str:
    """Digit groups with single separators: each row of whole groups may be a card number."""
    run = match[0]
    groups = [m.span() for m in _GROUP.finditer(run)]
    if len(groups) > _GROUPS_MAX:
        return _hidden(run, _inner_digits(run, 0, len(run)))
    hidden: set[int] = set()
    for first, (start, _) in enumerate(groups):
        digits = 0
        for begin, end in groups[first:]:
            digits += end - begin
            if digits > DIGITS_MAX:
                break
            if digits >= DIGITS_MIN and _passes_luhn(_bare(run[start:end])):
                hidden.update(_inner_digits(run, start, end))
    for begin, end in groups:
        if end - begin > DIGITS_MAX:
            hidden.update(_inner_digits(run, begin, end))
    return _hidden(run, hidden)


def _hidden(run: str, places: Collection[int]) -> str:
    hidden = frozenset(places)
    return "".join("*" if i in hidden else c for i, c in enumerate(run))


def _inner_digits(run: str, start: int, end: int) -> list[int]:
    digits = [i for i in range(start, end) if run[i].isdigit()]
    return digits[BIN_DIGITS:-4]


def _bare(value: str) -> str:
    return value.replace(" ", "").replace("-", "")


def _passes_luhn(digits: str) -> bool:
    doubled = sum(sum(divmod(2 * int(c), 10)) for c in digits[-2::-2])
    return (doubled + sum(int(c) for c in digits[-1::-2])) % 10 == 0
