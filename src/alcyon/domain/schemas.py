"""Schemas by id: what an Avro record in the schema registry's wire format was written with."""

from __future__ import annotations

from typing import Protocol

from alcyon.domain.errors import InputError

SCHEMA_ID_MAX = 2**31 - 1
"""Registries number with signed 32 bits; a larger id is nobody's."""


class UnknownSchemaError(InputError):
    """The registry answered, and has no schema of this id."""


class Schemas(Protocol):
    """Where schemas are found. An id means the same schema for ever."""

    def writer(self, schema_id: int) -> str:
        """The text of the schema that records with this id were written with.

        Called with 0 to `SCHEMA_ID_MAX`, once per id and decoder, and again for an unknown id.
        UnknownSchemaError: there is none of this id now. UnreachableError: that cannot be told now;
        a later call may succeed.
        """
        ...
