"""Why a payload could not be decoded, said in our own stable codes.

Runs for refused payloads only, so it may be slow: the payload is parsed again, by Python's own
parser, and looked at field by field.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping

from alcyon.domain.columns import ColumnType

_INT_LIMIT = 2**63 - 1
_DIGITS_MAX = 40
_TYPE_NAMES = {str: "a string", bool: "a boolean", int: "a number", float: "a number"}
_EXPECTED = {
    ColumnType.STRING: "a string",
    ColumnType.INT: "an integer",
    ColumnType.FLOAT: "a number",
    ColumnType.BOOLEAN: "true or false",
}


class _Pairs(list[tuple[str, object]]):
    """An object as its keys and values, so that duplicate keys are seen."""


def explain(
    payload: bytes, columns: Mapping[str, ColumnType], required: frozenset[str], message: str
) -> tuple[str, str]:
    """(reason code, one line) for a payload refused with the decoder's `message`.

    The line may quote the payload: whoever keeps it masks it first.
    """
    try:
        record = _parsed(payload)
    except UnicodeDecodeError as error:
        return "invalid_json", f"not UTF-8 at byte {error.start}"
    except RecursionError:
        return "invalid_json", "nested too deeply"
    except ValueError as error:
        return "invalid_json", f"not valid JSON: {error}"
    if not isinstance(record, _Pairs):
        return "invalid_json", f"a JSON object is needed, got {_name(record)}"
    fields = dict(record)
    if len(fields) < len(record):
        return "invalid_json", f"key {duplicate_key(payload)!r} stands twice"
    for name, kind in columns.items():
        fault = _field_fault(name, kind, fields.get(name), name in required)
        if fault is not None:
            return fault
    return "invalid_json", message


def duplicate_key(payload: bytes) -> str | None:
    """A key that the outermost object of valid JSON has twice, or None."""
    pairs = _parsed(payload)
    if not isinstance(pairs, _Pairs):
        return None
    (key, count), *_ = Counter(name for name, _ in pairs).most_common(1) or [("", 0)]
    return key if count > 1 else None


def _parsed(payload: bytes) -> object:
    return json.loads(
        payload.decode(), object_pairs_hook=_Pairs, parse_int=_integer, parse_constant=_refused
    )


def _integer(digits: str) -> float:
    """An integer, or an infinity where it is far beyond 64 bits: Python refuses to parse those."""
    return int(digits) if len(digits) < _DIGITS_MAX else math.copysign(math.inf, float(digits[:2]))


def _refused(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON number")


def _field_fault(
    name: str, kind: ColumnType, value: object, is_required: bool
) -> tuple[str, str] | None:
    if value is None:
        return ("missing_field", f"{name} is missing") if is_required else None
    if _is_huge(kind, value):
        return _range_reason(name), f"{name} is beyond 64 bits"
    if not _fits(name, kind, value):
        what = "an RFC 3339 time with its offset" if _is_time_text(name, value) else _EXPECTED[kind]
        return "wrong_type", f"{name} must be {what}, got {_name(value)}"
    return None


def _is_huge(kind: ColumnType, value: object) -> bool:
    if isinstance(value, float) and math.isinf(value):
        return kind in (ColumnType.INT, ColumnType.FLOAT)
    return kind is ColumnType.INT and type(value) is int and abs(value) > _INT_LIMIT


def _range_reason(name: str) -> str:
    return "amount_out_of_range" if name.endswith("_minor") else f"{name}_out_of_range"


def _fits(name: str, kind: ColumnType, value: object) -> bool:
    match kind:
        case ColumnType.STRING:
            return isinstance(value, str)
        case ColumnType.INT:
            return type(value) is int
        case ColumnType.FLOAT:
            return type(value) in (int, float)
        case ColumnType.BOOLEAN:
            return value in (0, 1) and type(value) in (bool, int)


def _is_time_text(name: str, value: object) -> bool:
    return name in ("event_time", "labelled_at") and isinstance(value, str)


def _name(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, _Pairs):
        return "an object"
    return _TYPE_NAMES.get(type(value), "an array")
