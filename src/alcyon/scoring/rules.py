"""Rules: named SQL conditions that change what the policy would do, all evaluated in one go.

Precedence is by priority, the larger first, then by id. Of the live rules that fire:

1. If the one with the highest precedence says APPROVE, the action is APPROVE, whatever the policy
   says: an allow rule wins against the model and every rule that it outranks.
2. Otherwise the action is the strictest of the policy's and those of all live hits: an APPROVE
   outranked by a stricter hit does nothing, and adding a strict rule never loosens a decision.

A rule whose condition is null has not fired. Shadow rules are evaluated and recorded and never
decide; draft and off rules are not even compiled, so a half-written one stops nobody.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from alcyon.domain.decision import Action
from alcyon.domain.errors import ExpressionError, InputError
from alcyon.features.expression import TEXT_MAX, parse
from alcyon.features.interpreter import Floats
from alcyon.features.program import Program
from alcyon.features.tree import Expr, Kind

RULES_MAX = 500
"""Rules in a set: bounds what one batch can cost."""

LISTS = ("block", "allow", "watch")
"""The entity lists that every deployment has."""

SCORES: Mapping[str, Kind] = MappingProxyType(
    {"score": Kind.NUMBER, "probability_ppm": Kind.NUMBER}
)
"""What a rule may name beside columns, features and the model's members; null without a model."""

Word = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]*\Z", max_length=64)]
Line = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]+\Z", max_length=200)]
Condition = Annotated[str, msgspec.Meta(max_length=TEXT_MAX)]
Priority = Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class Status(Enum):
    """A rule's way: written, watched, deciding, retired."""

    DRAFT = "draft"
    SHADOW = "shadow"
    LIVE = "live"
    OFF = "off"


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named condition and what follows from it."""

    id: Word
    name: Line
    when: Condition
    """SQL condition over transaction columns, features, `score`, `probability_ppm`, members."""
    action: Action
    reason_code: Word
    priority: Priority
    status: Status

    @property
    def precedence(self) -> tuple[int, str]:
        """Sorts rules, the one that wins first."""
        return (-self.priority, self.id)

    @property
    def is_evaluated(self) -> bool:
        """Live or shadow."""
        return self.status in (Status.LIVE, Status.SHADOW)

    def condition(self, scope: Mapping[str, Kind], lists: Collection[str] = LISTS) -> Expr:
        """The parsed `when`; ExpressionError that names the rule if it is not a condition."""
        try:
            expr = parse(self.when, scope, lists=lists)
        except ExpressionError as error:
            raise ExpressionError(f"rule {self.id}: {error}") from error
        if expr.kind is not Kind.BOOLEAN:
            raise ExpressionError(
                f"rule {self.id}: `when` is a {expr.kind.name}: write a condition, as in … > 5"
            )
        return expr


@dataclass(frozen=True, eq=False)
class RuleSet:
    """Rules ready to run."""

    rules: tuple[Rule, ...]
    """All of them, drafts too, by id."""
    evaluated: tuple[Rule, ...]
    """The m live and shadow rules, by precedence: the rows of `hits`."""
    program: Program
    lists: frozenset[tuple[str, str]]
    """(entity list, column) pairs whose membership the caller puts into the inputs."""

    @classmethod
    def compile(
        cls, rules: Iterable[Rule], scope: Mapping[str, Kind], lists: Collection[str] = LISTS
    ) -> RuleSet:
        """A set over the names of `scope`; `program.inputs` says which of them it wants.

        Raises InputError for too many rules or a repeated id, and ExpressionError, naming the
        rule, for a live or shadow rule whose condition is wrong.
        """
        ordered = _checked(rules)
        evaluated = tuple(
            sorted((r for r in ordered if r.is_evaluated), key=lambda r: r.precedence)
        )
        conditions = [r.condition(scope, lists) for r in evaluated]
        inputs = sorted(frozenset().union(*(c.columns for c in conditions)))
        pairs = frozenset().union(*(c.lists for c in conditions))
        return cls(ordered, evaluated, Program.compile(conditions, inputs), pairs)

    @cached_property
    def version(self) -> str:
        """16 hex digits: the hash of `to_text()`."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()[:16]

    @cached_property
    def is_live(self) -> NDArray[np.bool_]:
        """bool[m]: which rows of `hits` decide."""
        return np.array([r.status is Status.LIVE for r in self.evaluated], np.bool_)

    @cached_property
    def live_ids(self) -> tuple[str, ...]:
        """Of the rules that decide, by precedence."""
        return tuple(r.id for r in self.evaluated if r.status is Status.LIVE)

    @cached_property
    def _codes(self) -> NDArray[np.int8]:
        """int8[m]: actions of live rules, 0 of shadow rules."""
        codes = [r.action.code if r.status is Status.LIVE else 0 for r in self.evaluated]
        return np.array(codes, np.int8)

    def hits(self, inputs: Floats, literals: Floats) -> NDArray[np.bool_]:
        """bool[m, n]: which evaluated rules fire; arguments as for `Program.run`."""
        fired: NDArray[np.bool_] = self.program.run(inputs, literals) == 1.0
        return fired

    def actions(self, policy: NDArray[np.int8], hits: NDArray[np.bool_]) -> NDArray[np.int8]:
        """int8[n]: action codes after the rules; policy: int8[n] codes, hits: bool[m, n]."""
        if not hits.any():  # most small batches: spares ten calls of NumPy
            return policy.copy()
        live = hits & self.is_live[:, None]
        strictest = np.max(live * self._codes[:, None], axis=0, initial=0)
        is_allowed = self._is_allowed(_first(live))
        return np.where(is_allowed, np.int8(Action.APPROVE.code), np.maximum(policy, strictest))

    def deciding(self, policy: NDArray[np.int8], hits: NDArray[np.bool_]) -> NDArray[np.intp]:
        """intp[n]: the row of `hits` whose rule decides; -1 where the policy does.

        That is the allow rule that wins, or else the rule with the highest precedence of those
        that have the final action, if it is stricter than the policy's.
        """
        first = _first(hits & self.is_live[:, None])
        actions = self.actions(policy, hits)
        matching = hits & (self._codes[:, None] == actions) & (actions > policy)
        return np.where(self._is_allowed(first), first, _first(matching))

    def _is_allowed(self, first: NDArray[np.intp]) -> NDArray[np.bool_]:
        """bool[n]: whether the live hit of highest precedence says APPROVE."""
        codes = np.append(self._codes, np.int8(0))  # row -1, no hit, is the 0 at the end
        allowed: NDArray[np.bool_] = codes[first] == Action.APPROVE.code
        return allowed

    def to_text(self) -> str:
        """All rules as TOML, by id: what is exported, reviewed and compared."""
        return to_text(self.rules)


def to_text(rules: Iterable[Rule]) -> str:
    """Rules as TOML, one block each, by id; `from_text` reads it back."""
    return "\n".join(_block(r) for r in sorted(rules, key=lambda r: r.id))


def from_text(text: str) -> tuple[Rule, ...]:
    """Rules of a TOML text, in its order.

    Raises InputError, naming the rule, for what is not TOML, a missing, unknown or wrong field,
    a repeated id, or too many rules. Conditions are checked by `RuleSet.compile`.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"rules are not TOML: {error}; compare with an exported file") from error
    blocks = document.pop("rule", [])
    if document or not isinstance(blocks, list):
        named = next(iter(document), "rule")
        raise InputError(f"rules: unexpected `{named}`: write each rule as a [[rule]] block")
    rules = tuple(_read(block, number) for number, block in enumerate(blocks, 1))
    _checked(rules)
    return rules


def _read(block: object, number: int) -> Rule:
    name = block.get("id") if isinstance(block, dict) else None
    try:
        return msgspec.convert(block, Rule)
    except msgspec.ValidationError as error:
        field = next((f for f in ("action", "status") if f"$.{f}" in str(error)), None)
        allowed = {"action": Action, "status": Status}
        remedy = f": one of {', '.join(e.value for e in allowed[field])}" if field else ""
        raise InputError(f"rule {name or f'number {number}'}: {error}{remedy}") from error


def _checked(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    ordered = tuple(sorted(rules, key=lambda r: r.id))
    if len(ordered) > RULES_MAX:
        raise InputError(f"{len(ordered)} rules: at most {RULES_MAX}; remove those that are off")
    for one, next_one in pairwise(ordered):
        if one.id == next_one.id:
            raise InputError(f"rule {one.id}: two rules have this id; give one another")
    return ordered


def _first(hits: NDArray[np.bool_]) -> NDArray[np.intp]:
    """intp[n]: the first row that is True in each column of bool[m, n]; -1 where none is."""
    if not len(hits):
        return np.full(hits.shape[1], -1, np.intp)
    first: NDArray[np.intp] = np.where(hits.any(axis=0), np.argmax(hits, axis=0), -1)
    return first


def _block(rule: Rule) -> str:
    lines = [
        "[[rule]]",
        f"id = {_quoted(rule.id)}",
        f"name = {_quoted(rule.name)}",
        f"when = {_quoted(rule.when)}",
        f"action = {_quoted(rule.action.value)}",
        f"reason_code = {_quoted(rule.reason_code)}",
        f"priority = {rule.priority}",
        f"status = {_quoted(rule.status.value)}",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A TOML string, over several lines where the text is, so that a change shows as lines."""
    escaped = "".join(_ESCAPES.get(c, c) for c in text)
    return f'"""\n{escaped}"""' if "\n" in text else f'"{escaped}"'


_ESCAPES: Mapping[str, str] = {
    **{chr(c): f"\\u{c:04x}" for c in (*range(32), 127) if chr(c) != "\n"},
    '"': '\\"',
    "\\": "\\\\",
}
