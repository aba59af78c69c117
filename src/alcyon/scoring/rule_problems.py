"""What is wrong with a text of rules, all of it, each at its place: for whoever is writing them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise

from alcyon.domain.errors import ExpressionError, InputError
from alcyon.features.tree import Kind
from alcyon.scoring.rules import LISTS, RULES_MAX, Rule, RuleSet, from_text

_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*rule[ \t]*\]\]", re.MULTILINE)
_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)")
_FIELD = re.compile(r"\$\.(\w+)")
_PIECE = re.compile(r"in `([^`]+)`")
_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong; line and column count from 1."""

    rule: str | None
    """The rule's id, where it has one."""
    line: int
    column: int
    problem: str


@dataclass(frozen=True)
class _Block:
    """The text of one rule, and where it begins in the whole."""

    text: str
    start: int
    number: int


def problems_of(
    text: str, scope: Mapping[str, Kind], lists: Collection[str] = LISTS
) -> list[Problem]:
    """Everything that keeps these rules from taking effect, by place; empty: nothing does.

    Conditions of draft and off rules are not looked at: they are not compiled either.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return [_not_toml(text, error)]
    blocks = _blocks(text)
    written = document.get("rule", [])
    if set(document) - {"rule"} or not isinstance(written, list) or len(blocks) != len(written):
        return _as_a_whole(text, scope, lists)
    found, rules = list[Problem](), list[tuple[_Block, Rule]]()
    for block in blocks:
        try:
            (rule,) = from_text(block.text)
        except InputError as error:
            found.append(_wrong_block(text, block, str(error)))
        else:
            rules.append((block, rule))
    for block, rule in rules:
        found += _wrong_condition(text, block, rule, scope, lists)
    found += _repeated(text, rules)
    return sorted(found, key=lambda one: (one.line, one.column)) or _as_a_whole(text, scope, lists)


def _as_a_whole(text: str, scope: Mapping[str, Kind], lists: Collection[str]) -> list[Problem]:
    """What compiling them says, where it cannot be told which rule stands where."""
    try:
        RuleSet.compile(from_text(text), scope, lists)
    except InputError as error:
        return [Problem(None, 1, 1, str(error))]
    return []


def _not_toml(text: str, error: tomllib.TOMLDecodeError) -> Problem:
    message = str(error)
    place = _PLACE.search(message)
    if place is None:
        return Problem(None, text.count("\n") + 1, 1, f"not TOML: {message}")
    return Problem(None, int(place[1]), int(place[2]), f"not TOML: {_PLACE.sub('', message)}")


def _blocks(text: str) -> list[_Block]:
    starts = [header.start() for header in _HEADER.finditer(text)]
    spans = pairwise([*starts, len(text)] if starts else [])
    return [_Block(text[start:end], start, n) for n, (start, end) in enumerate(spans, 1)]


def _wrong_block(text: str, block: _Block, message: str) -> Problem:
    named = re.search(r'^[ \t]*id[ \t]*=[ \t]*"([^"\n]*)"', block.text, re.MULTILINE)
    field = _FIELD.search(message)
    at = _line_of(block, field[1]) if field else 0
    message = message.replace("rule number 1:", f"rule number {block.number}:", 1)
    return _at(text, block.start + at, named[1] if named else None, message)


def _wrong_condition(
    text: str, block: _Block, rule: Rule, scope: Mapping[str, Kind], lists: Collection[str]
) -> list[Problem]:
    if not rule.is_evaluated:
        return []
    try:
        rule.condition(scope, lists)
    except ExpressionError as error:
        return [_at(text, block.start + _piece_of(block, str(error)), rule.id, str(error))]
    return []


def _repeated(text: str, rules: list[tuple[_Block, Rule]]) -> list[Problem]:
    seen, found = set[str](), list[Problem]()
    for number, (block, rule) in enumerate(rules, 1):
        if rule.id in seen:
            why = f"rule {rule.id}: two rules have this id; give one another"
            found.append(_at(text, block.start + _line_of(block, "id"), rule.id, why))
        if number == RULES_MAX + 1:
            why = f"{len(rules)} rules: at most {RULES_MAX}; remove those that are off"
            found.append(_at(text, block.start, rule.id, why))
        seen.add(rule.id)
    return found


def _line_of(block: _Block, field: str) -> int:
    """Where in the block a field is set."""
    found = re.search(rf"^[ \t]*{re.escape(field)}[ \t]*=", block.text, re.MULTILINE)
    return 0 if found is None else found.end() - len(found[0].lstrip())


def _piece_of(block: _Block, message: str) -> int:
    """Where the piece of the condition that a message names stands, as near as can be told: it is
    named as it was understood, not as it was written."""
    when = _line_of(block, "when")
    piece = _PIECE.search(message)
    if piece is None:
        return when
    written = block.text.lower()
    words = sorted(_WORD.findall(piece[1]), key=len, reverse=True)
    for sought in (piece[1], *words):
        at = written.find(sought.lower(), when + len("when"))
        if at >= 0:
            return at
    return when


def _at(text: str, place: int, rule: str | None, problem: str) -> Problem:
    before = text[:place]
    return Problem(rule, before.count("\n") + 1, place - before.rfind("\n"), problem)
