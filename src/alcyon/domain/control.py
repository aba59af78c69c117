"""Control records: numbered changes of rules, lists, policy, model and rates.

Each takes effect at its sequence: for every transaction with a larger one, for none before.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from alcyon.domain.errors import InputError


class SetRules(msgspec.Struct, frozen=True, tag="rules", forbid_unknown_fields=True):
    """Replace all rules; `text` is the TOML of `RuleSet.to_text`."""

    text: str


class SetPolicy(msgspec.Struct, frozen=True, tag="policy", forbid_unknown_fields=True):
    """Replace the policy; `policy` is its JSON object."""

    policy: msgspec.Raw


CHAMPION: Final = "champion"
"""The alias of the model that decides."""
CHALLENGER: Final = "challenger"
"""The alias of the model that is scored and stored beside it."""


class SetModel(msgspec.Struct, frozen=True, tag="model", forbid_unknown_fields=True):
    """Let an alias name another model; `name` is that in the registry, None: no model."""

    name: str | None
    alias: Literal["champion", "challenger"] = "champion"


class SetRates(msgspec.Struct, frozen=True, tag="rates", forbid_unknown_fields=True):
    """Replace the rate table: micro-units of the base currency per major unit of each."""

    version: str
    base: str
    micro_units: dict[str, int]


class AddToList(msgspec.Struct, frozen=True, tag="list_add", forbid_unknown_fields=True):
    """Put a value on an entity list, until `expires_at` (event time, UTC ms) if given."""

    name: str
    column: str
    value: str
    expires_at: int | None = None


class RemoveFromList(msgspec.Struct, frozen=True, tag="list_remove", forbid_unknown_fields=True):
    """Take a value off an entity list."""

    name: str
    column: str
    value: str


class ForgetEntity(msgspec.Struct, frozen=True, tag="forget", forbid_unknown_fields=True):
    """Forget the history of what has this id in an id column, from here on; what comes later is
    history again. The record holds the kernel's hash of the id, two int64, not the id."""

    low: int
    high: int


Control = SetRules | SetPolicy | SetModel | SetRates | AddToList | RemoveFromList | ForgetEntity
"""Any change; in JSON the field `type` says which."""

_decoder: msgspec.json.Decoder[Control] = msgspec.json.Decoder(Control)
_encoder = msgspec.json.Encoder(order="deterministic")


def encode_control(control: Control) -> bytes:
    """The record as JSON.

    >>> encode_control(SetModel("m1"))
    b'{"type":"model","name":"m1","alias":"champion"}'
    """
    return _encoder.encode(control)


def decode_control(payload: bytes) -> Control:
    """Inverse of `encode_control`. Raises InputError for anything else."""
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not a control record: {error}") from None
