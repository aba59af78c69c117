"""Decisions as CSV, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice

from alcyon.domain.office.ports import Searcher
from alcyon.domain.office.searching import Filter, Line, Page

ROWS_MAX = 50_000
PAGE_ROWS = 200
COLUMNS = (
    "event_time", "transaction_id", "sequence", "action", "score", "reason", "reason_text",
    "amount_minor", "currency", "amount_base_minor", "card_id", "merchant_id", "device_id",
    "country", "merchant_country", "category", "channel", "is_fraud",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def decisions_csv(searcher: Searcher, found_by: Filter, rows_max: int) -> Iterator[str]:
    """The header, then what the filter finds, the newest first, page by page as it is read.

    The first page is read before this returns: InputError, as `Searcher.search`.
    """
    first = searcher.search(found_by, None, PAGE_ROWS)
    return _parts(_lines(searcher, found_by, first), rows_max)


def safe(value: object) -> object:
    """A cell that no spreadsheet takes for a formula.

    >>> safe("=1+1"), safe("m-17"), safe(-5), safe(None)
    ("'=1+1", 'm-17', -5, None)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _lines(searcher: Searcher, found_by: Filter, page: Page) -> Iterator[Line]:
    while True:
        yield from page.items
        if page.next is None:
            return
        page = searcher.search(found_by, page.next, PAGE_ROWS)


def _parts(lines: Iterator[Line], rows_max: int) -> Iterator[str]:
    yield _written([COLUMNS])
    kept = islice(lines, rows_max)
    while some := list(islice(kept, PAGE_ROWS)):
        yield _written(map(_row, some))


def _row(line: Line) -> list[object]:
    at = datetime.fromtimestamp(line.event_time / 1000, UTC).isoformat(timespec="milliseconds")
    row = [at, *(getattr(line, name) for name in COLUMNS[1:])]
    return [safe(value) for value in row]


def _written(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
