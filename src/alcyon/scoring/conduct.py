"""The conduct in force: everything but history that decides: rules, lists, policy and model.

A value: a control record gives a new one. The catalog is fixed for a worker's life.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version

import msgspec

from alcyon.domain.control import AddToList, RemoveFromList, SetPolicy, SetRates, SetRules
from alcyon.domain.decision import Versions
from alcyon.domain.errors import InputError
from alcyon.features.catalog import KIND_OF, Catalog
from alcyon.features.tree import Kind
from alcyon.scoring.lists import EntityLists
from alcyon.scoring.model import Model
from alcyon.scoring.policy import Policy
from alcyon.scoring.reasons import Explainer
from alcyon.scoring.rules import RuleSet, from_text

NO_MODEL = "none"
MEMBERS = ("xgboost", "isolation_forest", "autoencoder", "online_linear")
"""Every member there can be; null where the model in force is without it."""
SCORES = ("score", "probability_ppm")
"""What rules may read beside columns and features."""


@dataclass(frozen=True, eq=False)
class Conduct:
    """How to decide, given the features."""

    catalog: Catalog
    rules: RuleSet
    policy: Policy
    lists: EntityLists = field(default_factory=EntityLists)
    model: Model | None = None
    challenger: Model | None = None
    """Scores beside the model, and decides nothing."""
    rates: str = "none"
    """Version of the rate table; the table itself works where records are decoded."""

    @classmethod
    def of(cls, catalog: Catalog, rules_text: str, policy: Policy) -> Conduct:
        """Compile rules over the catalog. Raises InputError naming the rule that is wrong."""
        return cls(catalog, compiled_rules(catalog, rules_text), policy)

    def changed(
        self, change: SetRules | SetPolicy | SetRates | AddToList | RemoveFromList
    ) -> Conduct:
        """The conduct after a control record. Raises InputError; then nothing has changed."""
        if isinstance(change, SetRules):
            return replace(self, rules=compiled_rules(self.catalog, change.text))
        if isinstance(change, SetPolicy):
            return replace(self, policy=_policy(change.policy))
        if isinstance(change, SetRates):
            return replace(self, rates=change.version)
        return replace(self, lists=self.lists.changed(change))

    def with_model(self, model: Model | None) -> Conduct:
        """The same with another model deciding."""
        return replace(self, model=model)

    def with_challenger(self, challenger: Model | None) -> Conduct:
        """The same with another model beside it."""
        return replace(self, challenger=challenger)

    @cached_property
    def explainer(self) -> Explainer | None:
        """Names the parts of the model's scores."""
        return None if self.model is None else Explainer.of(self.model)

    @cached_property
    def transaction_columns(self) -> tuple[str, ...]:
        """Transaction columns that rules read."""
        return tuple(n for n in self.rules.program.inputs if n in self.catalog.columns)

    @cached_property
    def versions(self) -> Versions:
        """What takes part in a decision."""
        return Versions(
            engine=version("alcyon"),
            catalog=self.catalog.hash,
            rules=self.rules.version,
            lists=self.lists.version,
            policy=policy_version(self.policy),
            model=NO_MODEL if self.model is None else self.model.version,
            rates=self.rates,
            challenger=NO_MODEL if self.challenger is None else self.challenger.version,
        )


def rule_scope(catalog: Catalog) -> Mapping[str, Kind]:
    """Names that rules may use and what they hold."""
    scope = catalog.transaction_scope
    scope |= {name: KIND_OF[t] for name, t in catalog.types.items()}
    return scope | dict.fromkeys((*SCORES, *MEMBERS), Kind.NUMBER)


def compiled_rules(catalog: Catalog, text: str) -> RuleSet:
    """Rules of a TOML text over a catalog; InputError names the rule that is wrong."""
    return RuleSet.compile(from_text(text), rule_scope(catalog))


def policy_version(policy: Policy) -> str:
    """12 hex digits."""
    return hashlib.sha256(msgspec.json.encode(policy, order="deterministic")).hexdigest()[:12]


def _policy(raw: msgspec.Raw) -> Policy:
    try:
        return msgspec.json.decode(raw, type=Policy)
    except msgspec.DecodeError as error:
        raise InputError(f"not a policy: {error}") from None
