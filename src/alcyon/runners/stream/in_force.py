"""What is in force: the conduct, the rates and the model's name, as control records made them.

A value: a control record gives a new one, or is refused and nothing has changed. As data it
travels in a snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import msgspec

from alcyon.domain.control import (
    CHALLENGER,
    AddToList,
    Control,
    ForgetEntity,
    RemoveFromList,
    SetModel,
    SetPolicy,
    SetRates,
    SetRules,
    encode_control,
)
from alcyon.domain.currency import Rates
from alcyon.domain.errors import InputError, ModelError
from alcyon.features.catalog import Catalog
from alcyon.scoring.conduct import Conduct, compiled_rules
from alcyon.scoring.lists import EntityLists
from alcyon.scoring.model import Model
from alcyon.scoring.policy import Policy

LoadModel = Callable[[str], Model]
"""Gives the model in the registry's folder of that name; ModelError if it cannot be used."""

NO_RATES = Rates("none", "EUR", {})
"""Until a control record sets rates: only the base currency itself can be converted."""


class ListData(msgspec.Struct, frozen=True):
    """One entity list's entries over one column: value to the event time at which it expires."""

    name: str
    column: str
    expires: dict[str, int]


class InForceData(msgspec.Struct, frozen=True):
    """`InForce` as data."""

    rules: str
    policy: Policy
    rates: SetRates
    lists: tuple[ListData, ...]
    lists_version: str
    model: str | None
    model_version: str | None
    challenger: str | None
    challenger_version: str | None


@dataclass(frozen=True, eq=False)
class InForce:
    """How records are converted and decided from some sequence on."""

    conduct: Conduct
    rates: Rates
    model: str | None = None
    """The model that was asked for; `conduct.model` is None where it could not be had."""
    model_version: str | None = None
    """The version that was had last under this name, None where that is not known."""
    challenger: str | None = None
    """As `model`, of the one that is scored beside it."""
    challenger_version: str | None = None

    @classmethod
    def initial(cls, catalog: Catalog) -> InForce:
        """Before the first control record: no rules, no model, the default policy, no rates."""
        return cls(Conduct.of(catalog, "", Policy()), NO_RATES)

    def changed(self, control: Control, load_model: LoadModel | None) -> InForce:
        """After a control record. InputError or ModelError: it is refused, say why.

        load_model: None leaves the model to `with_model`, for records that are not decided on.
        """
        if isinstance(control, SetModel):
            asked = self._asking(control)
            return asked if load_model is None else asked.with_models(load_model)
        if isinstance(control, ForgetEntity):  # it changes the state, see `Deciding`
            return self
        conduct = self.conduct.changed(control)
        if isinstance(control, SetRates):
            return replace(self, conduct=conduct, rates=_rates(control))
        return replace(self, conduct=conduct)

    @property
    def model_missing(self) -> str | None:
        """The model that was asked for and could not be had."""
        return self.model if self.conduct.model is None else None

    @property
    def challenger_missing(self) -> str | None:
        """The challenger that was asked for and could not be had."""
        return self.challenger if self.conduct.challenger is None else None

    def without_model(self) -> InForce:
        """The same where the model that was asked for cannot be had."""
        return replace(self, conduct=self.conduct.with_model(None))

    def without_challenger(self) -> InForce:
        """The same where the challenger that was asked for cannot be had."""
        return replace(self, conduct=self.conduct.with_challenger(None))

    def _asking(self, control: SetModel) -> InForce:
        if control.alias == CHALLENGER:
            conduct = self.conduct.with_challenger(None)
            return replace(self, conduct=conduct, challenger=control.name, challenger_version=None)
        conduct = self.conduct.with_model(None)
        return replace(self, conduct=conduct, model=control.name, model_version=None)

    def to_data(self) -> InForceData:
        """Everything as data; the model by its name."""
        conduct = self.conduct
        entries = conduct.lists.entries.items()
        return InForceData(
            rules=conduct.rules.to_text(),
            policy=conduct.policy,
            rates=SetRates(conduct.rates, self.rates.base, dict(self.rates.micro_units)),
            lists=tuple(ListData(name, column, dict(e)) for (name, column), e in entries),
            lists_version=conduct.lists.version,
            model=self.model,
            model_version=self.model_version,
            challenger=self.challenger,
            challenger_version=self.challenger_version,
        )

    @classmethod
    def of_data(cls, data: InForceData, catalog: Catalog) -> InForce:
        """Inverse of `to_data`, but for the models, which `with_models` loads.

        InputError: this version understands rules or policy no more.
        """
        lists = {(part.name, part.column): MappingProxyType(part.expires) for part in data.lists}
        conduct = Conduct(
            catalog,
            compiled_rules(catalog, data.rules),
            data.policy,
            EntityLists(MappingProxyType(lists), data.lists_version),
            rates=data.rates.version,
        )
        return cls(
            conduct, _rates(data.rates), data.model, data.model_version, data.challenger,
            data.challenger_version,
        )  # fmt: skip

    def with_models(self, load_model: LoadModel) -> InForce:
        """With the models that were asked for, if any; ModelError as for each."""
        return self.with_model(load_model).with_challenger(load_model)

    def with_model(self, load_model: LoadModel) -> InForce:
        """With the model that is to decide, if any.

        ModelError: it cannot be loaded, or is another one than that which decided under its name.
        """
        if self.model is None or self.conduct.model is not None:
            return self
        model = _loaded(load_model, self.model, self.model_version)
        return replace(self, conduct=self.conduct.with_model(model), model_version=model.version)

    def with_challenger(self, load_model: LoadModel) -> InForce:
        """With the one that is to be scored beside it, if any; ModelError as for `with_model`."""
        if self.challenger is None or self.conduct.challenger is not None:
            return self
        model = _loaded(load_model, self.challenger, self.challenger_version)
        conduct = self.conduct.with_challenger(model)
        return replace(self, conduct=conduct, challenger_version=model.version)


def _loaded(load_model: LoadModel, name: str, version: str | None) -> Model:
    model = load_model(name)
    if version not in (None, model.version):
        raise ModelError(
            f"model {name} is {model.version}, the one that took part is {version}: put that one "
            "back, or set another model"
        )
    return model


def bootstrap_controls(
    rules: str,
    policy: Policy,
    rates: Rates,
    model: str | None = None,
    lists: Sequence[AddToList | RemoveFromList] = (),
) -> list[bytes]:
    """The control records to begin an empty intake with, for `Intake.append(Topic.CONTROL, …)`.

    Append them in one call, before any other record: so all that decides is a record.
    """
    controls: list[Control] = [
        SetRates(rates.version, rates.base, dict(rates.micro_units)),
        SetRules(rules),
        SetPolicy(msgspec.Raw(msgspec.json.encode(policy))),
        *lists,
    ]
    if model is not None:
        controls.append(SetModel(model))
    return [encode_control(control) for control in controls]


def _rates(control: SetRates) -> Rates:
    try:
        return Rates(control.version, control.base, control.micro_units)
    except ValueError as error:
        raise InputError(f"not a rate table: {error}") from None
