"""Filters: the index to begin with, and the conditions that it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import and_, exists, literal_column, or_, select, text

from alcyon.domain.errors import InputError
from alcyon.domain.office.searching import ENTITY_COLUMNS, Filter
from alcyon.io.searching.engines import Database
from alcyon.io.searching.tables import ALERTS, DECISIONS, TRANSACTIONS, WORDS
from alcyon.io.searching.walking import Driver

TIME, ENTITY, ACTIONS, SCORE = "time", "entity", "actions", "score"
REASON, RULE, COUNTRY, TEXT = "reason", "rule", "country", "text"
"""Criteria; those of words are called as in the table."""
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


def narrowed(
    newest: Any, found_by: Filter, covered: frozenset[str], facts: Any
) -> tuple[Any, list[Any]]:
    """(FROM clause, conditions): of these positions, those that fulfil what is not covered.

    facts: DECISIONS, joined where it is needed, while `rank` is the event time; or ALERTS, which is
    joined always.
    """
    left, here, at, where = _given(found_by) - covered, newest, newest.c.rank, list[Any]()
    if facts is ALERTS or left & {TIME, ACTIONS, SCORE}:
        here, at = here.join(facts, facts.c.sequence == newest.c.sequence), facts.c.event_time
    if left & {ENTITY, COUNTRY, TEXT}:
        here = here.join(TRANSACTIONS, TRANSACTIONS.c.sequence == newest.c.sequence)
    criteria: dict[str, Callable[[], list[Any]]] = {
        TIME: lambda: _time(facts, found_by),
        ENTITY: lambda: [_is_entity(found_by)],
        ACTIONS: lambda: [facts.c.action.in_(found_by.actions)],
        SCORE: lambda: _score(facts, found_by),
        REASON: lambda: [_has_word(REASON, found_by.reason, at, newest.c.sequence)],
        RULE: lambda: [_has_word(RULE, found_by.rule, at, newest.c.sequence)],
        COUNTRY: lambda: [TRANSACTIONS.c.country == found_by.country],
        TEXT: lambda: [_has_prefix(found_by.text or "")],
    }
    for name in sorted(left):
        where += criteria[name]()
    return here, where


def _given(found_by: Filter) -> frozenset[str]:
    f = found_by
    values = {
        TIME: (f.first_ms, f.last_ms), ENTITY: (f.entity_kind,), ACTIONS: (f.actions or None,),
        SCORE: (f.score_min, f.score_max), REASON: (f.reason,), RULE: (f.rule,),
        COUNTRY: (f.country,), TEXT: (f.text,),
    }  # fmt: skip
    return frozenset(name for name, of in values.items() if any(v is not None for v in of))


def driver(found_by: Filter, database: Database) -> Driver:
    """The index that leaves the least to look at."""
    t, d, f = TRANSACTIONS, DECISIONS, found_by
    if f.entity_kind is not None:
        return _one(t, f, {ENTITY}, _is_entity(f))
    if f.text is not None and (parts := _beginning(f, database)) is not None:
        return Driver(parts, frozenset((TIME, TEXT)), is_selective=True)
    for kind, word in ((RULE, f.rule), (REASON, f.reason)):
        if word is not None:
            return _one(WORDS, f, {kind}, WORDS.c.kind == kind, WORDS.c.word == word)
    if f.actions and APPROVE not in f.actions:
        stopped = text("decisions.action <> 'APPROVE'")  # as the index says it
        where = (stopped, d.c.action.in_(f.actions), *_score(d, f))
        return _one(d, f, {ACTIONS, SCORE}, *where)
    if f.score_min is not None and f.score_min >= HIGH_SCORE:
        high = d.c.score >= literal_column(str(HIGH_SCORE))
        return _one(d, f, {SCORE}, high, *_score(d, f))
    # An index by country would cost Postgres a tenth more for each decision: look along time.
    return Driver([_positions(database.layout.timeline, f)], frozenset((TIME,)))


def _one(table: Any, found_by: Filter, covers: set[str], *where: Any) -> Driver:
    parts = [_positions(table, found_by).where(*where)]
    return Driver(parts, frozenset((TIME, *covers)), is_selective=True)


def _positions(table: Any, found_by: Filter) -> Any:
    columns = table.c.event_time.label("rank"), table.c.sequence
    return select(*columns).where(*_time(table, found_by))


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


def _score(table: Any, found_by: Filter) -> list[Any]:
    bounds = []
    if found_by.score_min is not None:
        bounds.append(table.c.score >= found_by.score_min)
    if found_by.score_max is not None:
        bounds.append(table.c.score <= found_by.score_max)
    return bounds


def _is_entity(found_by: Filter) -> Any:
    assert found_by.entity_kind is not None
    return TRANSACTIONS.c[ENTITY_COLUMNS[found_by.entity_kind]] == found_by.entity_id


def _has_word(kind: str, word: str | None, at: Any, sequence: Any) -> Any:
    w = WORDS.c
    same = and_(w.event_time == at, w.sequence == sequence)
    return exists().where(w.kind == kind, w.word == word, same)


def _has_prefix(prefix: str) -> Any:
    return or_(*(and_(*_begins(TRANSACTIONS.c[name], prefix)) for name in _PREFIXED))


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
