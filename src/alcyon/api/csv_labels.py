"""Labels from CSV."""

from __future__ import annotations

import csv
import io

from alcyon.domain.errors import InputError

ROWS_MAX = 100_000
_COLUMNS = (
    "transaction_id", "is_fraud", "fraud_type", "loss_minor", "source", "label_id", "labelled_at",
)  # fmt: skip
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False}


def read_labels(body: bytes) -> list[dict[str, object]]:
    """One dict per row. InputError names the first row that is wrong."""
    try:
        reader = csv.DictReader(io.StringIO(body.decode("utf-8-sig")), strict=True)
        names = reader.fieldnames or []
        unknown = sorted(set(names) - set(_COLUMNS))
        if unknown or not {"transaction_id", "is_fraud"} <= set(names):
            raise InputError(
                f"the header is {', '.join(names) or 'missing'}: transaction_id and is_fraud are "
                f"needed, and only {', '.join(_COLUMNS)} known"
            )
        found = [_row(number, row) for number, row in enumerate(reader, 2)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"the body is no CSV: {error}") from error
    if len(found) > ROWS_MAX:
        raise InputError(f"{len(found):,} labels: send at most {ROWS_MAX:,} at once")
    return found


def _row(number: int, row: dict[str, str | None]) -> dict[str, object]:
    if None in row or None in row.values():
        raise InputError(f"line {number} has another number of fields than the header")
    given: dict[str, object] = {name: value for name, value in row.items() if value != ""}
    said = str(given.get("is_fraud", "")).lower()
    if said not in _BOOLEANS:
        raise InputError(f"line {number}: is_fraud is {said[:20]!r}: write true or false")
    return given | {"is_fraud": _BOOLEANS[said]}
