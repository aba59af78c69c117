"""Filters: which decisions, as conditions over `Layout.decided` and as the index to begin with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import and_, exists, literal_column, or_, select, text

from alcyon.domain.errors import InputError
from alcyon.domain.office.searching import ENTITY_COLUMNS, Filter
from alcyon.io.searching.engines import Database
from alcyon.io.searching.tables import DECISIONS, TRANSACTIONS, WORDS
from alcyon.io.searching.walking import Driver

APPROVE = "APPROVE"
HIGH_SCORE = 500
"""From here on the index of high scores has them."""
PREFIX_ROWS_MAX = 20_000
"""What begins with a text and is more than so many is looked for among all decisions."""
_PREFIXED = ("transaction_id", "card_id", "merchant_id", "device_id")
_INT_MAX = 2**63 - 1


def checked(found_by: Filter) -> Filter | None:
    """The filter with its numbers in 64 bits; None: nothing can be found by it.

    InputError: it names half an entity.
    """
    if (found_by.entity_kind is None) != (found_by.entity_id is None):
        raise InputError("entity_kind and entity_id go together: give both, or neither")
    words = (
        found_by.entity_id, found_by.reason, found_by.rule, found_by.country, found_by.text,
        *found_by.actions,
    )  # fmt: skip
    if not all(map(is_findable, words)):
        return None
    bounded = {
        name: None if value is None else max(-_INT_MAX, min(value, _INT_MAX))
        for name in ("first_ms", "last_ms", "score_min", "score_max")
        for value in (getattr(found_by, name),)
    }
    return replace(found_by, text=found_by.text or None, **bounded)  # type: ignore[arg-type]


def is_findable(word: str | None) -> bool:
    """Whether a table can hold it: no text has a NUL or half a surrogate pair."""
    return word is None or ("\0" not in word and not any(0xD800 <= ord(c) < 0xE000 for c in word))


def conditions(found_by: Filter) -> list[Any]:
    """What must be true of a row of `Layout.decided`."""
    d, t, found = DECISIONS.c, TRANSACTIONS.c, [*_time(DECISIONS, found_by)]
    if found_by.entity_kind is not None:
        found.append(t[ENTITY_COLUMNS[found_by.entity_kind]] == found_by.entity_id)
    if found_by.actions:
        found.append(d.action.in_(found_by.actions))
    found += _score(found_by)
    for kind, word in (("reason", found_by.reason), ("rule", found_by.rule)):
        if word is not None:
            w = WORDS.c
            same = and_(w.event_time == d.event_time, w.sequence == d.sequence)
            found.append(exists().where(w.kind == kind, w.word == word, same))
    if found_by.country is not None:
        found.append(t.country == found_by.country)
    if found_by.text is not None:
        found.append(or_(*(and_(*_begins(t[name], found_by.text)) for name in _PREFIXED)))
    return found


def driver(found_by: Filter, database: Database) -> Driver:
    """The index that leaves the least to look at."""
    t, d = TRANSACTIONS, DECISIONS
    if found_by.entity_kind is not None:
        column = t.c[ENTITY_COLUMNS[found_by.entity_kind]]
        return _one(t, found_by, column == found_by.entity_id)
    if found_by.text is not None and (parts := _beginning(found_by, database)) is not None:
        return Driver(parts, is_selective=True)
    for kind, word in (("rule", found_by.rule), ("reason", found_by.reason)):
        if word is not None:
            return _one(WORDS, found_by, WORDS.c.kind == kind, WORDS.c.word == word)
    if found_by.actions and APPROVE not in found_by.actions:
        stopped = text("decisions.action <> 'APPROVE'")  # as the index says it
        return _one(d, found_by, stopped, d.c.action.in_(found_by.actions), *_score(found_by))
    if found_by.score_min is not None and found_by.score_min >= HIGH_SCORE:
        return _one(d, found_by, d.c.score >= literal_column(str(HIGH_SCORE)), *_score(found_by))
    if found_by.country is not None:
        return _one(t, found_by, t.c.country == found_by.country)
    return Driver([_positions(database.layout.timeline, found_by)])


def _one(table: Any, found_by: Filter, *where: Any) -> Driver:
    return Driver([_positions(table, found_by).where(*where)], is_selective=True)


def _positions(table: Any, found_by: Filter) -> Any:
    return select(table.c.event_time.label("rank"), table.c.sequence).where(*_time(table, found_by))


def _beginning(found_by: Filter, database: Database) -> list[Any] | None:
    """Each column's rows that begin with the text; None where there are many."""
    assert found_by.text is not None
    t, ids = TRANSACTIONS, database.layout.ids
    columns = {name: t.c[name] for name in _PREFIXED} | {"transaction_id": ids.c.transaction_id}
    parts = []
    with database.connected() as connection:
        for column in columns.values():
            begins = _begins(column, found_by.text)
            many = select(column).where(*begins).limit(1).offset(PREFIX_ROWS_MAX)
            if connection.execute(many).first() is not None:
                return None
            part = _positions(t, found_by).where(*begins)
            if column.table is not t:
                part = part.where(ids.c.sequence == t.c.sequence)
            parts.append(part)
    return parts


def _time(table: Any, found_by: Filter) -> list[Any]:
    bounds = []
    if found_by.first_ms is not None:
        bounds.append(table.c.event_time >= found_by.first_ms)
    if found_by.last_ms is not None:
        bounds.append(table.c.event_time <= found_by.last_ms)
    return bounds


def _score(found_by: Filter) -> list[Any]:
    bounds = []
    if found_by.score_min is not None:
        bounds.append(DECISIONS.c.score >= found_by.score_min)
    if found_by.score_max is not None:
        bounds.append(DECISIONS.c.score <= found_by.score_max)
    return bounds


def _begins(column: Any, prefix: str) -> list[Any]:
    """Bounds instead of LIKE: no character means anything, and an index has them."""
    end = after(prefix)
    return [column >= prefix, *([] if end is None else [column < end])]


def after(prefix: str) -> str | None:
    """The first text behind all that begin with it; None: there is none.

    >>> after("m1"), after("a\\U0010ffff"), after("\\U0010ffff")
    ('m2', 'b', None)
    """
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if following == 0xD800 else following)
