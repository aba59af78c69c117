"""Controlling: what is in force as people see it, and the changes they make, as control records.

Whatever changes what decides goes through the intake as a record, so the worker takes it in the
order of all records and a replay meets it there too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import msgspec

from alcyon.domain.columns import ColumnType, Strings
from alcyon.domain.control import (
    CHALLENGER,
    CHAMPION,
    AddToList,
    Control,
    RemoveFromList,
    SetModel,
    SetRules,
    encode_control,
)
from alcyon.domain.errors import InputError
from alcyon.domain.moves import MoveKind, before, standing, winners
from alcyon.domain.office.access import Caller
from alcyon.domain.ports import Intake, ModelRegistry
from alcyon.domain.record import Topic
from alcyon.domain.registered import Registered
from alcyon.domain.token_keys import TokenKeys
from alcyon.domain.tokens import mask, tokenise_ids
from alcyon.domain.transaction import ID_COLUMNS
from alcyon.features.catalog import Catalog
from alcyon.features.functions import names as function_names
from alcyon.runners.learning.learnt import (
    begun_by_learner,
    check_approved,
    drift_found,
    drift_now,
    newest_finding,
)
from alcyon.runners.learning.models import Moving, promote, roll_back
from alcyon.runners.serving.backtesting import Backtest, DecisionsBetween, LabelsOf
from alcyon.runners.serving.labelling import label_payloads
from alcyon.runners.stream.in_force import InForce, LoadModel
from alcyon.scoring.conduct import MEMBERS, SCORES, rule_scope
from alcyon.scoring.lists import NAMES
from alcyon.scoring.rule_problems import problems_of
from alcyon.scoring.rules import from_text, to_text

VALUE_MAX = 200
"""Characters of an entry of a list."""
_NEVER = 2**63 - 1


class Followed(Protocol):
    """What `InForceFollowing` is to us."""

    def now(self) -> InForce:
        """What is in force."""
        ...

    def look_again(self) -> None:
        """Something was written: `now` shall know."""
        ...


@dataclass(frozen=True)
class Means:
    """What controlling works with.

    intake: may be shared with others, who see to it that one thread at a time uses it. between,
    labels_of: of the store; any thread calls them, one at a time. learner: the folder where
    `alcyon learn` leaves what it found; approval: the file of its standing approval.
    """

    catalog: Catalog
    following: Followed
    registry: ModelRegistry
    load_model: LoadModel
    keys: TokenKeys
    intake: Intake
    between: DecisionsBetween
    labels_of: LabelsOf
    learner: Path
    now_ms: Callable[[], int] = lambda: round(time.time() * 1000)
    approval: Path | None = None


@dataclass(frozen=True)
class Controlling:
    """Implements `api.desk.Controlling`; for several threads."""

    means: Means
    _store_lock: Lock = field(default_factory=Lock)

    def in_force(self) -> dict[str, Any]:
        """As `api.desk.Controlling.in_force`."""
        return shown(self.means.following.now())

    def look_again(self) -> None:
        """As `api.desk.Controlling.look_again`."""
        self.means.following.look_again()

    def validate(self, rules_text: str) -> list[dict[str, Any]]:
        """Every problem, at its line and column, from 1 on."""
        found = problems_of(rules_text, rule_scope(self.means.catalog))
        return [
            {
                "rule": one.rule,
                "line": one.line,
                "column": one.column,
                "problem": mask(one.problem),  # it may quote the condition
            }
            for one in found
        ]

    def backtest(self, rules_text: str, rule_id: str, days: int) -> dict[str, Any]:
        """As `runners.backtesting.Backtested`."""
        means = self.means
        lists = means.following.now().conduct.lists
        with self._store_lock:
            found = Backtest(means.catalog, lists, means.between, means.labels_of).run(
                rules_text, rule_id, days
            )
        return _shown(found)

    def prepared(self, kind: str, change: dict[str, Any]) -> dict[str, Any]:
        """A change as it may be kept and shown before it takes effect: checked, rules as they will
        be exported, a card number replaced. InputError: it is none. ModelError: the worker would
        refuse the model."""
        if kind == "list":
            return _list_change(change, self.means)
        if kind in ("promotion", CHALLENGER):
            name = _model_of(change)
            self.means.load_model(name)
            return {"model": name}
        if kind == "rules":
            return {"text": self._rules_text(change)}
        if change:
            raise InputError(f"a {kind.replace('_', '-')} takes nothing: leave the change empty")
        return {}

    def apply(self, kind: str, change: dict[str, Any], by: Caller, why: str) -> dict[str, Any]:
        """Write the control record, or move the alias and write it; what came of it."""
        try:
            return self._applied(kind, change, by, why)
        finally:
            self.means.following.look_again()

    def learnt(self, alias: str, model: str) -> None:
        """As `api.desk.Controlling.learnt`."""
        means = self.means
        move = begun_by_learner(means.registry, alias, model)
        if alias == CHAMPION and move.wanted.kind is MoveKind.PROMOTE:
            check_approved(means.learner, means.approval, model)
        means.load_model(model)
        self._control(SetModel(model, "champion" if alias == CHAMPION else "challenger"))
        means.following.look_again()

    def label(self, labels: list[dict[str, Any]], by: Caller) -> int:
        """Append labels, all of them or none; see `runners.labelling`."""
        payloads = label_payloads(labels, by, self.means.keys, self.means.now_ms)
        self._append(Topic.LABELS, payloads)
        return len(payloads)

    def models(self) -> dict[str, Any]:
        """As `api.desk.Controlling.models`."""
        registry, learner = self.means.registry, self.means.learner
        moves = {alias: registry.moves(alias) for alias in (CHAMPION, CHALLENGER)}
        named = {alias: standing(winners(made)) for alias, made in moves.items()}
        every = sorted(
            (move for made in moves.values() for move in made), key=lambda m: m.at, reverse=True
        )
        return {
            "champion": named[CHAMPION],
            "challenger": named[CHALLENGER],
            "models": [_shown(model) for model in registry.models()],
            "moves": [_shown(move) for move in every],
            "comparison": newest_finding(learner, named[CHALLENGER]),
            "drift": drift_found(learner),
            "drift_now": drift_now(learner),
        }

    def evidence(self, kind: str, change: dict[str, Any]) -> dict[str, Any] | None:
        """Both models' figures as they were registered, and what the learner found last."""
        registry = self.means.registry
        if kind not in ("promotion", "roll_back", CHALLENGER):
            return None
        won = winners(registry.moves(CHAMPION))
        wanted = before(won) if kind == "roll_back" else _model_of(change)
        figures = {model.name: model for model in registry.models()}
        return {
            "models": {
                name: _figures(figures[name])
                for name in (standing(won), wanted)
                if name is not None and name in figures
            },
            "finding": newest_finding(self.means.learner, wanted),
        }

    def _applied(self, kind: str, change: dict[str, Any], by: Caller, why: str) -> dict[str, Any]:
        if kind == "rules":
            self._control(SetRules(self._rules_text(change)))
            return {"rules": self._version("rules")}
        if kind == "list":
            checked = _list_change(change, self.means)
            self._control(_list_control(checked))
            return {"lists": self._version("lists"), "change": checked}
        moving = Moving(
            self.means.registry,
            self.means.load_model,
            lambda: nullcontext(self.means.intake),
            self.means.now_ms,
        )
        if kind == "roll_back":
            return {"move": _shown(roll_back(moving, by.person, why))}
        if kind in ("promotion", CHALLENGER):
            alias = CHAMPION if kind == "promotion" else CHALLENGER
            return {"move": _shown(promote(moving, _model_of(change), alias, by.person, why))}
        raise InputError(f"{kind[:32]!r} is no kind of change")

    def _rules_text(self, change: Mapping[str, Any]) -> str:
        """All rules, as they are exported. InputError names everything that is wrong."""
        text = change.get("text")
        if not isinstance(text, str) or set(change) != {"text"}:
            raise InputError("a change of rules is {text}: the TOML of all rules")
        if wrong := problems_of(text, rule_scope(self.means.catalog)):
            raise InputError("; ".join(f"line {one.line}: {one.problem}" for one in wrong))
        return to_text(from_text(text))

    def _version(self, of: str) -> str:
        """In force now that it is written, as far as it can be read back."""
        self.means.following.look_again()
        return str(getattr(self.means.following.now().conduct.versions, of))

    def _control(self, control: Control) -> None:
        self._append(Topic.CONTROL, [encode_control(control)])

    def _append(self, topic: Topic, payloads: list[bytes]) -> None:
        self.means.intake.append(topic, payloads)


def shown(in_force: InForce) -> dict[str, Any]:
    """What is in force, for people; see `api.desk.Controlling.in_force`."""
    conduct = in_force.conduct
    return {
        "rules": {
            "version": conduct.rules.version,
            "rules": msgspec.to_builtins(conduct.rules.rules),
        },
        "rules_text": conduct.rules.to_text(),
        "lists": {"version": conduct.lists.version, "entries": _entries(in_force)},
        "policy": msgspec.to_builtins(conduct.policy),
        "versions": msgspec.to_builtins(conduct.versions),
        "names": names_of(conduct.catalog),
    }


def names_of(catalog: Catalog) -> dict[str, list[str]]:
    """What a condition may name, by kind."""
    return {
        "column": sorted(catalog.columns),
        "feature": list(catalog.names),
        "score": [*SCORES, *MEMBERS],
        "list": list(NAMES),
        "function": sorted([*function_names(), "listed"]),
    }


def _entries(in_force: InForce) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "column": column,
            "value": value,
            "expires_at": None if expires == _NEVER else expires,
        }
        for (name, column), values in sorted(in_force.conduct.lists.entries.items())
        for value, expires in sorted(values.items())
    ]


def _list_change(change: Mapping[str, Any], means: Means) -> dict[str, Any]:
    """The change, checked, a card number in it replaced by its token."""
    name, column, value = (change.get(n) for n in ("name", "column", "value"))
    if set(change) - {"name", "column", "value", "expires_at", "is_removal"}:
        raise InputError("a change of a list is {name, column, value, expires_at, is_removal}")
    if name not in NAMES:
        raise InputError(f"name: there is no list {str(name)[:32]!r}, only {', '.join(NAMES)}")
    if means.catalog.columns.get(str(column)) is not ColumnType.STRING:
        raise InputError(f"column: {str(column)[:64]!r} is no column that holds text")
    if not isinstance(value, str) or not 1 <= len(value) <= VALUE_MAX:
        raise InputError(f"value: write 1 to {VALUE_MAX} characters")
    expires_at, is_removal = change.get("expires_at"), change.get("is_removal", False)
    if not isinstance(is_removal, bool):
        raise InputError("is_removal: write true or false")
    if expires_at is not None and (type(expires_at) is not int or not 0 < expires_at < _NEVER):
        raise InputError("expires_at: write UTC milliseconds, or null for never")
    if column in ID_COLUMNS:
        value = tokenise_ids(Strings.from_list([value]), means.keys).to_list()[0]
    return {
        "name": name,
        "column": column,
        "value": value,
        "expires_at": expires_at,
        "is_removal": is_removal,
    }


def _list_control(change: Mapping[str, Any]) -> AddToList | RemoveFromList:
    place = (change["name"], change["column"], change["value"])
    return (
        RemoveFromList(*place) if change["is_removal"] else AddToList(*place, change["expires_at"])
    )


def _model_of(change: Mapping[str, Any]) -> str:
    name = change.get("model")
    if not isinstance(name, str) or set(change) != {"model"}:
        raise InputError("name the model: {model}")
    return name


def _figures(model: Registered) -> dict[str, Any]:
    return {"registered_at": model.registered_at, "metrics": model.metrics}


def _shown(found: msgspec.Struct) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(found)
    return shown
